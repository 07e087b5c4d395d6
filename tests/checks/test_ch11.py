"""Exercises of chapter 11: other right answers pass, every mistake can be told from the others."""

from __future__ import annotations

import pytest

from course_lib.checks import ch11


def shaped(mistakes, shape):
    return {name: (shape(f), words) for name, (f, words) in mistakes.items()}


EXERCISES = {
    "11.1": (ch11._kind, ch11._KIND_CASES, ch11._KIND_MISTAKES),
    "11.2": (ch11._sign_test, ch11._SIGN_CASES, ch11._SIGN_MISTAKES),
    "11.3": (
        ch11._in_tuples(ch11._holm),
        ch11._HOLM_CASES,
        shaped(ch11._HOLM_MISTAKES, ch11._in_tuples),
    ),
    "11.4": (
        ch11._in_weights(ch11._blend),
        ch11._BLEND_CASES,
        shaped(ch11._BLEND_MISTAKES, ch11._in_weights),
    ),
    "11.5": (ch11._needed, ch11._NEEDED_CASES, ch11._NEEDED_MISTAKES),
}
CHECKS = (
    ch11.check_kind_of_reply,
    ch11.check_sign_test,
    ch11.check_holm,
    ch11.check_blend_weights,
    ch11.check_questions_needed,
)


def test_scipys_binomial_test_passes():
    stats = pytest.importorskip("scipy.stats")

    def answer(before, after):
        better = sum(a and not b for b, a in zip(before, after, strict=True))
        worse = sum(b and not a for b, a in zip(before, after, strict=True))
        return stats.binomtest(better, better + worse).pvalue if better + worse else 1.0

    assert ch11.check_sign_test(answer).passed


def test_holm_in_numpy_passes():
    numpy = pytest.importorskip("numpy")

    def answer(ps, level):
        order = numpy.argsort(ps)
        fits = numpy.array(ps)[order] <= level / numpy.arange(len(ps), 0, -1)
        holds = numpy.zeros(len(ps), dtype=bool)
        holds[order] = numpy.logical_and.accumulate(fits)
        return holds

    assert ch11.check_holm(answer).passed


def test_a_blend_in_torch_passes():
    torch = pytest.importorskip("torch")

    def answer(start, tuned, share):
        made = {}
        for name, numbers in tuned.items():
            weight = torch.tensor(numbers, dtype=torch.float64)
            old = torch.tensor(start[name], dtype=torch.float64)
            weight[: len(old)] = torch.lerp(old, weight[: len(old)], share)
            made[name] = weight
        return made

    assert ch11.check_blend_weights(answer).passed


def test_the_kinds_are_those_of_the_library():
    from course_lib.errors import KINDS

    assert set(ch11._KINDS) <= set(KINDS)


@pytest.mark.parametrize("flips, gain", [(0.08, 0.03), (0.3, 0.02)])
def test_with_so_many_questions_the_gain_just_shows(flips, gain):
    count = ch11._needed(flips, gain)
    variance = flips - gain**2
    assert gain >= 1.96 * (variance / count) ** 0.5
    assert gain < 1.96 * (variance / (count - 1)) ** 0.5


def test_an_unknown_mistake_is_shown_by_its_case():
    assert "for (0.08, 0.03)" in repr(ch11.check_questions_needed(lambda flips, gain: 7))


@pytest.mark.parametrize(
    "outcome", [3, "text", (1, 2, 3), ([1], "x"), {"a": 1}, True, [None, None], [[]], {"a": [[]]}]
)
def test_strange_values_do_not_raise(outcome):
    for check in CHECKS:
        assert check(lambda *_, outcome=outcome: outcome).state in ("wrong", "error")
