"""Exercises of chapter 02: other right answers pass, every mistake can be told from the others."""

from __future__ import annotations

import random

import pytest

from course_lib.checks import ch02
from course_lib.cleaning import move_span
from course_lib.cleaning.accounts import is_luhn

EXERCISES = {
    "2.1": (ch02._luhn, ch02._LUHN_CASES, ch02._LUHN_MISTAKES),
    "2.2": (ch02._tidy, ch02._TIDY_CASES, ch02._TIDY_MISTAKES),
    "2.3": (ch02._moved, ch02._SPAN_CASES, ch02._SPAN_MISTAKES),
    "2.4": (ch02._held_out, ch02._SPLIT_CASES, ch02._SPLIT_MISTAKES),
    "2.5": (ch02._by_the_ledger, ch02._SCORE_CASES, ch02._SCORE_MISTAKES),
}
CHECKS = (
    ch02.check_passes_luhn,
    ch02.check_tidy_turns,
    ch02.check_moved_span,
    ch02.check_held_out,
    ch02.check_kind_scores,
)


def test_the_librarys_luhn_passes():
    assert ch02.check_passes_luhn(lambda text: is_luhn("".join(filter(str.isdigit, text)))).passed


def test_the_librarys_span_passes():
    def answer(start, end, low, high, new):
        return move_span(start, end, [(low, high, new)]) or ()

    assert ch02.check_moved_span(answer).passed


def test_the_right_span_is_the_librarys_on_random_edits():
    rng = random.Random(3)
    for _ in range(500):
        start, low = rng.randrange(20), rng.randrange(20)
        end, high = start + rng.randint(1, 9), low + rng.randint(0, 9)
        new = "x" * rng.randint(0, 5)
        theirs = move_span(start, end, [(low, high, new)]) or ()
        assert ch02._moved(start, end, low, high, new) == theirs, (start, end, low, high, new)


def test_lists_and_arrays_pass():
    assert ch02.check_tidy_turns(lambda turns: [list(turn) for turn in ch02._tidy(turns)]).passed
    assert ch02.check_held_out(lambda f, n: list(ch02._held_out(f, n))).passed
    assert ch02.check_kind_scores(lambda *case: list(ch02._by_the_ledger(*case))).passed
    numpy = pytest.importorskip("numpy")
    assert ch02.check_held_out(lambda f, n: numpy.array(ch02._held_out(f, n))).passed
    assert ch02.check_passes_luhn(lambda text: numpy.bool_(ch02._luhn(text))).passed


def test_a_held_out_family_is_whole_and_no_more_than_needed():
    for families, wanted in ch02._SPLIT_CASES:
        flags = ch02._held_out(families, wanted)
        chosen = {family for family, flag in zip(families, flags, strict=True) if flag}
        assert all(flag == (family in chosen) for family, flag in zip(families, flags, strict=True))
        assert sum(flags) >= wanted
        last = [family for family in dict.fromkeys(families) if family in chosen][-1]
        assert sum(flags) - families.count(last) < wanted


@pytest.mark.parametrize("number", EXERCISES)
def test_there_are_three_hints(number):
    from course_lib.checks import EXERCISES as REGISTERED

    assert len(REGISTERED[number].hints) == 3


def test_an_unknown_mistake_is_shown_by_its_case():
    text = repr(ch02.check_kind_scores(lambda kind, ledger, dropped: (1.0, 1.0)))
    assert "'loop'" in text and "(1.0, 1.0), not (0.75, 0.6)" in text


@pytest.mark.parametrize(
    "outcome", [3, "text", (1, 2, 3), ([1], "x"), {"a": 1}, 1.5, [None, None], [("user",)]]
)
def test_strange_values_do_not_raise(outcome):
    for check in CHECKS:
        assert check(lambda *_, outcome=outcome: outcome).state in ("wrong", "error")
