"""Typical wrong answers to the exercises of chapter 08: (function, the diagnosis it must get)."""

from __future__ import annotations

import math
from statistics import mean, pstdev, pvariance, stdev
from typing import Any

# ---- 8.1

Values = list[float]


def in_training(values: Values, draws: Values, share: float, kept: Any) -> Values:
    return [kept(v) if d >= share else 0.0 for v, d in zip(values, draws, strict=True)]


def only_zeros(values: Values, draws: Values, share: float, training: bool) -> Values:
    return in_training(values, draws, share, lambda v: v) if training else values


def times_kept_share(values: Values, draws: Values, share: float, training: bool) -> Values:
    return in_training(values, draws, share, lambda v: v * (1 - share)) if training else values


def over_the_share(values: Values, draws: Values, share: float, training: bool) -> Values:
    if not training or share == 0:
        return values
    return in_training(values, draws, share, lambda v: v / share)


def keeps_the_low_draws(values: Values, draws: Values, share: float, training: bool) -> Values:
    if not training:
        return values
    return [v / (1 - share) * (d < share) for v, d in zip(values, draws, strict=True)]


def always_on(values: Values, draws: Values, share: float, training: bool) -> Values:
    return in_training(values, draws, share, lambda v: v / (1 - share))


def as_in_2014(values: Values, draws: Values, share: float, training: bool) -> Values:
    if training:
        return in_training(values, draws, share, lambda v: v)
    return [v * (1 - share) for v in values]


def shortens(values: Values, draws: Values, share: float, training: bool) -> Values:
    if not training:
        return values
    return [v / (1 - share) for v, d in zip(values, draws, strict=True) if d >= share]


def mask_alone(values: Values, draws: Values, share: float, training: bool) -> Any:
    return [d >= share for d in draws]


def never_drops(values: Values, draws: Values, share: float, training: bool) -> Values:
    return values


# ---- 8.2

Shapes = list[tuple[int, int]]


def thin(shapes: Shapes, rank: int) -> int:
    return sum(rank * a + b * rank for a, b in shapes)


def dense(shapes: Shapes) -> int:
    return sum(a * b for a, b in shapes)


def of_the_base(shapes: Shapes, rank: int, other: int, tokens: int) -> float:
    return (thin(shapes, rank) + tokens) / (dense(shapes) + other)


def no_tokens(shapes: Shapes, rank: int, other: int, tokens: int) -> float:
    return thin(shapes, rank) / (dense(shapes) + other + thin(shapes, rank))


def a_alone(shapes: Shapes, rank: int, other: int, tokens: int) -> float:
    trained = sum(rank * a for a, _ in shapes) + tokens
    return trained / (dense(shapes) + other + trained)


def whole_matrices(shapes: Shapes, rank: int, other: int, tokens: int) -> float:
    return (dense(shapes) + tokens) / (dense(shapes) + other + tokens)


def three_factors(shapes: Shapes, rank: int, other: int, tokens: int) -> float:
    trained = sum(a * b * rank for a, b in shapes) + tokens
    return trained / (dense(shapes) + other + trained)


def adapted_layers_only(shapes: Shapes, rank: int, other: int, tokens: int) -> float:
    trained = thin(shapes, rank) + tokens
    return trained / (dense(shapes) + trained)


def in_per_cent(shapes: Shapes, rank: int, other: int, tokens: int) -> float:
    trained = thin(shapes, rank) + tokens
    return trained / (dense(shapes) + other + trained) * 100


def the_number(shapes: Shapes, rank: int, other: int, tokens: int) -> float:
    return thin(shapes, rank) + tokens


def both_numbers(shapes: Shapes, rank: int, other: int, tokens: int) -> Any:
    return thin(shapes, rank), dense(shapes)


# ---- 8.3

Hidden = list[list[list[float]]]


def per_feature(hidden: Hidden, eps: float) -> Hidden:
    width = range(len(hidden[0][0]))
    all_of = [[vector[c] for row in hidden for vector in row] for c in width]
    return [
        [
            [(v[c] - mean(all_of[c])) / math.sqrt(pvariance(all_of[c]) + eps) for c in width]
            for v in row
        ]
        for row in hidden
    ]


def per_row(hidden: Hidden, eps: float) -> Hidden:
    done = []
    for row in hidden:
        flat = [x for vector in row for x in vector]
        middle, scale = mean(flat), math.sqrt(pvariance(flat) + eps)
        done.append([[(x - middle) / scale for x in vector] for vector in row])
    return done


def root_mean(hidden: Hidden, eps: float) -> Hidden:
    return [
        [[x / math.sqrt(mean(y * y for y in v) + eps) for x in v] for v in row] for row in hidden
    ]


def with_stdev(hidden: Hidden, eps: float) -> Hidden:
    return [
        [[(x - mean(v)) / math.sqrt(stdev(v) ** 2 + eps) for x in v] for v in row] for row in hidden
    ]


def eps_added_late(hidden: Hidden, eps: float) -> Hidden:
    return [[[(x - mean(v)) / (pstdev(v) + eps) for x in v] for v in row] for row in hidden]


def no_eps(hidden: Hidden, eps: float) -> Hidden:
    return [[[(x - mean(v)) / pstdev(v) for x in v] for v in row] for row in hidden]


def by_variance(hidden: Hidden, eps: float) -> Hidden:
    return [[[(x - mean(v)) / (pvariance(v) + eps) for x in v] for v in row] for row in hidden]


def takes_the_mean_off(hidden: Hidden, eps: float) -> Hidden:
    return [[[x - mean(v) for x in v] for v in row] for row in hidden]


def flat_vectors(hidden: Hidden, eps: float) -> Any:
    return [[mean(v) for v in row] for row in hidden]


def unchanged(hidden: Hidden, eps: float) -> Hidden:
    return hidden


# ---- 8.4


def gaps(without: list[float], tried: list[float]) -> list[float]:
    return [tried[i] - without[i] for i in range(len(tried))]


def spread_around(middle: float, half: float) -> tuple[float, float, float]:
    return middle, middle - half, middle + half


def without_minus_with(without: list[float], tried: list[float]) -> tuple[float, float, float]:
    d = gaps(tried, without)
    return spread_around(mean(d), 4.303 * stdev(d) / 3**0.5)


def two_samples(without: list[float], tried: list[float]) -> tuple[float, float, float]:
    half = 4.303 * math.sqrt(stdev(without) ** 2 / 3 + stdev(tried) ** 2 / 3)
    return spread_around(mean(tried) - mean(without), half)


def normal_distribution(without: list[float], tried: list[float]) -> tuple[float, float, float]:
    d = gaps(without, tried)
    return spread_around(mean(d), 1.96 * stdev(d) / 3**0.5)


def population(without: list[float], tried: list[float]) -> tuple[float, float, float]:
    d = gaps(without, tried)
    return spread_around(mean(d), 4.303 * pstdev(d) / 3**0.5)


def no_root_of_n(without: list[float], tried: list[float]) -> tuple[float, float, float]:
    d = gaps(without, tried)
    return spread_around(mean(d), 4.303 * stdev(d))


def what_was_seen(without: list[float], tried: list[float]) -> tuple[float, float, float]:
    d = sorted(gaps(without, tried))
    return mean(d), d[0], d[-1]


def ends_alone(without: list[float], tried: list[float]) -> Any:
    d = gaps(without, tried)
    return min(d), max(d)


def ratio(without: list[float], tried: list[float]) -> tuple[float, float, float]:
    return spread_around(mean(tried) / mean(without), 0.0)


# ---- 8.5

Matrix = list[list[float]]


def times(b: Matrix, a: Matrix) -> Matrix:
    return [
        [sum(b[i][k] * a[k][j] for k in range(len(a))) for j in range(len(a[0]))]
        for i in range(len(b))
    ]


def plus(weight: Matrix, change: Matrix, scale: float) -> Matrix:
    size = range(len(weight))
    return [[weight[i][j] + scale * change[i][j] for j in size] for i in size]


def just_adds(weight: Matrix, a: Matrix, b: Matrix, alpha: float) -> Matrix:
    return plus(weight, times(b, a), 1)


def only_alpha(weight: Matrix, a: Matrix, b: Matrix, alpha: float) -> Matrix:
    return plus(weight, times(b, a), alpha)


def rank_stabilised(weight: Matrix, a: Matrix, b: Matrix, alpha: float) -> Matrix:
    return plus(weight, times(b, a), alpha / len(a) ** 0.5)


def change_alone(weight: Matrix, a: Matrix, b: Matrix, alpha: float) -> Matrix:
    return [[alpha / len(a) * x for x in row] for row in times(b, a)]


def turned_over(weight: Matrix, a: Matrix, b: Matrix, alpha: float) -> Matrix:
    change = times(b, a)
    turned = [[change[j][i] for j in range(len(change))] for i in range(len(change))]
    return plus(weight, turned, alpha / len(a))


def subtracts(weight: Matrix, a: Matrix, b: Matrix, alpha: float) -> Matrix:
    return plus(weight, times(b, a), -alpha / len(a))


def one_number(weight: Matrix, a: Matrix, b: Matrix, alpha: float) -> Any:
    return alpha / len(a)


def leaves_the_weight(weight: Matrix, a: Matrix, b: Matrix, alpha: float) -> Matrix:
    return weight


CHAPTER_08: dict[str, list[tuple[Any, str]]] = {
    "8.1": [
        (only_zeros, "not scaled"),
        (times_kept_share, "scaled down"),
        (over_the_share, "divided by the share"),
        (keeps_the_low_draws, "the others dropped"),
        (always_on, "on in evaluation"),
        (as_in_2014, "scaled in evaluation"),
        (shortens, "cut out"),
        (mask_alone, "wrong shape"),
        (never_drops, "differs"),
    ],
    "8.2": [
        (of_the_base, "adapters not counted below"),
        (no_tokens, "token rows forgotten"),
        (a_alone, "one matrix of two"),
        (whole_matrices, "full size"),
        (three_factors, "product"),
        (adapted_layers_only, "other weights forgotten"),
        (in_per_cent, "per cent"),
        (the_number, "differs"),
        (both_numbers, "wrong shape"),
    ],
    "8.3": [
        (per_feature, "BatchNorm"),
        (per_row, "over the whole row"),
        (root_mean, "not centred"),
        (with_stdev, "divided by n - 1"),
        (eps_added_late, "eps outside the root"),
        (no_eps, "eps forgotten"),
        (by_variance, "root forgotten"),
        (takes_the_mean_off, "only centred"),
        (flat_vectors, "wrong shape"),
        (unchanged, "differs"),
    ],
    "8.4": [
        (without_minus_with, "sign"),
        (two_samples, "not paired"),
        (normal_distribution, "1.96"),
        (population, "divided by n"),
        (no_root_of_n, "no root of n"),
        (what_was_seen, "least and greatest"),
        (ends_alone, "wrong shape"),
        (ratio, "differs"),
    ],
    "8.5": [
        (just_adds, "no factor"),
        (only_alpha, "alpha alone"),
        (rank_stabilised, "root of the rank"),
        (change_alone, "weight forgotten"),
        (turned_over, "the other way round"),
        (subtracts, "taken off"),
        (one_number, "wrong shape"),
        (leaves_the_weight, "differs"),
    ],
}
