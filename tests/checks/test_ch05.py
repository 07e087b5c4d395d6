"""Exercises of chapter 05: other right answers pass, every mistake can be told from the others."""

from __future__ import annotations

import pytest

from course_lib.checks import ch05

EXERCISES = {
    "5.1": (ch05._targets, ch05._TARGET_CASES, ch05._TARGET_MISTAKES),
    "5.2": (ch05._pad, ch05._PAD_CASES, ch05._PAD_MISTAKES),
    "5.3": (ch05._budgeted, ch05._BUDGET_CASES, ch05._BUDGET_MISTAKES),
    "5.4": (ch05._may_look, ch05._LOOK_CASES, ch05._LOOK_MISTAKES),
    "5.5": (ch05._best_fit, ch05._FIT_CASES, ch05._FIT_MISTAKES),
}
CHECKS = (
    ch05.check_targets,
    ch05.check_pad,
    ch05.check_budget_batches,
    ch05.check_may_look,
    ch05.check_best_fit,
)


def dialogues_of(lengths):
    from course_lib.chat_format import Encoded

    return [Encoded(list(range(n)), [False] + [True] * (n - 1), str(i)) for i, n in
            enumerate(lengths)]  # fmt: skip


def test_the_librarys_labels_pass():
    pytest.importorskip("torch")
    from course_lib.batching import pad_batch
    from course_lib.chat_format import Encoded

    def answer(ids, mask):
        return pad_batch([Encoded(ids, mask)], 0)["labels"][0, 1:]

    assert ch05.check_targets(answer).passed


def test_the_librarys_padding_passes():
    pytest.importorskip("torch")
    from course_lib.batching import pad_batch
    from course_lib.chat_format import Encoded

    def answer(rows, pad_id):
        batch = pad_batch([Encoded(row, [False] * len(row)) for row in rows], pad_id)
        return batch["input_ids"], batch["attention_mask"]

    assert ch05.check_pad(answer).passed


def test_the_librarys_packing_and_mask_pass():
    pytest.importorskip("torch")
    from course_lib.batching import collate_packed, pack

    def best_fit(lengths, row_length):
        return [[len(d) for d in row] for row in pack(dialogues_of(lengths), row_length)]

    def may_look(lengths):
        return collate_packed([dialogues_of(lengths)], 0, sum(lengths))["attention_mask"][0, 0]

    assert ch05.check_best_fit(best_fit).passed
    assert ch05.check_may_look(may_look).passed


def test_true_and_false_pass_for_one_and_zero():
    def answer(lengths):
        return [[cell == 1 for cell in row] for row in ch05._may_look(lengths)]

    assert ch05.check_may_look(answer).passed


@pytest.mark.parametrize(
    "outcome", [3, "text", (1, 2, 3.5), ([1], "x"), {"a": 1}, True, [None, None], [[1], [None]], []]
)
def test_strange_values_do_not_raise(outcome):
    for check in CHECKS:
        assert check(lambda *_, outcome=outcome: outcome).state in ("wrong", "error")
