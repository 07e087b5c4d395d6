"""Checks of chapter 08."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from operator import mul
from typing import Any

from course_lib.checks.exercises import Wrong, exercise
from course_lib.checks.judging import SHAPE, Case, Mistake, judge, number

Vector = list[float]
Matrix = list[Vector]


def _numbers(value: Any, depth: int) -> Any:
    """Nested tuples of numbers, `depth` deep, from lists, tuples, arrays or tensors."""
    if depth == 0:
        return number(value)
    value = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(value, (list, tuple)):
        raise Wrong(SHAPE, f"expected a list, found {type(value).__name__}.")
    return tuple(_numbers(item, depth - 1) for item in value)


def _frozen(function: Callable[..., Any], depth: int) -> Callable[..., Any]:
    """The function with its lists as tuples, the form in which answers are compared."""
    return lambda *case: _numbers(function(*case), depth)


# ---- 8.1 clipping by the global norm


def _scaled(gradients: Matrix, factor: float) -> Matrix:
    return [[factor * x for x in vector] for vector in gradients]


def _norm(gradients: Matrix) -> float:
    return math.sqrt(sum(x * x for vector in gradients for x in vector))


def _factor(norm: float, limit: float) -> float:
    return min(1.0, limit / norm)


def _clip(gradients: Matrix, limit: float) -> Matrix:
    return _scaled(gradients, _factor(_norm(gradients), limit))


def _each_by_its_own(gradients: Matrix, limit: float) -> Matrix:
    return [_clip([vector], limit)[0] for vector in gradients]


def _by_value(gradients: Matrix, limit: float) -> Matrix:
    return [[max(-limit, min(limit, x)) for x in vector] for vector in gradients]


def _by(measure: Callable[[Matrix], float]) -> Callable[[Matrix, float], Matrix]:
    return lambda gradients, limit: _scaled(gradients, _factor(measure(gradients), limit))


def _count(gradients: Matrix) -> int:
    return sum(map(len, gradients))


_CLIP_CASES: list[Case] = [
    ([[3.0, 4.0], [12.0]], 1.0),
    ([[0.3, -0.4], [0.1, 0.2, 0.1]], 1.0),
    ([[2.0, -1.0, 0.5], [-6.0], [0.25, 3.0]], 2.5),
    ([[0.6, 0.0], [0.0, -0.9]], 1.0),
]
_CLIP_MISTAKES: dict[str, Mistake] = {
    "each by its own norm": (
        _each_by_its_own,
        "every list is clipped by itself. Then small gradients keep their size while large ones "
        "shrink, and the step points elsewhere. Take one norm over all of them.",
    ),
    "by value": (
        _by_value,
        "each number is cut to ±limit. That changes the direction of the step; scale all numbers "
        "by one factor.",
    ),
    "enlarged too": (
        lambda g, limit: _scaled(g, limit / _norm(g)),
        "a gradient below the limit is made larger. Clipping only ever shrinks: leave it as it is.",
    ),
    "root forgotten": (
        _by(lambda g: _norm(g) ** 2),
        "the square root is missing: that is the sum of the squares, not the norm.",
    ),
    "sum of absolute values": (
        _by(lambda g: sum(abs(x) for vector in g for x in vector)),
        "that is the sum of the absolute values. The norm is the root of the sum of the squares.",
    ),
    "sum of norms": (
        _by(lambda g: sum(_norm([vector]) for vector in g)),
        "the norms of the lists are added up. Add up the squares of all numbers, then take one "
        "root.",
    ),
    "mean of squares": (
        _by(lambda g: _norm(g) / math.sqrt(_count(g))),
        "the squares are averaged. The norm takes their sum; with a mean, a larger model would "
        "hardly ever be clipped.",
    ),
}


@exercise(
    "8.1",
    "Clip by the global norm",
    answer_name="clip_gradients",
    difficulty=1,
    minutes=8,
    hints=(
        "one norm over all numbers of all lists, then one factor for all of them.",
        "the factor is limit / norm, but never more than 1.",
        "norm = math.sqrt(sum(x * x for vector in gradients for x in vector)); "
        "factor = min(1.0, limit / norm)",
    ),
)
def check_clip_gradients(answer: Callable[..., Any]) -> None:
    """Judges clip_gradients(gradients, limit): all scaled by one factor, norm at most limit."""
    mistakes = {name: (_frozen(f, 2), words) for name, (f, words) in _CLIP_MISTAKES.items()}
    judge(answer, _frozen(_clip, 2), _CLIP_CASES, mistakes, lambda value: _numbers(value, 2))


# ---- 8.2 early stopping


def _stop(
    losses: Vector,
    patience: int,
    threshold: float,
    mark_by_any: bool = False,
    best_by_mark: bool = False,
    total: bool = False,
    late: int = 0,
) -> tuple[int, int]:
    """(place where it stops, place of the best); the switches are the mistakes."""
    best = mark = losses[0]
    best_at = waited = 0
    for place, loss in enumerate(losses):
        counts = loss < mark - threshold
        if place and not counts:
            waited += 1
        elif not total:
            waited = 0
        if loss < best and (counts or not best_by_mark):
            best, best_at = loss, place
        if counts or (mark_by_any and loss < mark):
            mark = loss
        if waited == patience + late:
            return place, best_at
    return len(losses) - 1, best_at


_STOP_CASES: list[Case] = [
    ([3.0, 2.0, 1.5, 1.6, 1.7, 1.8, 1.0], 2, 0.0),
    ([3.0, 2.0, 2.2, 1.9, 2.1, 1.8, 2.5, 2.6, 2.7], 3, 0.0),
    ([3.0, 2.0, 1.98, 1.96, 1.94, 1.92, 1.9, 1.88], 3, 0.05),
    ([3.0, 2.0, 1.97, 1.95, 1.99, 2.2], 3, 0.1),
    ([2.0, 1.9, 1.8, 1.7], 2, 0.0),
    ([2.0, 2.1, 2.2, 2.3, 1.0], 1, 0.0),
]
_STOP_MISTAKES: dict[str, Mistake] = {
    "last one kept": (
        lambda *case: (_stop(*case)[0],) * 2,
        "the second number is where you stop. Return where the loss was least: these are the "
        "weights to keep.",
    ),
    "best waits for the threshold": (
        lambda *case: _stop(*case, best_by_mark=True),
        "the best moves only on a gain of more than the threshold. Any gain makes better weights; "
        "the threshold is for the patience alone.",
    ),
    "mark moves on any gain": (
        lambda *case: _stop(*case, mark_by_any=True),
        "slow steady gains stop your training: each alone is below the threshold, and the mark "
        "creeps along with them. Move the mark only on a gain that counts, so that small ones add "
        "up.",
    ),
    "patience never refilled": (
        lambda *case: _stop(*case, total=True),
        "evaluations without a gain are counted over the whole run. Count those in a row: after a "
        "gain that counts, start again at 0.",
    ),
    "one late": (
        lambda *case: _stop(*case, late=1),
        "you stop one evaluation too late. With patience 2 the second one in a row without a gain "
        "is the last.",
    ),
    "threshold forgotten": (
        lambda losses, patience, threshold: _stop(losses, patience, 0.0),
        "every gain refills the patience, however small. Only one of more than the threshold does.",
    ),
    "counted from one": (
        lambda *case: tuple(place + 1 for place in _stop(*case)),
        "the places are counted from 1. Python counts from 0.",
    ),
    "never stops": (
        lambda losses, *_: (len(losses) - 1, losses.index(min(losses))),
        "that looks at the whole list. When you stop, what would have come later is unknown.",
    ),
}


def _two(value: Any) -> tuple[float, ...]:
    pair: tuple[float, ...] = _numbers(value, 1)
    if len(pair) != 2:
        raise Wrong(SHAPE, "return two numbers: return stopped_at, best_at.")
    return pair


@exercise(
    "8.2",
    "Stop early, keep the best",
    answer_name="stop_early",
    difficulty=2,
    minutes=15,
    hints=(
        "keep two values apart: the best loss, for the weights, and the mark, for the patience.",
        "any lower loss moves the best; only loss < mark - threshold moves the mark and sets "
        "waited back to 0, everything else adds 1 to waited.",
        "for place, loss in enumerate(losses[1:], 1): … if waited == patience: return place, "
        "best_at; after the loop: return len(losses) - 1, best_at",
    ),
)
def check_stop_early(answer: Callable[..., Any]) -> None:
    """Judges stop_early(losses, patience, threshold) -> (stopped_at, best_at)."""
    judge(answer, _stop, _STOP_CASES, _STOP_MISTAKES, _two)


# ---- 8.3 LayerNorm

Hidden = list[list[Vector]]


def _layer_norm(hidden: Hidden, eps: float) -> Hidden:
    return [[_standard(vector, vector, eps) for vector in row] for row in hidden]


def _standard(
    vector: Vector, over: Vector, eps: float, centre: bool = True, less: int = 0
) -> Vector:
    """The vector by mean and deviation of the numbers in `over`."""
    mean = statistics.fmean(over) if centre else 0.0
    variance = sum((x - mean) ** 2 for x in over) / (len(over) - less)
    return [(x - mean) / math.sqrt(variance + eps) for x in vector]


def _batch_norm(hidden: Hidden, eps: float) -> Hidden:
    features = list(zip(*(vector for row in hidden for vector in row), strict=True))
    done = [_standard(list(values), list(values), eps) for values in features]
    vectors = iter(zip(*done, strict=True))
    return [[list(next(vectors)) for _ in row] for row in hidden]


def _by_row(hidden: Hidden, eps: float) -> Hidden:
    return [[_standard(v, [x for w in row for x in w], eps) for v in row] for row in hidden]


def _each(change: Callable[[Vector, float], Vector]) -> Callable[[Hidden, float], Hidden]:
    return lambda hidden, eps: [[change(vector, eps) for vector in row] for row in hidden]


def _centred(vector: Vector) -> Vector:
    mean = statistics.fmean(vector)
    return [x - mean for x in vector]


_NORM_CASES: list[Case] = [
    ([[[1.0, 2.0, 6.0], [0.0, -2.0, 5.0]], [[3.0, 3.5, 4.0], [-1.0, 7.0, 0.0]]], 0.01),
    ([[[4.0, -4.0], [1.0, 2.0], [0.5, 3.0]]], 0.1),
    ([[[10.0, 12.0, 11.0, 17.0]], [[0.5, -0.5, 1.5, 0.0]]], 1e-5),
]
_NORM_MISTAKES: dict[str, Mistake] = {
    "BatchNorm": (
        _batch_norm,
        "you take each feature over all rows and positions. That is BatchNorm: it mixes dialogues, "
        "and positions with what comes after them. Take the features of one position.",
    ),
    "over the whole row": (
        _by_row,
        "mean and variance are taken over all positions of a row. Then a later token changes an "
        "earlier one. Take the features of one position.",
    ),
    "not centred": (
        _each(lambda v, eps: _standard(v, v, eps, centre=False)),
        "the mean is not taken off. That is RMSNorm (without its gain).",
    ),
    "divided by n - 1": (
        _each(lambda v, eps: _standard(v, v, eps, less=1)),
        "the variance is divided by n - 1, as in statistics. LayerNorm divides by n.",
    ),
    "eps outside the root": (
        _each(lambda v, eps: [x / (statistics.pstdev(v) + eps) for x in _centred(v)]),
        "eps is added to the deviation. It belongs under the root, beside the variance.",
    ),
    "eps forgotten": (
        _each(lambda v, eps: [x / statistics.pstdev(v) for x in _centred(v)]),
        "eps is missing. It keeps a vector of equal numbers from 0/0.",
    ),
    "root forgotten": (
        _each(lambda v, eps: [x / (statistics.pvariance(v) + eps) for x in _centred(v)]),
        "you divide by the variance. Divide by its root.",
    ),
    "only centred": (
        _each(lambda v, eps: _centred(v)),
        "the mean is taken off, but nothing is divided.",
    ),
}


@exercise(
    "8.3",
    "LayerNorm by hand",
    answer_name="layer_norm",
    difficulty=1,
    minutes=8,
    hints=(
        "each position is normalised by itself: two loops, and then one vector is all you look at.",
        "mean = sum(v) / len(v); variance = sum((x - mean) ** 2 for x in v) / len(v)",
        "[(x - mean) / math.sqrt(variance + eps) for x in v]",
    ),
)
def check_layer_norm(answer: Callable[..., Any]) -> None:
    """Judges layer_norm(hidden, eps): (B, T, C) nested lists, each position by itself."""
    mistakes = {name: (_frozen(f, 3), words) for name, (f, words) in _NORM_MISTAKES.items()}
    judge(answer, _frozen(_layer_norm, 3), _NORM_CASES, mistakes, lambda v: _numbers(v, 3))


# ---- 8.4 an effect over three seeds

_T = 4.303


def _around(mean: float, half: float) -> tuple[float, float, float]:
    return mean, mean - half, mean + half


def _differences(without: Vector, tried: Vector) -> Vector:
    return [b - a for a, b in zip(without, tried, strict=True)]


def _seed_effect(without: Vector, tried: Vector, t: float = _T) -> tuple[float, float, float]:
    found = _differences(without, tried)
    return _around(statistics.mean(found), t * statistics.stdev(found) / math.sqrt(len(found)))


def _unpaired(without: Vector, tried: Vector) -> tuple[float, float, float]:
    count = len(tried)
    variance = (statistics.variance(without) + statistics.variance(tried)) / count
    mean = statistics.mean(tried) - statistics.mean(without)
    return _around(mean, _T * math.sqrt(variance))


def _population(without: Vector, tried: Vector) -> tuple[float, float, float]:
    found = _differences(without, tried)
    return _around(statistics.mean(found), _T * statistics.pstdev(found) / math.sqrt(len(found)))


def _no_root(without: Vector, tried: Vector) -> tuple[float, float, float]:
    found = _differences(without, tried)
    return _around(statistics.mean(found), _T * statistics.stdev(found))


def _ends(without: Vector, tried: Vector) -> tuple[float, float, float]:
    found = _differences(without, tried)
    return statistics.mean(found), min(found), max(found)


_EFFECT_CASES: list[Case] = [
    ([2.00, 2.30, 1.90], [1.90, 2.10, 1.85]),
    ([1.50, 1.52, 1.49], [1.60, 1.58, 1.57]),
    ([3.0, 2.0, 4.0], [3.1, 1.9, 4.3]),
]
_EFFECT_MISTAKES: dict[str, Mistake] = {
    "sign": (
        lambda a, b: _seed_effect(b, a),
        "the sign is the wrong way round: with the trick minus without it, so that less loss is "
        "below 0.",
    ),
    "not paired": (
        _unpaired,
        "the spread of the two lists is put together. Runs of one seed belong together: take the "
        "difference of each pair first, then the spread of the differences.",
    ),
    "1.96": (
        lambda a, b: _seed_effect(a, b, 1.96),
        "that is the factor of many runs. With three seeds the spread itself is hardly known, and "
        "Student's t makes up for it: 4.303.",
    ),
    "divided by n": (
        _population,
        "the variance is divided by n. From so few runs divide by n - 1 (statistics.stdev).",
    ),
    "no root of n": (
        _no_root,
        "that is the range of single differences. The mean of n is surer by √n: divide by it.",
    ),
    "least and greatest": (
        _ends,
        "that is the range of what was seen. Another three seeds easily leave it.",
    ),
}


def _three(value: Any) -> tuple[float, ...]:
    found: tuple[float, ...] = _numbers(value, 1)
    if len(found) != 3:
        raise Wrong(SHAPE, "return three numbers: return mean, low, high.")
    return found


@exercise(
    "8.4",
    "An effect and its interval",
    answer_name="seed_effect",
    difficulty=2,
    minutes=10,
    hints=(
        "first the list of differences, one a seed; all the rest is about that list.",
        "half the width is 4.303 * stdev / √n, with statistics.stdev, which divides by n - 1.",
        "d = [b - a for a, b in zip(without, tried)]; half = 4.303 * statistics.stdev(d) / "
        "math.sqrt(3)",
    ),
)
def check_seed_effect(answer: Callable[..., Any]) -> None:
    """Judges seed_effect(without, tried) -> (mean, low, high) for three seeds."""
    judge(answer, _seed_effect, _EFFECT_CASES, _EFFECT_MISTAKES, _three)


# ---- 8.5 merging LoRA


def _product(b: Matrix, a: Matrix) -> Matrix:
    columns = list(zip(*a, strict=True))
    return [[sum(map(mul, line, column)) for column in columns] for line in b]


def _sum(one: Matrix, other: Matrix, factor: float) -> Matrix:
    pairs = zip(one, other, strict=True)
    return [[x + factor * y for x, y in zip(*rows, strict=True)] for rows in pairs]


def _merged(weight: Matrix, a: Matrix, b: Matrix, alpha: float) -> Matrix:
    return _sum(weight, _product(b, a), alpha / len(a))


def _with_factor(factor: Callable[[float, int], float]) -> Callable[..., Matrix]:
    return lambda weight, a, b, alpha: _sum(weight, _product(b, a), factor(alpha, len(a)))


def _transposed(matrix: Matrix) -> Matrix:
    return [list(column) for column in zip(*matrix, strict=True)]


_MERGE_CASES: list[Case] = [
    ([[1.0, 0.0], [0.0, 1.0]], [[2.0, 3.0]], [[1.0], [-1.0]], 2.0),
    (
        [[0.5, -1.0, 2.0], [0.0, 1.0, 1.0], [3.0, 0.0, -2.0]],
        [[1.0, 0.0, 2.0], [0.5, -1.0, 0.0]],
        [[1.0, 2.0], [0.0, 1.0], [-1.0, 0.5]],
        8.0,
    ),
    (
        [[1.0, 1.0, 0.0], [2.0, 0.0, 1.0], [0.0, 3.0, 1.0]],
        [[1.0, 2.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, 1.0]],
        [[1.0, 0.0, 2.0], [0.0, 2.0, 1.0], [1.0, 1.0, 0.0]],
        6.0,
    ),
]
_MERGE_MISTAKES: dict[str, Mistake] = {
    "no factor": (
        _with_factor(lambda alpha, rank: 1.0),
        "the factor is missing: the product is scaled by alpha / rank.",
    ),
    "alpha alone": (
        _with_factor(lambda alpha, rank: alpha),
        "the product is scaled by alpha. Divide by the rank (the number of rows of a) as well, so "
        "that another rank needs no other learning rate.",
    ),
    "root of the rank": (
        _with_factor(lambda alpha, rank: alpha / math.sqrt(rank)),
        "that divides by the root of the rank, as the variant rsLoRA does. Plain LoRA divides by "
        "the rank.",
    ),
    "weight forgotten": (
        lambda w, a, b, alpha: _sum([[0.0] * len(r) for r in w], _product(b, a), alpha / len(a)),
        "that is the change alone. Add it to the weight.",
    ),
    "the other way round": (
        lambda w, a, b, alpha: _sum(w, _transposed(_product(b, a)), alpha / len(a)),
        "the change is transposed. The matrices are (out, in) here: b (out, rank) times a (rank, "
        "in). GPT-2 keeps (in, out), and mixing the two up raises no error where a matrix is "
        "square.",
    ),
    "taken off": (
        _with_factor(lambda alpha, rank: -alpha / rank),
        "the change is taken off. Merging adds it.",
    ),
}


@exercise(
    "8.5",
    "Merge LoRA into a weight",
    answer_name="merged_weight",
    difficulty=2,
    minutes=12,
    hints=(
        "rank = len(a); the factor is alpha / rank.",
        "entry (i, j) of the product: sum(b[i][k] * a[k][j] for k in range(rank)).",
        "[[weight[i][j] + alpha / rank * sum(b[i][k] * a[k][j] for k in range(rank)) for j in …] "
        "for i in …]",
    ),
)
def check_merged_weight(answer: Callable[..., Any]) -> None:
    """Judges merged_weight(weight, a, b, alpha): W + alpha / rank * B A, as nested lists."""
    mistakes = {name: (_frozen(f, 2), words) for name, (f, words) in _MERGE_MISTAKES.items()}
    judge(answer, _frozen(_merged, 2), _MERGE_CASES, mistakes, lambda v: _numbers(v, 2))
