"""Scores of labels and spans: accuracy, precision, recall, F1, with intervals over dialogues.

The unit of resampling is the dialogue, as turns of one dialogue resemble each other. Everything is
computed from counts: (D, L, 3) whole numbers, for each dialogue and label how often it was right,
said, and true.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib.dialogue import Entity

RIGHT, SAID, TRUE = range(3)

Measure = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with the bounds between which it falls in 95% of resamples."""

    value: float
    low: float
    high: float

    @property
    def interval(self) -> tuple[float, float]:
        """The bounds as a pair, as `plots.plot_shares` takes them."""
        return self.low, self.high

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True, slots=True)
class LabelScores:
    """Scores of one label a message. Macro means run over the labels that are true somewhere."""

    accuracy: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    micro_f1: float
    by_label: dict[str, tuple[float, float, float, int]]

    def table(self) -> str:
        """Precision, recall, F1 and number by label as readable text, the worst F1 first."""
        lines = [f"{'label':<22}{'precision':>10}{'recall':>8}{'F1':>8}{'true':>7}"]
        for label, (p, r, f, n) in sorted(self.by_label.items(), key=lambda row: row[1][2]):
            lines.append(f"{label:<22}{p:>10.2f}{r:>8.2f}{f:>8.2f}{n:>7,}")
        return "\n".join(lines)


def label_scores(true: Sequence[str], said: Sequence[str]) -> LabelScores:
    """Accuracy, precision, recall and F1 by label, macro and micro (scikit-learn's).

    A label that is said but never true counts against the labels it stands for, not as a label.
    """
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support

    if not true or len(true) != len(said):
        raise ValueError(f"{len(true)} true labels and {len(said)} said: give as many, at least 1")
    labels = sorted(set(true))
    rows = precision_recall_fscore_support(true, said, labels=labels, zero_division=0)
    precision, recall, f1, number = (row.tolist() for row in rows)
    accuracy = float(accuracy_score(true, said))
    by_label = dict(zip(labels, zip(precision, recall, f1, number, strict=True), strict=True))
    macro = [float(np.mean(values)) for values in (precision, recall, f1)]
    return LabelScores(accuracy, macro[0], macro[1], macro[2], accuracy, by_label)


REST = "(all others)"


def confusion(
    true: Sequence[str], said: Sequence[str], most: int | None = None
) -> tuple[list[str], np.ndarray]:
    """Labels and (L, L) counts of one label a message: rows true, columns said.

    With `most` only so many labels keep a row of their own, those in most mistakes, the worst
    first; the others share the last, "(all others)".
    """
    pairs = list(zip(true, said, strict=True))
    wrong = Counter(label for pair in pairs if pair[0] != pair[1] for label in pair)
    labels = sorted({*true, *said}, key=lambda label: (-wrong[label], label))
    kept = labels if most is None else labels[:most]
    names = kept if len(kept) == len(labels) else [*kept, REST]
    number = {label: min(i, len(kept)) for i, label in enumerate(labels)}
    counts = np.zeros((len(names), len(names)), dtype=np.int64)
    for t, s in pairs:
        counts[number[t], number[s]] += 1
    return names, counts


# ---- counts


def label_counts(
    groups: Sequence[Hashable], true: Sequence[str], said: Sequence[str]
) -> np.ndarray:
    """(D, L, 3) counts of one label a message; `groups` names each message's dialogue."""
    pairs = zip(groups, true, said, strict=True)
    return _counts((group, {(t, 0)}, {(s, 0)}) for group, t, s in pairs)


def entity_counts(
    groups: Sequence[Hashable],
    true: Sequence[Iterable[Entity]],
    said: Sequence[Iterable[Entity]],
) -> np.ndarray:
    """(D, L, 3) counts of spans; right is a span with slot and both borders right (strict)."""
    pairs = zip(groups, true, said, strict=True)
    return _counts((group, _keys(t), _keys(s)) for group, t, s in pairs)


def _keys(entities: Iterable[Entity]) -> set[tuple[str, Any]]:
    return {(entity.slot, (entity.start, entity.end)) for entity in entities}


def _counts(
    rows: Iterable[tuple[Hashable, set[tuple[str, Any]], set[tuple[str, Any]]]],
) -> np.ndarray:
    rows = list(rows)
    groups = {group: i for i, group in enumerate(dict.fromkeys(row[0] for row in rows))}
    names = sorted({label for _, true, said in rows for label, _ in true | said})
    labels = {label: i for i, label in enumerate(names)}
    counts = np.zeros((len(groups), len(labels), 3), dtype=np.int64)
    for group, true, said in rows:
        for kind, found in ((RIGHT, true & said), (SAID, said), (TRUE, true)):
            for label, _ in found:
                counts[groups[group], labels[label], kind] += 1
    return counts


def _f1(counts: np.ndarray) -> np.ndarray:
    """(…, 3) -> (…): 2 right / (said + true), 0 where there is nothing."""
    both = counts[..., SAID] + counts[..., TRUE]
    return 2 * counts[..., RIGHT] / np.maximum(both, 1)


def macro_f1(counts: np.ndarray) -> np.ndarray:
    """(…, L, 3) -> (…): mean F1 over the labels that are true somewhere."""
    there = counts[..., TRUE] > 0
    return (_f1(counts) * there).sum(-1) / np.maximum(there.sum(-1), 1)


def micro_f1(counts: np.ndarray) -> np.ndarray:
    """(…, L, 3) -> (…): F1 of all labels together; with one label a message, the accuracy."""
    return _f1(counts.sum(-2))


def micro_precision(counts: np.ndarray) -> np.ndarray:
    """(…, L, 3) -> (…): right of what was said, 0 where nothing was."""
    total = counts.sum(-2)
    return total[..., RIGHT] / np.maximum(total[..., SAID], 1)


def micro_recall(counts: np.ndarray) -> np.ndarray:
    """(…, L, 3) -> (…): right of what is true, 0 where nothing is."""
    total = counts.sum(-2)
    return total[..., RIGHT] / np.maximum(total[..., TRUE], 1)


# ---- intervals


def bootstrap(
    counts: np.ndarray, measure: Measure = macro_f1, samples: int = 1000, seed: int = 0
) -> Interval:
    """A measure on all dialogues, with a 95% percentile interval over resampled dialogues.

    Source: Efron and Tibshirani (1993), An introduction to the bootstrap, chapter 13.
    """
    _require_some(counts)
    values = measure(_resampled(counts, samples, seed))
    return _interval(float(measure(counts.sum(0))), values)


def bootstrap_difference(
    first: np.ndarray,
    second: np.ndarray,
    measure: Measure = macro_f1,
    samples: int = 1000,
    seed: int = 0,
) -> Interval:
    """How much better `first` is than `second` on the same dialogues, resampled together.

    An interval above 0 is a difference; two overlapping intervals would not deny one.
    """
    _require_some(first)
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} dialogues: compare on the same ones")
    values = measure(_resampled(first, samples, seed)) - measure(_resampled(second, samples, seed))
    return _interval(float(measure(first.sum(0)) - measure(second.sum(0))), values)


def _require_some(counts: np.ndarray) -> None:
    if not len(counts):
        raise ValueError("no dialogues: there is nothing to resample")


def _resampled(counts: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """(D, L, 3) -> (samples, L, 3): sums over dialogues that were drawn with replacement."""
    size = len(counts)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(size, np.full(size, 1 / size), size=samples)
    sums = weights.astype(float) @ counts.reshape(size, -1).astype(float)
    return sums.reshape(samples, *counts.shape[1:])


def _interval(value: float, values: np.ndarray) -> Interval:
    low, high = np.quantile(values, [0.025, 0.975])
    return Interval(value, float(low), float(high))
