"""What is not ours to answer: found by a classifier's low confidence, by a threshold set on dev.

A classifier must name one of its labels whatever it reads. A message counts as out of scope when
the greatest probability lies below the threshold; the test data have no say in choosing it.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from course_lib.annotation.labels import Example

OUTSIDE = "out_of_scope"
TARGETS = ("f1", "false_alarms")


class Classifier(Protocol):
    """What gives probabilities: a scikit-learn pipeline as well as our models."""

    def predict_proba(self, texts: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Detector:
    """A threshold and what it was chosen for; `found` are its scores where it was chosen."""

    threshold: float
    target: str
    found: dict[str, float]

    def is_outside(self, confidence: np.ndarray) -> np.ndarray:
        """(N,) bool: True where the confidence lies below the threshold."""
        return np.asarray(confidence) < self.threshold


def confidences(classifier: Classifier, texts: Sequence[str]) -> np.ndarray:
    """(N,) greatest probability that the classifier gives any label."""
    return np.asarray(classifier.predict_proba(list(texts))).max(axis=1)


def split_scope(
    examples: Sequence[Example], outside: frozenset[str] = frozenset({OUTSIDE})
) -> tuple[list[Example], list[Example]]:
    """Examples in scope, to train a classifier on, and those that are not, which it never sees."""
    inside = [example for example in examples if example.intent not in outside]
    return inside, [example for example in examples if example.intent in outside]


def detection_scores(
    confidence: Sequence[float] | np.ndarray,
    outside: Sequence[bool] | np.ndarray,
    threshold: float,
) -> dict[str, float]:
    """Precision, recall and F1 of "outside", the rate of false alarms, and the area under the ROC.

    Shares of nothing are 0; the area is not a number when all or none is outside.
    """
    confidence, outside = _checked(confidence, outside)
    said = confidence < threshold
    right, false = int((said & outside).sum()), int((said & ~outside).sum())
    precision = right / max(1, right + false)
    recall = right / max(1, int(outside.sum()))
    both = right + false + int(outside.sum())
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * right / max(1, both),
        "false_alarms": false / max(1, int((~outside).sum())),
        "auroc": _area(confidence, outside),
    }


def _area(confidence: np.ndarray, outside: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    if outside.all() or not outside.any():
        return float("nan")
    return float(roc_auc_score(outside, -confidence))


def choose_threshold(
    confidence: Sequence[float] | np.ndarray,
    outside: Sequence[bool] | np.ndarray,
    target: str = "f1",
    rate: float = 0.05,
) -> Detector:
    """The threshold that serves `target` best on dev.

    "f1": the greatest F1 of "outside", of equals the lowest threshold. "false_alarms": the greatest
    recall while at most `rate` of what is in scope is refused.
    """
    if target not in TARGETS:
        raise ValueError(f"target {target!r}: choose from {', '.join(TARGETS)}")
    confidence, outside = _checked(confidence, outside)
    if outside.all() or not outside.any():
        raise ValueError("dev needs messages in scope as well as out of scope to set a threshold")
    thresholds, right, false = _sweep(confidence, outside)
    if target == "f1":
        best = int(np.argmax(2 * right / (right + false + outside.sum())))
    else:
        best = int(np.flatnonzero(false <= rate * (~outside).sum())[-1])
    threshold = float(thresholds[best])
    name = target if target == "f1" else f"{target} at most {rate:g}"
    return Detector(threshold, name, detection_scores(confidence, outside, threshold))


def _checked(confidence: Any, outside: Any) -> tuple[np.ndarray, np.ndarray]:
    confidence, outside = np.asarray(confidence, dtype=float), np.asarray(outside, dtype=bool)
    if confidence.shape != outside.shape or confidence.ndim != 1 or not len(confidence):
        raise ValueError(
            f"{confidence.shape} confidences and {outside.shape} marks: give two rows of one length"
        )
    if np.isnan(confidence).any():
        raise ValueError("a confidence is not a number; check the classifier")
    return confidence, outside


def _sweep(
    confidence: np.ndarray, outside: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every threshold that matters, lowest first, with the right and the false alarms below it.

    Each lies in the middle between two neighbouring confidences; the last is above all.
    """
    order = np.argsort(confidence, kind="stable")
    values, outside = confidence[order], outside[order]
    right = np.concatenate([[0], outside.cumsum()])
    false = np.concatenate([[0], (~outside).cumsum()])
    middles = np.concatenate([values[:1], (values[:-1] + values[1:]) / 2, [np.inf]])
    steps = np.concatenate([[True], values[1:] > values[:-1], [True]])
    # two neighbours may be so close that the middle is one of them: then take the upper
    middles[1:-1] = np.maximum(middles[1:-1], np.nextafter(values[:-1], np.inf))
    return middles[steps], right[steps], false[steps]


def outside_counts(
    groups: Sequence[Hashable], outside: Sequence[bool], said: Sequence[bool]
) -> np.ndarray:
    """(D, 1, 3) counts of the one label "outside": right, said and true, for `scores.bootstrap`.

    `groups` names each message's dialogue.
    """
    places = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    counts = np.zeros((len(places), 1, 3), dtype=np.int64)
    for group, true, found in zip(groups, outside, said, strict=True):
        counts[places[group], 0] += bool(true and found), bool(found), bool(true)
    return counts
