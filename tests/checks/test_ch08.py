"""Exercises of chapter 08: other right answers pass, every mistake can be told from the others."""

from __future__ import annotations

import pytest

from course_lib.checks import ch08


def as_tuples(mistakes, depth):
    return {name: (ch08._frozen(f, depth), words) for name, (f, words) in mistakes.items()}


EXERCISES = {
    "8.1": (
        ch08._frozen(ch08._dropout, 1),
        ch08._DROPOUT_CASES,
        as_tuples(ch08._DROPOUT_MISTAKES, 1),
    ),
    "8.2": (ch08._lora_share, ch08._SHARE_CASES, ch08._SHARE_MISTAKES),
    "8.3": (
        ch08._frozen(ch08._layer_norm, 3),
        ch08._NORM_CASES,
        as_tuples(ch08._NORM_MISTAKES, 3),
    ),
    "8.4": (ch08._seed_effect, ch08._EFFECT_CASES, ch08._EFFECT_MISTAKES),
    "8.5": (ch08._frozen(ch08._merged, 2), ch08._MERGE_CASES, as_tuples(ch08._MERGE_MISTAKES, 2)),
}
CHECKS = (
    ch08.check_dropout,
    ch08.check_lora_share,
    ch08.check_layer_norm,
    ch08.check_seed_effect,
    ch08.check_merged_weight,
)


def test_dropout_in_numpy_passes():
    numpy = pytest.importorskip("numpy")

    def answer(values, draws, share, training):
        kept = numpy.array(draws) >= share
        return numpy.array(values) * kept / (1 - share) if training else numpy.array(values)

    assert ch08.check_dropout(answer).passed


def test_torchs_own_layer_norm_passes():
    torch = pytest.importorskip("torch")

    def answer(hidden, eps):
        numbers = torch.tensor(hidden, dtype=torch.float64)
        return torch.nn.functional.layer_norm(numbers, numbers.shape[-1:], eps=eps)

    assert ch08.check_layer_norm(answer).passed


def test_the_share_is_what_peft_trains():
    from course_lib.models import parameter_counts, with_lora
    from tests.tiny import tiny_gpt2

    model = tiny_gpt2()
    shapes = [(32, 96), (32, 32), (32, 128), (128, 32)] * 2
    other = parameter_counts(model).all - sum(a * b for a, b in shapes)
    adapted = with_lora(model, rank=4, tokens=[418, 419])
    assert ch08._lora_share(shapes, 4, other, 2 * 32) == pytest.approx(
        parameter_counts(adapted).share
    )


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
    result = ch08.check_lora_share(lambda shapes, rank, other, tokens: 0.5)
    assert "[(4, 12), (4, 4), (4, 16), (16, 4)]" in repr(result)


@pytest.mark.parametrize(
    "outcome", [3, "text", (1, 2, 3), ([1], "x"), {"a": 1}, True, [None, None], [[]], [[[1]]]]
)
def test_strange_values_do_not_raise(outcome):
    for check in CHECKS:
        assert check(lambda *_, outcome=outcome: outcome).state in ("wrong", "error")
