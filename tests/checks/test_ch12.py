"""Exercises of chapter 12: other right answers pass, every mistake can be told from the others."""

from __future__ import annotations

import pytest

from course_lib.checks import ch12

EXERCISES = {
    "12.1": (ch12._diagnose, ch12._mask_cases(), ch12._MASK_MISTAKES),
    "12.2": (ch12._cut_answers, ch12._END_CASES, ch12._END_MISTAKES),
    "12.3": (
        ch12._padded_as_tuples(ch12._left_pad),
        ch12._LEFT_CASES,
        {n: (ch12._padded_as_tuples(f), words) for n, (f, words) in ch12._LEFT_MISTAKES.items()},
    ),
    "12.4": (ch12._split_silent, ch12._SILENT_CASES, ch12._SILENT_MISTAKES),
    "12.5": (ch12._gain, ch12._GAIN_CASES, ch12._GAIN_MISTAKES),
}
CHECKS = (
    ch12.check_diagnose_mask,
    ch12.check_cut_answers,
    ch12.check_left_pad,
    ch12.check_split_silent,
    ch12.check_leak_gain,
)


def test_the_masks_that_are_named_are_those_of_the_library(three_dialogues, tokenizer):
    """What the exercise calls by name is what `traps` does to a rendered dialogue."""
    from course_lib.chat_format import encode
    from course_lib.traps import end_left_out, mask_dropped, mask_late

    row = encode(three_dialogues[0], tokenizer)
    pairs = zip(three_dialogues[0].messages, row.turns, strict=True)
    turns = [(message.role, end - start) for message, (start, end) in pairs]
    assert ch12._diagnose(turns, row.mask) == "healthy"
    assert ch12._diagnose(turns, mask_dropped(row).mask) == "everything"
    assert ch12._diagnose(turns, mask_late(row).mask) == "one late"
    assert ch12._diagnose(turns, end_left_out(row).mask) == "no end token"


def test_the_librarys_own_assertion_finds_the_same_cut_answers():
    from course_lib.chat_format import Encoded
    from course_lib.traps import assert_answers_end, verdict

    for ids, mask, end in ch12._END_CASES:
        says = verdict(assert_answers_end, [Encoded(ids, mask, "d")], end)
        assert (says == "passes") == (not ch12._cut_answers(ids, mask, end))


def test_generations_own_padding_passes():
    from course_lib.decoding import left_padded

    def answer(prompts, pad_id):
        ids, mask = left_padded(prompts, pad_id)
        return ids, mask, (mask.cumsum(1) - 1).clamp(min=0)

    assert ch12.check_left_pad(answer).passed


def test_rows_as_arrays_pass():
    numpy = pytest.importorskip("numpy")

    def answer(masks):
        kept = numpy.array([any(mask[1:]) for mask in masks])
        return numpy.flatnonzero(kept), numpy.flatnonzero(~kept)

    assert ch12.check_split_silent(answer).passed


@pytest.mark.parametrize(
    "outcome", [3, "text", (1, 2, 3), ([1], "x"), {"a": 1}, True, [None, None], [[]], [[[1]]]]
)
def test_strange_values_do_not_raise(outcome):
    for check in CHECKS:
        assert check(lambda *_, outcome=outcome: outcome).state in ("wrong", "error")
