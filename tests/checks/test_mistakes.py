"""The named mistakes of all exercises: each differs from the others, and somebody makes it."""

from __future__ import annotations

import pytest

from course_lib.checks.judging import agree
from tests.checks import (
    test_ch01,
    test_ch02,
    test_ch03,
    test_ch04,
    test_ch05,
    test_ch06,
    test_ch07,
    test_ch08,
    test_ch09,
    test_ch10,
    test_ch11,
    test_ch12,
    test_ch13,
)
from tests.checks.wrong_answers import WRONG_ANSWERS

CHAPTERS = (
    test_ch01,
    test_ch02,
    test_ch03,
    test_ch04,
    test_ch05,
    test_ch06,
    test_ch07,
    test_ch08,
    test_ch09,
    test_ch10,
    test_ch11,
    test_ch12,
    test_ch13,
)
EXERCISES = {
    number: exercise for chapter in CHAPTERS for number, exercise in chapter.EXERCISES.items()
}


@pytest.mark.parametrize("number", EXERCISES)
def test_no_two_mistakes_look_alike(number):
    right, cases, mistakes = EXERCISES[number]
    functions = [right, *(function for function, _ in mistakes.values())]
    for place, one in enumerate(functions):
        found = [one(*case) for case in cases]
        alike = [other for other in functions[place + 1 :] if agree(found, other, cases)]
        assert not alike, (number, place)


@pytest.mark.parametrize("number", EXERCISES)
def test_every_mistake_has_a_wrong_answer(number):
    _, _, mistakes = EXERCISES[number]
    assert set(mistakes) <= {wrong.mistake for wrong in WRONG_ANSWERS[number]}
