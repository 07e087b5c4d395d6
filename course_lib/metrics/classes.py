"""Classes: accuracy, precision, recall, F1 and the confusion matrix, with intervals.

Built on `annotation.scores`, which counts for each dialogue and label how often it was right, said
and true. Here an item may have one label or a set of them. What is true comes first, as in
scikit-learn: the other way round, precision and recall change places.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from course_lib.annotation.scores import (
    RIGHT,
    SAID,
    TRUE,
    LabelScores,
    Measure,
    confusion,
    label_scores,
    macro_f1,
    micro_f1,
    micro_precision,
    micro_recall,
)
from course_lib.metrics.score import Score, score_of

__all__ = [
    "LabelScores",
    "accuracy",
    "confusion",
    "f1",
    "label_scores",
    "precision",
    "recall",
]

Labels = Sequence[str | Iterable[str]]
AVERAGES = ("macro", "micro")


def accuracy(true: Labels, said: Labels) -> Score:
    """Share of items whose label, or whole set of labels, is right."""
    return score_of([float(t == s) for t, s in _pairs(true, said)], "accuracy")


def f1(true: Labels, said: Labels, label: str | None = None, average: str = "macro") -> Score:
    """F1 of one label, or over all labels that are true somewhere ("macro") or pooled ("micro")."""
    if label is None and average not in AVERAGES:
        raise ValueError(f"average {average!r}: choose from {', '.join(AVERAGES)}")
    measure = macro_f1 if label is None and average == "macro" else micro_f1
    return _score(true, said, label, measure, f"F1|{label or average}")


def precision(true: Labels, said: Labels, label: str | None = None) -> Score:
    """How much of what was said is right, of one label or pooled; 0 where nothing was said."""
    return _score(true, said, label, micro_precision, f"precision|{label or 'micro'}")


def recall(true: Labels, said: Labels, label: str | None = None) -> Score:
    """How much of what is true was said, of one label or pooled; 0 where nothing is true."""
    return _score(true, said, label, micro_recall, f"recall|{label or 'micro'}")


def _score(
    true: Labels, said: Labels, label: str | None, measure: Measure, signature: str
) -> Score:
    pairs = _pairs(true, said)
    names = sorted({name for side in (0, 1) for pair in pairs for name in pair[side]})
    if label is not None:
        names = [label]
    elif measure is macro_f1:  # the same for every system that is held to the same truth
        names = sorted({name for true_ones, _ in pairs for name in true_ones})
    counts = np.asarray([[_counted(name, t, s) for name in names] for t, s in pairs], dtype=float)
    rows = counts.reshape(len(pairs), len(names), 3)
    if measure is not macro_f1:
        rows = rows.sum(1, keepdims=True)
    return score_of([float(t == s) for t, s in pairs], signature, rows, measure)


def _counted(label: str, true: frozenset[str], said: frozenset[str]) -> list[int]:
    found = [0, 0, 0]
    found[RIGHT] = label in said and label in true
    found[SAID], found[TRUE] = label in said, label in true
    return found


def _pairs(true: Labels, said: Labels) -> list[tuple[frozenset[str], frozenset[str]]]:
    for name, labels in (("true", true), ("said", said)):
        if isinstance(labels, str):
            raise TypeError(
                f"{name}: one text, {labels[:40]!r}; give a list, a label for each item"
            )
    if len(said) != len(true) or not len(said):
        raise ValueError(f"{len(true)} true labels and {len(said)} said: give as many, at least 1")
    return [(_set(t), _set(s)) for t, s in zip(true, said, strict=True)]


def _set(labels: str | Iterable[str]) -> frozenset[str]:
    return frozenset([labels]) if isinstance(labels, str) else frozenset(labels)
