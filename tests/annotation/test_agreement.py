"""Agreement: the published worked examples, the borders of the scale, missing ratings."""

from __future__ import annotations

import math
import random

import pytest

pytest.importorskip("sklearn")

from course_lib.annotation.agreement import (
    agreement,
    cohens_kappa,
    disagreements,
    krippendorff_alpha,
    raw_agreement,
)

N = None

# Krippendorff (2011), Computing Krippendorff's alpha-reliability: sections A (two observers, two
# categories), B (two observers, five categories) and C to E (four observers, ratings missing).
BINARY = [
    [0, 1, 0, 0, 0, 0, 0, 0, 1, 0],
    [1, 1, 1, 0, 0, 1, 0, 0, 0, 0],
]
LETTERS = ["aabbdcccedda", "babbbccceddd"]
FOUR = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, N, N, N],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, N, 3],
    [N, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, N],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, N],
]
# Wikipedia, "Krippendorff's alpha", computational example: three coders, fifteen units.
THREE = [
    [N, N, N, N, N, 3, 4, 1, 2, 1, 1, 3, 3, N, 3],
    [1, N, 2, 1, 3, 3, 4, 3, N, N, N, N, N, N, N],
    [N, N, 2, 1, 3, 4, 4, N, 2, 1, 1, 3, 3, N, 4],
]


@pytest.mark.parametrize(
    ("ratings", "level", "alpha"),
    [
        (BINARY, "nominal", 0.095),
        (LETTERS, "nominal", 0.692),
        (FOUR, "nominal", 0.743),
        (FOUR, "ordinal", 0.815),
        (FOUR, "interval", 0.849),
        (THREE, "nominal", 0.691),
        (THREE, "interval", 0.811),
    ],
)
def test_alpha_is_that_of_the_published_examples(ratings, level, alpha):
    assert krippendorff_alpha(ratings, level) == pytest.approx(alpha, abs=5e-4)


def by_pairs(ratings, distance) -> float:
    """Alpha the long way: mean distance within items over mean distance of any two ratings."""
    items = [[v for v in column if v is not None] for column in zip(*ratings, strict=True)]
    items = [item for item in items if len(item) > 1]
    within = [
        (distance(a, b), 1 / (len(item) - 1))
        for item in items
        for i, a in enumerate(item)
        for j, b in enumerate(item)
        if i != j
    ]
    values = [value for item in items for value in item]
    across = [distance(a, b) for i, a in enumerate(values) for j, b in enumerate(values) if i != j]
    observed = sum(d * w for d, w in within) / len(values)
    return 1 - observed / (sum(across) / (len(values) * (len(values) - 1)))


def test_alpha_is_that_of_all_pairs_on_random_ratings():
    rng = random.Random(0)
    for _ in range(30):
        shape = (rng.randint(2, 4), rng.randint(4, 9))
        ratings = [[rng.choice([1, 2, 4, 7, N]) for _ in range(shape[1])] for _ in range(shape[0])]
        ratings[0][:2], ratings[1][:2] = [1, 2], [1, 4]  # never all alike, never nothing in common
        nominal = by_pairs(ratings, lambda a, b: a != b)
        assert krippendorff_alpha(ratings) == pytest.approx(nominal)
        interval = by_pairs(ratings, lambda a, b: (a - b) ** 2)
        assert krippendorff_alpha(ratings, "interval") == pytest.approx(interval)


def test_perfect_chance_and_opposite():
    row = ["a", "b", "c", "a"]
    assert krippendorff_alpha([row, row, row]) == 1.0 == cohens_kappa(row, row)
    rng = random.Random(0)
    coins = [[rng.choice("ab") for _ in range(4000)] for _ in range(2)]
    assert abs(krippendorff_alpha(coins)) < 0.05 and abs(cohens_kappa(*coins)) < 0.05
    assert cohens_kappa("abab", "baba") == -1.0
    assert krippendorff_alpha(["abab" * 50, "baba" * 50]) == pytest.approx(-1, abs=0.01)


def test_on_many_items_alpha_of_two_is_nearly_kappa():
    rng = random.Random(1)
    first = [rng.choice("abc") for _ in range(3000)]
    second = [label if rng.random() < 0.7 else rng.choice("abc") for label in first]
    kappa = cohens_kappa(first, second)
    assert 0.6 < kappa < 0.8
    assert krippendorff_alpha([first, second]) == pytest.approx(kappa, abs=0.01)


def test_kappa_by_hand():
    # 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: 0.70 seen, 0.50 by chance
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert cohens_kappa(first, second) == pytest.approx(0.4)
    assert raw_agreement([first, second]) == pytest.approx(0.7)


def test_labels_that_are_skewed_make_alpha_low_at_high_agreement():
    first = ["ok"] * 95 + ["bad"] * 5
    second = ["ok"] * 97 + ["bad"] * 1 + ["ok"] * 2
    assert raw_agreement([first, second]) > 0.92
    assert krippendorff_alpha([first, second]) < 0.35


def test_one_label_throughout_is_no_agreement_beyond_chance():
    assert math.isnan(cohens_kappa(["a", "a"], ["a", "a"]))
    assert math.isnan(krippendorff_alpha([["a", "a"], ["a", "a"]]))


def test_missing_ratings_are_none_or_nan_and_lone_ones_do_not_count():
    nan = float("nan")
    holes = [[1, 2, 3, N, 2], [1, 2, 2, 4, 1]]
    assert krippendorff_alpha(holes) == krippendorff_alpha([[1, 2, 3, nan, 2], holes[1]])
    assert krippendorff_alpha(holes) == krippendorff_alpha([[1, 2, 3, 2], [1, 2, 2, 1]])


def test_ranks_follow_the_given_order():
    order = ["bad", "fair", "good"]
    near = [["bad", "fair", "good", "good"], ["bad", "good", "good", "good"]]
    as_numbers = [[order.index(value) for value in row] for row in near]
    assert krippendorff_alpha(near, "ordinal", order) == krippendorff_alpha(as_numbers, "ordinal")
    with pytest.raises(ValueError, match="not in the order: fair"):
        krippendorff_alpha(near, "ordinal", ["bad", "good"])


@pytest.mark.parametrize(
    ("ratings", "level", "said"),
    [
        ([[1, 2]], "nominal", "two or more rows"),
        ([[1, 2], [1]], "nominal", "rows of one length"),
        ([[1, N], [N, 1]], "nominal", "no item has two ratings"),
        ([[1, 2], [1, 2]], "ratio", "choose from nominal, ordinal, interval"),
    ],
)
def test_what_cannot_be_compared_is_refused(ratings, level, said):
    with pytest.raises(ValueError, match=said):
        krippendorff_alpha(ratings, level)


def test_annotators_by_name():
    given = {
        "ana": {1: "thanks", 2: "greeting", 3: "ask_price", 4: "ask_price"},
        "ben": {1: "thanks", 2: "greeting", 3: "ask_weight"},
        "eve": {9: "thanks"},
    }
    found = agreement(given)
    assert (found.items, found.raw) == (3, pytest.approx(2 / 3))
    assert found.kappas["ana", "ben"] == pytest.approx(cohens_kappa("tgp", "tgw"))
    assert math.isnan(found.kappas["ana", "eve"])
    assert disagreements(given) == [(3, {"ana": "ask_price", "ben": "ask_weight"})]
    assert str(found).startswith("3 items, raw 0.67, alpha ")
