"""What a measure of replies gives: the figure, its signature, and what its interval needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from course_lib.annotation.scores import Interval, Measure
from course_lib.metrics.intervals import Groups, Paired, bootstrap_totals, paired_totals, ratio


@dataclass(frozen=True, slots=True)
class Score:
    """A figure over all replies, with one figure a reply beside it.

    `signature` says how it was computed; scores with different signatures do not compare. `rows`
    (N, k) and `measure` hold what the figure is computed from, so that dialogues can be resampled.
    """

    value: float
    signature: str
    per_reply: tuple[float, ...]
    rows: np.ndarray
    measure: Measure = ratio

    def __float__(self) -> float:
        return self.value

    def interval(
        self, groups: Groups | None = None, resamples: int = 1000, seed: int = 0
    ) -> Interval:
        """The figure with its 95% bootstrap interval; `groups` names each reply's dialogue."""
        return bootstrap_totals(self.rows, self.measure, groups, resamples, seed)

    def against(
        self, other: Score, groups: Groups | None = None, resamples: int = 1000, seed: int = 0
    ) -> Paired:
        """This system (A) beside another (B) on the same items: A - B, and a p-value."""
        if self.signature != other.signature:
            raise ValueError(
                f"{self.signature!r} and {other.signature!r} are different measures: compute both "
                "with the same settings"
            )
        return paired_totals(self.rows, other.rows, self.measure, groups, resamples, seed)

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.signature}]"


def score_of(
    values: Sequence[float],
    signature: str,
    rows: np.ndarray | None = None,
    measure: Measure = ratio,
) -> Score:
    """A Score whose figure is the measure of the summed rows; by default the mean of values."""
    if rows is None:
        numbers = np.asarray(values, dtype=float)
        rows = np.stack([numbers, np.ones_like(numbers)], axis=1)
    if not len(rows):
        raise ValueError(f"no replies: {signature} measures nothing")
    value = float(measure(rows.sum(0)))
    return Score(value, signature, tuple(float(v) for v in values), rows, measure)


def texts_of(replies: Sequence[str], what: str = "replies") -> list[str]:
    """The texts as a list; raises TypeError for one bare text, ValueError for none."""
    if isinstance(replies, str):
        raise TypeError(f"{what}: one text, {replies[:40]!r}; give a list of texts")
    found = list(replies)
    wrong = next((text for text in found if not isinstance(text, str)), None)
    if wrong is not None:
        raise TypeError(
            f"{what}: {type(wrong).__name__} instead of a text; the replies come first, one text "
            "each, and the references second"
        )
    if not found:
        raise ValueError(f"{what}: none given, so there is nothing to measure")
    return found


def references_of(references: Sequence[str | Sequence[str]], count: int) -> list[tuple[str, ...]]:
    """For each of `count` replies its references, one or several; raises for any other form."""
    if isinstance(references, str):
        raise TypeError(
            f"references: one text, {references[:40]!r}; give a list, one for each reply"
        )
    rows = [(row,) if isinstance(row, str) else tuple(row) for row in references]
    if len(rows) != count:
        hint = ""
        if any(len(row) == count for row in rows):
            hint = ". They look the wrong way round: give for each reply a list of its references"
        raise ValueError(f"{count} replies and {len(rows)} references: one for each{hint}")
    for number, row in enumerate(rows):
        if not row or not all(isinstance(text, str) for text in row):
            raise TypeError(f"references of reply {number}: {row!r}; give a text or a list of them")
    return rows
