"""Exercises of chapter 06: other right answers pass, every mistake can be told from the others."""

from __future__ import annotations

import pytest

from course_lib.checks import ch06

EXERCISES = {
    "6.1": (ch06._cross_entropy, ch06._ENTROPY_CASES, ch06._ENTROPY_MISTAKES),
    "6.2": (ch06._shifted, ch06._SHIFT_CASES, ch06._SHIFT_MISTAKES),
    "6.3": (ch06._factors, ch06._FACTOR_CASES, ch06._FACTOR_MISTAKES),
    "6.4": (ch06._weights, ch06._WEIGHT_CASES, ch06._WEIGHT_MISTAKES),
    "6.5": (ch06._smoothed, ch06._SMOOTH_CASES, ch06._SMOOTH_MISTAKES),
}
CHECKS = (
    ch06.check_cross_entropy,
    ch06.check_masked_loss,
    ch06.check_factors,
    ch06.check_dialogue_weights,
    ch06.check_smoothed_loss,
)


def test_pytorchs_cross_entropy_passes():
    torch = pytest.importorskip("torch")

    def answer(logits, targets):
        scores = torch.tensor(logits, dtype=torch.float64)
        return torch.nn.functional.cross_entropy(scores, torch.tensor(targets))

    assert ch06.check_cross_entropy(answer).passed


def test_pytorchs_label_smoothing_passes():
    torch = pytest.importorskip("torch")

    def answer(logits, target, epsilon):
        scores = torch.tensor([logits], dtype=torch.float64)
        right = torch.tensor([target])
        return torch.nn.functional.cross_entropy(scores, right, label_smoothing=epsilon)

    assert ch06.check_smoothed_loss(answer).passed


def test_the_librarys_shift_passes():
    torch = pytest.importorskip("torch")
    from course_lib.losses import token_cross_entropy

    def answer(log_probs, labels):
        scores = torch.tensor([log_probs], dtype=torch.float64)
        return token_cross_entropy(scores, torch.tensor([labels]))

    assert ch06.check_masked_loss(answer).passed


def test_arrays_pass():
    numpy = pytest.importorskip("numpy")
    assert ch06.check_factors(lambda counts: numpy.array(counts) / sum(counts)).passed
    assert ch06.check_dialogue_weights(lambda *case: numpy.array(ch06._weights(*case))).passed


def test_the_weights_make_every_dialogue_count_1():
    for labels, owner in ch06._WEIGHT_CASES:
        weights = ch06._weights(labels, owner)
        for one in set(owner) - {-1}:
            assert sum(w for w, o in zip(weights, owner, strict=True) if o == one) == pytest.approx(
                1
            )


def test_an_unknown_mistake_is_shown_by_its_case():
    text = repr(ch06.check_factors(lambda counts: [0.0] * len(counts)))
    assert "[30, 10]" in text and "(0.0, 0.0), not (0.75, 0.25)" in text


def test_an_overflow_of_math_is_reported_with_its_line():
    def answer(logits, targets):
        import math

        return sum(math.log(sum(map(math.exp, row))) - row[0] for row in logits) / len(logits)

    result = ch06.check_cross_entropy(answer)
    assert result.state == "error" and "OverflowError" in repr(result)


@pytest.mark.parametrize(
    "outcome", [3, "text", (1, 2, 3), ([1], "x"), {"a": 1}, True, [None, None], float("nan")]
)
def test_strange_values_do_not_raise(outcome):
    for check in CHECKS:
        assert check(lambda *_, outcome=outcome: outcome).state in ("wrong", "error")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.number)
def test_three_hints_each(check):
    assert len(check.hints) == 3
