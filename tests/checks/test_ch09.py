"""Exercises of chapter 09: other right answers pass, every mistake can be told from the others."""

from __future__ import annotations

import pytest

from course_lib.checks import ch09

EXERCISES = {
    "9.1": (ch09._bits_per_byte, ch09._BITS_CASES, ch09._BITS_MISTAKES),
    "9.2": (ch09._scores_of, ch09._CLASS_CASES, ch09._CLASS_MISTAKES),
    "9.3": (ch09._resampled_mean, ch09._RESAMPLE_CASES, ch09._RESAMPLE_MISTAKES),
    "9.4": (ch09._rate, ch09._WIN_CASES, ch09._WIN_MISTAKES),
    "9.5": (ch09._p_value, ch09._P_CASES, ch09._P_MISTAKES),
}
CHECKS = (
    ch09.check_bits_per_byte,
    ch09.check_scores_of,
    ch09.check_resampled_mean,
    ch09.check_win_rate,
    ch09.check_swap_p_value,
)


def test_scikit_learns_scores_pass():
    metrics = pytest.importorskip("sklearn.metrics")

    def answer(true, said, label):
        found = metrics.precision_recall_fscore_support(true, said, labels=[label], zero_division=0)
        return [row[0] for row in found[:3]]

    assert ch09.check_scores_of(answer).passed


def test_a_resample_in_numpy_passes():
    numpy = pytest.importorskip("numpy")

    def answer(values, dialogues, drawn):
        numbers, names = numpy.array(values), numpy.array(dialogues)
        return numpy.concatenate([numbers[names == name] for name in drawn]).mean()

    assert ch09.check_resampled_mean(answer).passed


def test_the_librarys_win_rate_passes():
    from course_lib.metrics.ratings import Preference, win_rate

    def answer(votes, system):
        rows = [
            Preference("r", str(n), left, right, {"left": left, "right": right}.get(choice))
            for n, (left, right, choice) in enumerate(votes)
        ]
        return win_rate(rows, system).rate.value

    assert ch09.check_win_rate(answer).passed


def test_scipys_paired_test_passes():
    stats = pytest.importorskip("scipy.stats")

    def answer(a, b):
        def gap(x, y, axis):
            return abs((x - y).mean(axis=axis))

        found = stats.permutation_test(
            (a, b), gap, permutation_type="samples", alternative="greater", n_resamples=10_000
        )
        return found.pvalue

    assert ch09.check_swap_p_value(answer).passed


def test_an_unknown_mistake_is_shown_by_its_case():
    text = repr(ch09.check_bits_per_byte(lambda losses, sizes: 0.123))
    assert "[2.0, 0.5, 1.5]" in text and "it gives 0.123" in text


@pytest.mark.parametrize(
    "outcome", [3, "text", (1, 2, 3), ([1], "x"), {"a": 1}, True, [None, None], [[]]]
)
def test_strange_values_do_not_raise(outcome):
    for check in CHECKS:
        assert check(lambda *_, outcome=outcome: outcome).state in ("wrong", "error")
