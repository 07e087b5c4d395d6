"""How far annotators agree: raw, Cohen's kappa, Krippendorff's alpha.

Read them together: where one label is nearly always right, two annotators can agree on 95% and
still have an alpha near 0, as chance alone would have made them agree as often.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal, get_args

import krippendorff

Level = Literal["nominal", "ordinal", "interval"]
LEVELS = get_args(Level)

Ratings = Sequence[Sequence[Any]]


def cohens_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """Agreement of two annotators beyond chance, from -1 to 1 (scikit-learn's).

    Not a number when both gave one and the same label throughout: chance alone explains that.
    Source: Cohen (1960), A coefficient of agreement for nominal scales.
    """
    from sklearn.metrics import cohen_kappa_score

    _require_same_items([first, second])
    labels = sorted({*first, *second}, key=str)
    if len(labels) < 2:
        return float("nan")
    numbers = {label: i for i, label in enumerate(labels)}
    rows = ([numbers[label] for label in labels] for labels in (first, second))
    return float(cohen_kappa_score(*rows))


def raw_agreement(ratings: Ratings) -> float:
    """Share of pairs of annotators who gave one item the same label; None is missing."""
    pairs = [
        first == second for values in _by_item(ratings) for first, second in combinations(values, 2)
    ]
    if not pairs:
        raise ValueError("no item has two ratings, so there is nothing to compare")
    return sum(pairs) / len(pairs)


def krippendorff_alpha(
    ratings: Ratings, level: Level = "nominal", order: Sequence[Hashable] | None = None
) -> float:
    """Agreement of any number of annotators beyond chance; 1 is perfect, 0 is chance.

    `ratings` has a row for each annotator and a column for each item; None or NaN is missing, and
    items with one rating do not count. `level`: "nominal" (labels), "ordinal" (ranks; `order` names
    them from low to high where sorting does not), "interval" (numbers). Not a number when all
    ratings are the same. Computed by the `krippendorff` package. Source: Krippendorff (2011),
    Computing Krippendorff's alpha-reliability.
    """
    if level not in LEVELS:
        raise ValueError(f"level {level!r}: choose from {', '.join(LEVELS)}")
    items = [values for values in _by_item(ratings) if len(values) > 1]
    if not items:
        raise ValueError("no item has two ratings, so there is nothing to compare")
    values = _ordered({value for item in items for value in item}, order, level)
    if len(values) < 2:
        return float("nan")
    numbers = values if level == "interval" else list(range(len(values)))
    counts = [[item.count(value) for value in values] for item in items]
    return float(
        krippendorff.alpha(value_counts=counts, value_domain=numbers, level_of_measurement=level)
    )


def _by_item(ratings: Ratings) -> list[list[Any]]:
    """The ratings of each item, without the missing ones."""
    _require_same_items(ratings)
    return [[v for v in column if not _missing(v)] for column in zip(*ratings, strict=True)]


def _require_same_items(ratings: Ratings) -> None:
    lengths = sorted({len(row) for row in ratings})
    if len(ratings) < 2 or len(lengths) != 1:
        raise ValueError(
            f"{len(ratings)} annotators with {lengths} ratings: give two or more rows of one "
            "length, with None where somebody did not rate"
        )


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)


def _ordered(values: set[Any], order: Sequence[Hashable] | None, level: Level) -> list[Any]:
    if order is None:
        return sorted(values, key=str if level == "nominal" else None)
    unknown = sorted(str(value) for value in values - set(order))
    if unknown:
        raise ValueError(f"not in the order: {', '.join(unknown)}")
    return [value for value in order if value in values]


# ---- annotators by name


@dataclass(frozen=True, slots=True)
class Agreement:
    """How annotators agree on the items that two or more of them labelled."""

    items: int
    raw: float
    alpha: float
    kappas: dict[tuple[str, str], float]

    def __str__(self) -> str:
        pairs = "".join(
            f"\n  kappa {a} / {b}: {value:.2f}" for (a, b), value in self.kappas.items()
        )
        return f"{self.items} items, raw {self.raw:.2f}, alpha {self.alpha:.2f}{pairs}"


def agreement(by_annotator: Mapping[str, Mapping[Any, Hashable]]) -> Agreement:
    """Agreement of named annotators, each with item -> label; only common items count."""
    items = sorted({item for labels in by_annotator.values() for item in labels}, key=str)
    ratings = [[labels.get(item) for item in items] for labels in by_annotator.values()]
    shared = sum(len(values) > 1 for values in _by_item(ratings))
    kappas = {
        (a, b): _kappa_on_common(by_annotator[a], by_annotator[b])
        for a, b in combinations(by_annotator, 2)
    }
    return Agreement(shared, raw_agreement(ratings), krippendorff_alpha(ratings), kappas)


def _kappa_on_common(first: Mapping[Any, Any], second: Mapping[Any, Any]) -> float:
    common = [item for item in first if item in second]
    if not common:
        return float("nan")
    return cohens_kappa([first[item] for item in common], [second[item] for item in common])


def disagreements(
    by_annotator: Mapping[str, Mapping[Any, Hashable]],
) -> list[tuple[Any, dict[str, Hashable]]]:
    """(item, label by annotator) wherever labels differ: what to talk about."""
    items = sorted({item for labels in by_annotator.values() for item in labels}, key=str)
    given = (
        (item, {name: labels[item] for name, labels in by_annotator.items() if item in labels})
        for item in items
    )
    return [(item, labels) for item, labels in given if len(set(labels.values())) > 1]
