"""Typical wrong answers to the exercises of chapter 08: (function, the diagnosis it must get)."""

from __future__ import annotations

import math
from statistics import mean, pstdev, pvariance, stdev
from typing import Any

# ---- 8.1


def one_by_one(gradients: list[list[float]], limit: float) -> list[list[float]]:
    done = []
    for vector in gradients:
        norm = sum(x * x for x in vector) ** 0.5
        done.append([x * limit / norm for x in vector] if norm > limit else vector)
    return done


def cuts_numbers(gradients: list[list[float]], limit: float) -> list[list[float]]:
    return [[min(max(x, -limit), limit) for x in vector] for vector in gradients]


def everything_to_the_limit(gradients: list[list[float]], limit: float) -> list[list[float]]:
    norm = math.hypot(*(x for vector in gradients for x in vector))
    return [[x / norm * limit for x in vector] for vector in gradients]


def scale_by(gradients: list[list[float]], limit: float, norm: float) -> list[list[float]]:
    if norm <= limit:
        return gradients
    return [[x * limit / norm for x in vector] for vector in gradients]


def squares(gradients: list[list[float]], limit: float) -> list[list[float]]:
    return scale_by(gradients, limit, sum(x**2 for vector in gradients for x in vector))


def absolute(gradients: list[list[float]], limit: float) -> list[list[float]]:
    return scale_by(gradients, limit, sum(abs(x) for vector in gradients for x in vector))


def adds_norms(gradients: list[list[float]], limit: float) -> list[list[float]]:
    return scale_by(gradients, limit, sum(math.hypot(*vector) for vector in gradients))


def root_mean_square(gradients: list[list[float]], limit: float) -> list[list[float]]:
    return scale_by(gradients, limit, mean(x * x for v in gradients for x in v) ** 0.5)


def one_flat_list(gradients: list[list[float]], limit: float) -> Any:
    return [x for vector in gradients for x in vector]


def never_clips(gradients: list[list[float]], limit: float) -> list[list[float]]:
    return gradients


# ---- 8.2


def where_it_stopped(losses: list[float], patience: int, threshold: float) -> tuple[int, int]:
    mark, waited = losses[0], 0
    for i in range(1, len(losses)):
        if losses[i] < mark - threshold:
            mark, waited = losses[i], 0
        else:
            waited += 1
        if waited == patience:
            return i, i
    return len(losses) - 1, len(losses) - 1


def one_value_for_both(losses: list[float], patience: int, threshold: float) -> tuple[int, int]:
    best_at, waited = 0, 0
    for i in range(1, len(losses)):
        if losses[i] < losses[best_at] - threshold:
            best_at, waited = i, 0
        else:
            waited += 1
        if waited == patience:
            return i, best_at
    return len(losses) - 1, best_at


def gain_over_the_best(losses: list[float], patience: int, threshold: float) -> tuple[int, int]:
    best_at, waited = 0, 0
    for i in range(1, len(losses)):
        waited = 0 if losses[i] < losses[best_at] - threshold else waited + 1
        if losses[i] < losses[best_at]:
            best_at = i
        if waited == patience:
            return i, best_at
    return len(losses) - 1, best_at


def with_patience(
    losses: list[float], patience: int, threshold: float, refill: bool = True
) -> tuple[int, int]:
    mark, best_at, waited = losses[0], 0, 0
    for i in range(1, len(losses)):
        if losses[i] < losses[best_at]:
            best_at = i
        if losses[i] < mark - threshold:
            mark = losses[i]
            waited = 0 if refill else waited
        else:
            waited += 1
        if waited == patience:
            return i, best_at
    return len(losses) - 1, best_at


def counts_all_bad_ones(losses: list[float], patience: int, threshold: float) -> tuple[int, int]:
    return with_patience(losses, patience, threshold, refill=False)


def waits_one_more(losses: list[float], patience: int, threshold: float) -> tuple[int, int]:
    return with_patience(losses, patience + 1, threshold)


def any_gain_counts(losses: list[float], patience: int, threshold: float) -> tuple[int, int]:
    return with_patience(losses, patience, 0)


def from_one(losses: list[float], patience: int, threshold: float) -> tuple[int, int]:
    stopped, best = with_patience(losses, patience, threshold)
    return stopped + 1, best + 1


def reads_the_whole_list(losses: list[float], patience: int, threshold: float) -> tuple[int, int]:
    return len(losses) - 1, min(range(len(losses)), key=losses.__getitem__)


def best_alone(losses: list[float], patience: int, threshold: float) -> Any:
    return with_patience(losses, patience, threshold)[1]


def stops_at_once(losses: list[float], patience: int, threshold: float) -> tuple[int, int]:
    return 0, 0


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
        (one_by_one, "each by its own norm"),
        (cuts_numbers, "by value"),
        (everything_to_the_limit, "enlarged too"),
        (squares, "root forgotten"),
        (absolute, "sum of absolute values"),
        (adds_norms, "sum of norms"),
        (root_mean_square, "mean of squares"),
        (one_flat_list, "wrong shape"),
        (never_clips, "differs"),
    ],
    "8.2": [
        (where_it_stopped, "last one kept"),
        (one_value_for_both, "best waits for the threshold"),
        (gain_over_the_best, "mark moves on any gain"),
        (counts_all_bad_ones, "patience never refilled"),
        (waits_one_more, "one late"),
        (any_gain_counts, "threshold forgotten"),
        (from_one, "counted from one"),
        (reads_the_whole_list, "never stops"),
        (best_alone, "wrong shape"),
        (stops_at_once, "differs"),
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
