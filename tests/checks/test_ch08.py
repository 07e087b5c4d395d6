"""Exercises of chapter 08: other right answers pass, every mistake can be told from the others."""

from __future__ import annotations

import pytest

from course_lib.checks import ch08


def as_tuples(mistakes, depth):
    return {name: (ch08._frozen(f, depth), words) for name, (f, words) in mistakes.items()}


EXERCISES = {
    "8.1": (ch08._frozen(ch08._clip, 2), ch08._CLIP_CASES, as_tuples(ch08._CLIP_MISTAKES, 2)),
    "8.2": (ch08._stop, ch08._STOP_CASES, ch08._STOP_MISTAKES),
    "8.3": (
        ch08._frozen(ch08._layer_norm, 3),
        ch08._NORM_CASES,
        as_tuples(ch08._NORM_MISTAKES, 3),
    ),
    "8.4": (ch08._seed_effect, ch08._EFFECT_CASES, ch08._EFFECT_MISTAKES),
    "8.5": (ch08._frozen(ch08._merged, 2), ch08._MERGE_CASES, as_tuples(ch08._MERGE_MISTAKES, 2)),
}
CHECKS = (
    ch08.check_clip_gradients,
    ch08.check_stop_early,
    ch08.check_layer_norm,
    ch08.check_seed_effect,
    ch08.check_merged_weight,
)


def test_torchs_own_clipping_passes():
    torch = pytest.importorskip("torch")

    def answer(gradients, limit):
        weights = [torch.zeros(len(g), dtype=torch.float64, requires_grad=True) for g in gradients]
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = torch.tensor(gradient, dtype=torch.float64)
        torch.nn.utils.clip_grad_norm_(weights, limit)
        return [weight.grad for weight in weights]

    assert ch08.check_clip_gradients(answer).passed


def test_torchs_own_layer_norm_passes():
    torch = pytest.importorskip("torch")

    def answer(hidden, eps):
        numbers = torch.tensor(hidden, dtype=torch.float64)
        return torch.nn.functional.layer_norm(numbers, numbers.shape[-1:], eps=eps)

    assert ch08.check_layer_norm(answer).passed


def test_the_librarys_early_stopping_passes():
    torch = pytest.importorskip("torch")
    stopping = pytest.importorskip("course_lib.stopping")

    def answer(losses, patience, threshold):
        watch = stopping.EarlyStopping(patience=patience, min_delta=threshold)
        for place, loss in enumerate(losses):
            watch.see({"eval_loss": loss}, place, torch.nn.Linear(1, 1))
            if watch.over:
                break
        return place, watch.best_step

    assert ch08.check_stop_early(answer).passed


def test_the_librarys_effect_passes():
    from course_lib.tricks import effect

    def answer(without, tried):
        found = effect(without, tried)
        return (found.value, *found.interval)

    assert ch08.check_seed_effect(answer).passed


def test_a_merge_in_numpy_passes():
    numpy = pytest.importorskip("numpy")

    def answer(weight, a, b, alpha):
        return numpy.array(weight) + alpha / len(a) * numpy.array(b) @ numpy.array(a)

    assert ch08.check_merged_weight(answer).passed


def test_an_unknown_mistake_is_shown_by_its_case():
    result = ch08.check_clip_gradients(lambda gradients, limit: gradients)
    assert "[[3.0, 4.0], [12.0]]" in repr(result)


@pytest.mark.parametrize(
    "outcome", [3, "text", (1, 2, 3), ([1], "x"), {"a": 1}, True, [None, None], [[]], [[[1]]]]
)
def test_strange_values_do_not_raise(outcome):
    for check in CHECKS:
        assert check(lambda *_, outcome=outcome: outcome).state in ("wrong", "error")
