"""Exercises of chapter 01: other right answers pass, every mistake can be told from the others."""

from __future__ import annotations

import math

import pytest

from course_lib.checks import ch01
from course_lib.transfer import GROUPS, wilson_interval

EXERCISES = {
    "1.1": (ch01._loss, ch01._LOSS_CASES, ch01._LOSS_MISTAKES),
    "1.2": (ch01._wilson, ch01._WILSON_CASES, ch01._WILSON_MISTAKES),
    "1.3": (ch01._origin, ch01._ORIGIN_CASES, ch01._ORIGIN_MISTAKES),
    "1.4": (ch01._dialogues_needed, ch01._NEEDED_CASES, ch01._NEEDED_MISTAKES),
}


def loss_in_torch(log_probs, trained):
    torch = pytest.importorskip("torch")
    return -torch.tensor(log_probs, dtype=torch.float64)[torch.tensor(trained)].mean()


def loss_in_numpy(log_probs, trained):
    numpy = pytest.importorskip("numpy")
    return -numpy.average(log_probs, weights=trained)


@pytest.mark.parametrize("answer", [loss_in_torch, loss_in_numpy])
def test_losses_of_other_types_pass(answer):
    assert ch01.check_dialogue_loss(answer).passed


def test_the_librarys_interval_passes():
    assert ch01.check_share_interval(wilson_interval).passed
    assert ch01.check_share_interval(
        lambda right, asked: list(wilson_interval(right, asked))
    ).passed


def test_a_needed_number_that_is_whole_may_be_an_int():
    def answer(curve, target):
        found = ch01._dialogues_needed(curve, target)
        return int(found) if math.isfinite(found) and found == int(found) else found

    assert ch01.check_dialogues_needed(answer).passed


def test_the_groups_are_the_librarys():
    assert set(ch01._LABELS) == set(GROUPS)


def test_an_unknown_mistake_is_shown_by_its_case():
    text = repr(ch01.check_origin(lambda name, value, read, told: "neither"))
    assert "Ambry kettle" in text and "'neither', not 'pretraining only'" in text


@pytest.mark.parametrize(
    "outcome", [3, "text", (1, 2, 3), ([1], "x"), {"a": 1}, True, [None, None]]
)
def test_strange_values_do_not_raise(outcome):
    for check in (
        ch01.check_dialogue_loss,
        ch01.check_share_interval,
        ch01.check_origin,
        ch01.check_dialogues_needed,
    ):
        assert check(lambda *_, outcome=outcome: outcome).state in ("wrong", "error")
