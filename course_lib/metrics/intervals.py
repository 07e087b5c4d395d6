"""Intervals by bootstrap and a paired test, over whole dialogues.

Turns of one dialogue resemble each other, so what is drawn again, or swapped between two systems,
is the dialogue. A row holds what one reply adds up to (its value and 1, its matches and its words,
…); a measure turns the sums of rows into the figure.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib.annotation import scores
from course_lib.annotation.scores import Interval, Measure

Groups = Sequence[Hashable]
Statistic = Callable[[np.ndarray], float]
_SWAPS_AT_ONCE = 1000  # bounds memory: (swaps, dialogues) numbers


@dataclass(frozen=True, slots=True)
class Paired:
    """How much more A is than B, and how often chance alone parts them as far (two-sided)."""

    difference: Interval
    p: float

    def __str__(self) -> str:
        d = self.difference
        return f"{d.value:+.3f} ({d.low:+.3f} to {d.high:+.3f}), p = {self.p:.3f}"


def mean(values: np.ndarray) -> float:
    """The plain mean: of all values together, not of the means of dialogues."""
    return float(np.mean(values))


def ratio(totals: np.ndarray) -> np.ndarray:
    """(…, 2) sums of numerator and denominator -> (…): their ratio, 0 where nothing was counted."""
    below = totals[..., 1]
    return np.divide(totals[..., 0], below, out=np.zeros_like(totals[..., 0]), where=below != 0)


def bootstrap(
    values: Sequence[float] | np.ndarray,
    groups: Groups | None = None,
    statistic: Statistic = mean,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """A statistic of the values with its 95% percentile interval; `groups` names the dialogues.

    Without groups each value stands for itself. Source: Efron and Tibshirani (1993), An
    introduction to the bootstrap, chapter 13.
    """
    numbers = _numbers(values)
    if statistic is mean:
        return bootstrap_totals(_with_count(numbers), ratio, groups, resamples, seed)
    parts = _parts(numbers, groups)
    found = [
        statistic(np.concatenate([parts[i] for i in d])) for d in _drawn(parts, resamples, seed)
    ]
    return _percentiles(float(statistic(numbers)), found)


def bootstrap_totals(
    rows: np.ndarray,
    measure: Measure = ratio,
    groups: Groups | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """The measure of (N, k) rows' sum with its interval; a measure takes (…, k) to (…)."""
    return scores.bootstrap(by_dialogue(rows, groups), measure, resamples, seed)


def paired(
    a: Sequence[float] | np.ndarray,
    b: Sequence[float] | np.ndarray,
    groups: Groups | None = None,
    statistic: Statistic = mean,
    resamples: int = 1000,
    seed: int = 0,
) -> Paired:
    """Two systems' values on the same items: A - B with its interval, and a p-value.

    The p-value comes from swapping A and B in whole dialogues at random (approximate
    randomisation). Source: Noreen (1989), Computer-intensive methods for testing hypotheses.
    """
    first, second = _numbers(a), _numbers(b)
    _require_pairs(first, second)
    if statistic is mean:
        rows = (_with_count(first), _with_count(second))
        return paired_totals(*rows, ratio, groups, resamples, seed)
    return _paired_any(_parts(first, groups), _parts(second, groups), statistic, resamples, seed)


def paired_totals(
    a: np.ndarray,
    b: np.ndarray,
    measure: Measure = ratio,
    groups: Groups | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Paired:
    """`paired` for (N, k) rows that a measure takes summed."""
    _require_pairs(a, b)
    first, second = by_dialogue(a, groups), by_dialogue(b, groups)
    difference = scores.bootstrap_difference(first, second, measure, resamples, seed)
    found = _swapped(first, second, measure, resamples, seed)
    return Paired(difference, _two_sided(difference.value, found))


def by_dialogue(rows: np.ndarray, groups: Groups | None = None) -> np.ndarray:
    """(N, …) rows of replies -> (D, …) sums by dialogue, in order of first appearance."""
    rows = np.asarray(rows, dtype=float)
    if groups is None:
        return rows
    number = _group_numbers(groups, len(rows))
    sums = np.zeros((max(number, default=-1) + 1, *rows.shape[1:]))
    np.add.at(sums, number, rows)
    return sums


def _group_numbers(groups: Groups, size: int) -> list[int]:
    if isinstance(groups, str) or len(groups) != size:
        raise ValueError(f"{size} values and {len(groups)} groups: name the dialogue of each value")
    known: dict[Hashable, int] = {}
    return [known.setdefault(group, len(known)) for group in groups]


def _numbers(values: Any) -> np.ndarray:
    numbers = np.asarray(values, dtype=float)
    if numbers.ndim != 1 or not len(numbers):
        raise ValueError(f"values of shape {numbers.shape}: give a row of at least one number")
    return numbers


def _with_count(numbers: np.ndarray) -> np.ndarray:
    return np.stack([numbers, np.ones_like(numbers)], axis=1)


def _require_pairs(a: np.ndarray, b: np.ndarray) -> None:
    if np.shape(a) != np.shape(b):
        raise ValueError(
            f"{len(a)} and {len(b)} values: a paired test needs both systems on the same items, "
            "in the same order"
        )


def _parts(numbers: np.ndarray, groups: Groups | None) -> list[np.ndarray]:
    """The values of each dialogue."""
    if groups is None:
        return [numbers[i : i + 1] for i in range(len(numbers))]
    number = np.asarray(_group_numbers(groups, len(numbers)))
    return [numbers[number == i] for i in range(number.max() + 1)]


def _drawn(parts: Sequence[Any], resamples: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, len(parts), (resamples, len(parts)))


def _percentiles(value: float, found: Sequence[float] | np.ndarray) -> Interval:
    low, high = np.quantile(found, [0.025, 0.975])
    return Interval(value, float(low), float(high))


def _paired_any(
    a: list[np.ndarray], b: list[np.ndarray], statistic: Statistic, resamples: int, seed: int
) -> Paired:
    def gap(first: list[np.ndarray], second: list[np.ndarray]) -> float:
        return float(statistic(np.concatenate(first)) - statistic(np.concatenate(second)))

    value = gap(a, b)
    drawn = _drawn(a, resamples, seed)
    difference = _percentiles(value, [gap([a[i] for i in d], [b[i] for i in d]) for d in drawn])
    swaps = np.random.default_rng(seed + 1).random((resamples, len(a))) < 0.5
    found = [
        gap(
            [y if s else x for x, y, s in zip(a, b, row, strict=True)],
            [x if s else y for x, y, s in zip(a, b, row, strict=True)],
        )
        for row in swaps
    ]
    return Paired(difference, _two_sided(value, np.asarray(found)))


def _swapped(
    first: np.ndarray, second: np.ndarray, measure: Measure, resamples: int, seed: int
) -> np.ndarray:
    """(resamples,) differences after A and B changed places in a random half of the dialogues."""
    shape, size = first.shape[1:], len(first)
    a, b = first.reshape(size, -1), second.reshape(size, -1)
    rng, found = np.random.default_rng(seed + 1), []
    for start in range(0, resamples, _SWAPS_AT_ONCE):
        swaps = (rng.random((min(_SWAPS_AT_ONCE, resamples - start), size)) < 0.5).astype(float)
        moved = swaps @ (b - a)
        found.append(
            measure((a.sum(0) + moved).reshape(-1, *shape))
            - measure((b.sum(0) - moved).reshape(-1, *shape))
        )
    return np.concatenate(found)


def _two_sided(value: float, found: np.ndarray) -> float:
    """Share of the chance differences at least as far from 0; the observed one counts as one."""
    slack = 1e-9 * max(1.0, abs(value))  # sums in another order differ by rounding
    return float((1 + np.sum(np.abs(found) >= abs(value) - slack)) / (1 + len(found)))
