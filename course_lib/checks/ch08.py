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


# ---- 8.1 dropout


def _dropout(
    values: Vector, draws: Vector, share: float, training: bool, scale: float | None = None
) -> Vector:
    if not training:
        return list(values)
    factor = 1 / (1 - share) if scale is None else scale
    pairs = zip(values, draws, strict=True)
    return [0.0 if draw < share else factor * value for value, draw in pairs]


def _old_style(values: Vector, draws: Vector, share: float, training: bool) -> Vector:
    if not training:
        return [(1 - share) * value for value in values]
    return _dropout(values, draws, share, True, 1.0)


def _others_dropped(values: Vector, draws: Vector, share: float, training: bool) -> Vector:
    if not training:
        return list(values)
    pairs = zip(values, draws, strict=True)
    return [value / (1 - share) if draw < share else 0.0 for value, draw in pairs]


def _cut_out(values: Vector, draws: Vector, share: float, training: bool) -> Vector:
    if not training:
        return list(values)
    return [v / (1 - share) for v, draw in zip(values, draws, strict=True) if draw >= share]


_DROPOUT_CASES: list[Case] = [
    ([1.0, -2.0, 3.0, 4.0], [0.05, 0.4, 0.9, 0.2], 0.25, True),
    ([1.0, -2.0, 3.0, 4.0], [0.05, 0.4, 0.9, 0.2], 0.25, False),
    ([0.5, 0.5, -1.0], [0.1, 0.1, 0.7], 0.1, True),
    ([2.0, 6.0], [0.3, 0.8], 0.6, True),
    ([7.0, -1.0], [0.0, 0.9], 0.0, True),
]
_DROPOUT_MISTAKES: dict[str, Mistake] = {
    "not scaled": (
        lambda v, d, s, t: _dropout(v, d, s, t, 1.0),
        "what is kept is not scaled up. Then the layer's sum is smaller in training than in "
        "evaluation. Divide by 1 - share.",
    ),
    "scaled down": (
        lambda v, d, s, t: _dropout(v, d, s, t, 1 - s),
        "what is kept is made smaller. It must make up for what is gone: divide by 1 - share.",
    ),
    "divided by the share": (
        lambda v, d, s, t: _dropout(v, d, s, t, 1 / s if s else 1.0),
        "you divide by the share of what is dropped. Divide by the share of what is kept.",
    ),
    "the others dropped": (
        _others_dropped,
        "dropped is where the draw is below the share; you keep just these.",
    ),
    "on in evaluation": (
        lambda v, d, s, t: _dropout(v, d, s, True),
        "it drops in evaluation, too. That is the trap: replies and losses become random and "
        "worse. With training False nothing changes.",
    ),
    "scaled in evaluation": (
        _old_style,
        "that is how the first paper did it: full values in training, smaller ones in evaluation. "
        "Today what is kept is scaled in training, and evaluation needs nothing.",
    ),
    "cut out": (
        _cut_out,
        "the dropped values are left out, so the list is shorter. Set them to 0.",
    ),
}


@exercise(
    "8.1",
    "Dropout by hand",
    answer_name="dropout",
    difficulty=1,
    minutes=6,
    hints=(
        "two ways of working: with training False the values come back as they are.",
        "in training: 0.0 where draw < share, and value / (1 - share) elsewhere.",
        "[0.0 if d < share else v / (1 - share) for v, d in zip(values, draws)]",
    ),
)
def check_dropout(answer: Callable[..., Any]) -> None:
    """Judges dropout(values, draws, share, training): zeros, the rest scaled; or nothing."""
    mistakes = {name: (_frozen(f, 1), words) for name, (f, words) in _DROPOUT_MISTAKES.items()}
    judge(answer, _frozen(_dropout, 1), _DROPOUT_CASES, mistakes, lambda value: _numbers(value, 1))


# ---- 8.2 the share that LoRA trains

Shapes = list[tuple[int, int]]


def _thin(shapes: Shapes, rank: int) -> int:
    return sum(rank * (inside + outside) for inside, outside in shapes)


def _full(shapes: Shapes) -> int:
    return sum(inside * outside for inside, outside in shapes)


def _lora_share(shapes: Shapes, rank: int, other: int, tokens: int) -> float:
    trained = _thin(shapes, rank) + tokens
    return trained / (_full(shapes) + other + trained)


def _share_of(trained: int, shapes: Shapes, other: int) -> float:
    return trained / (_full(shapes) + other + trained)


_SHARE_CASES: list[Case] = [
    ([(4, 12), (4, 4), (4, 16), (16, 4)], 2, 100, 8),
    ([(10, 10)], 1, 0, 0),
    ([(192, 576), (192, 192), (192, 768), (768, 192)] * 6, 8, 786_432, 1_152),
    ([(64, 32), (32, 64)], 4, 500, 64),
]
_SHARE_MISTAKES: dict[str, Mistake] = {
    "adapters not counted below": (
        lambda s, r, o, t: (_thin(s, r) + t) / (_full(s) + o),
        "below the line stand the weights of the base alone. The adapters are weights of the model "
        "as well: add what is trained.",
    ),
    "token rows forgotten": (
        lambda s, r, o, t: _share_of(_thin(s, r), s, o),
        "the rows of the new tokens are trained, too: add `tokens`.",
    ),
    "one matrix of two": (
        lambda s, r, o, t: _share_of(sum(r * i for i, _ in s) + t, s, o),
        "you count A alone. B has rank × out numbers.",
    ),
    "full size": (
        lambda s, r, o, t: (_full(s) + t) / (_full(s) + o + t),
        "you count the adapted matrices as trained. They are frozen; trained are the thin ones "
        "beside them.",
    ),
    "product": (
        lambda s, r, o, t: _share_of(r * _full(s) + t, s, o),
        "rank × in × out is no size of A or B. A has rank × in numbers, B has out × rank.",
    ),
    "other weights forgotten": (
        lambda s, r, o, t: (_thin(s, r) + t) / (_full(s) + _thin(s, r) + t),
        "below the line the weights without an adapter (`other`: embeddings, norms, biases) are "
        "missing.",
    ),
    "per cent": (
        lambda s, r, o, t: 100 * _lora_share(s, r, o, t),
        "that is in per cent. Return a share from 0 to 1.",
    ),
}


@exercise(
    "8.2",
    "How much does LoRA train?",
    answer_name="lora_share",
    difficulty=2,
    minutes=8,
    hints=(
        "for one matrix (in, out): A is (rank, in) and B is (out, rank).",
        "trained = the sum of rank * (in + out), and tokens.",
        "trained / (sum of in * out + other + trained)",
    ),
)
def check_lora_share(answer: Callable[..., Any]) -> None:
    """Judges lora_share(shapes, rank, other, tokens): trained weights by all weights."""
    judge(answer, _lora_share, _SHARE_CASES, _SHARE_MISTAKES)


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
