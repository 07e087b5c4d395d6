"""Scores: equal to scikit-learn's and to cases by hand; intervals over dialogues."""

from __future__ import annotations

import random

import numpy as np
import pytest

pytest.importorskip("sklearn")

from course_lib.annotation.scores import (
    REST,
    Interval,
    bootstrap,
    bootstrap_difference,
    confusion,
    entity_counts,
    label_counts,
    label_scores,
    macro_f1,
    micro_f1,
    micro_precision,
    micro_recall,
)
from course_lib.dialogue import Entity


def noisy(count: int, right: float, labels: str = "abcd", seed: int = 0):
    rng = random.Random(seed)
    true = [rng.choice(labels) for _ in range(count)]
    said = [t if rng.random() < right else rng.choice(labels + "x") for t in true]
    return true, said


def test_scores_by_hand():
    found = label_scores(list("aabbc"), list("abbbx"))
    assert found.accuracy == found.micro_f1 == pytest.approx(0.6)
    assert found.by_label["a"] == (1.0, 0.5, pytest.approx(2 / 3), 2)
    assert found.by_label["b"] == (pytest.approx(2 / 3), 1.0, pytest.approx(0.8), 2)
    assert found.by_label["c"] == (0.0, 0.0, 0.0, 1) and "x" not in found.by_label
    assert found.macro_f1 == pytest.approx((2 / 3 + 0.8) / 3)
    assert found.table().splitlines()[1].startswith("c ")


def test_scores_are_those_of_scikit_learn_where_all_labels_are_true():
    from sklearn.metrics import f1_score, precision_score, recall_score

    true, said = noisy(300, 0.7)
    said = [label if label != "x" else "a" for label in said]
    found = label_scores(true, said)
    assert found.macro_f1 == pytest.approx(f1_score(true, said, average="macro"))
    assert found.micro_f1 == pytest.approx(f1_score(true, said, average="micro"))
    assert found.macro_precision == pytest.approx(precision_score(true, said, average="macro"))
    assert found.macro_recall == pytest.approx(recall_score(true, said, average="macro"))


def test_counts_give_the_same_figures():
    true, said = noisy(300, 0.7)
    found = label_scores(true, said)
    counts = label_counts([i // 5 for i in range(300)], true, said)
    assert counts.shape == (60, 5, 3)
    assert macro_f1(counts.sum(0)) == pytest.approx(found.macro_f1)
    assert micro_f1(counts.sum(0)) == pytest.approx(found.accuracy)


@pytest.mark.parametrize(("true", "said"), [([], []), (["a"], ["a", "b"])])
def test_nothing_and_unequal_lengths_are_refused(true, said):
    with pytest.raises(ValueError, match="give as many"):
        label_scores(true, said)


# ---- spans

A, A_SHORT, A_SLOT = Entity("a", 0, 5, "", ""), Entity("a", 0, 4, "", ""), Entity("b", 0, 5, "", "")
B = Entity("b", 6, 9, "", "")


def figures(true, said):
    total = entity_counts(range(len(true)), true, said).sum(0)
    return tuple(float(f(total)) for f in (micro_precision, micro_recall, micro_f1))


@pytest.mark.parametrize(
    ("true", "said", "expected"),
    [
        ([[A, B]], [[A, B]], (1, 1, 1)),
        ([[A]], [[A_SHORT]], (0, 0, 0)),  # a border off by one is wrong twice
        ([[A]], [[A_SLOT]], (0, 0, 0)),
        ([[A, B]], [[A]], (1, 0.5, 2 / 3)),
        ([[A]], [[A, B]], (0.5, 1, 2 / 3)),
        ([[A], []], [[], [A]], (0, 0, 0)),  # right span, wrong message
        ([[], []], [[], []], (0, 0, 0)),
        ([[A]], [[A, A]], (1, 1, 1)),  # said twice is said once
    ],
)
def test_strict_spans_by_hand(true, said, expected):
    assert figures(true, said) == pytest.approx(expected)


def test_strict_spans_are_those_of_seqeval_where_it_is_there():
    metrics = pytest.importorskip("seqeval.metrics")
    from seqeval.scheme import IOB2

    from course_lib.annotation.spans import from_bio

    rng = random.Random(0)
    tags = ["O", "O", "B-a", "I-a", "B-b"]
    ranges = [(2 * i, 2 * i + 1) for i in range(8)]
    rows = [[_well_formed(rng.choices(tags, k=8)) for _ in range(40)] for _ in range(2)]
    spans = [[from_bio(row, ranges, " " * 16) for row in side] for side in rows]
    theirs = metrics.f1_score(*rows, mode="strict", scheme=IOB2)
    assert figures(*spans)[2] == pytest.approx(theirs)


def _well_formed(tags: list[str]) -> list[str]:
    before = "O"
    for i, tag in enumerate(tags):
        tags[i] = tag if tag != "I-a" or before in ("B-a", "I-a") else "O"
        before = tags[i]
    return tags


# ---- intervals


def counts_of(dialogues: int, right: float, seed: int = 0) -> np.ndarray:
    true, said = noisy(4 * dialogues, right, seed=seed)
    return label_counts([i // 4 for i in range(4 * dialogues)], true, said)


def test_the_interval_holds_the_figure_and_is_seeded():
    counts = counts_of(100, 0.7)
    found = bootstrap(counts)
    assert found.low < found.value < found.high
    assert found.value == pytest.approx(float(macro_f1(counts.sum(0))))
    assert found == bootstrap(counts) != bootstrap(counts, seed=1)
    assert str(found) == f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def test_the_interval_is_that_of_a_plain_loop():
    true, said = noisy(240, 0.7)
    groups = [i // 4 for i in range(240)]
    rng = random.Random(0)
    values = []
    for _ in range(300):
        drawn = [g for _ in range(60) for g in [rng.randrange(60)]]
        rows = [i for g in drawn for i in range(4 * g, 4 * g + 4)]
        values.append(label_scores([true[i] for i in rows], [said[i] for i in rows]).macro_f1)
    found = bootstrap(label_counts(groups, true, said), samples=4000)
    low, high = np.quantile(values, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.015)


def test_more_dialogues_make_it_narrower():
    widths = [bootstrap(counts_of(n, 0.7)) for n in (50, 800)]
    assert widths[1].high - widths[1].low < 0.5 * (widths[0].high - widths[0].low)


def test_dialogues_are_resampled_and_not_turns():
    true = ["a", "b"] * 200
    said = [t if (i // 20) % 2 else "x" for i, t in enumerate(true)]  # whole dialogues are wrong
    by_dialogue = bootstrap(label_counts([i // 20 for i in range(400)], true, said), micro_f1)
    by_turn = bootstrap(label_counts(range(400), true, said), micro_f1)
    assert by_dialogue.high - by_dialogue.low > 2 * (by_turn.high - by_turn.low)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    held = 0
    for seed in range(80):
        counts = counts_of(60, 0.6, seed)
        found = bootstrap(counts, micro_f1, 200, seed)
        held += found.low <= 0.6 + 0.4 / 5 <= found.high
    assert held / 80 > 0.88


def test_differences_are_paired():
    worse = counts_of(300, 0.7)
    better = worse.copy()
    better[:40, 0, 0] += better[:40, 0, 2] > better[:40, 0, 0]  # right more often, never less
    found = bootstrap_difference(better, worse)
    assert 0 < found.low < found.value < found.high
    assert bootstrap(better).low < bootstrap(worse).high  # though the intervals overlap
    same = bootstrap_difference(worse, worse)
    assert (same.low, same.value, same.high) == (0, 0, 0)


def test_other_dialogues_and_none_are_refused():
    with pytest.raises(ValueError, match="on the same ones"):
        bootstrap_difference(counts_of(3, 0.5), counts_of(4, 0.5))
    with pytest.raises(ValueError, match="nothing to resample"):
        bootstrap(np.zeros((0, 2, 3)))


def test_the_confusion_matrix_has_rows_of_truth():
    labels, counts = confusion(list("aabc"), list("abbb"))
    assert labels == ["b", "a", "c"]  # b is in two mistakes, a and c in one each
    assert counts.tolist() == [[1, 0, 0], [1, 1, 0], [1, 0, 0]]


def test_the_confusion_matrix_is_scikit_learns():
    from sklearn.metrics import confusion_matrix

    true, said = noisy(300, 0.7)
    labels, counts = confusion(true, said)
    assert counts.tolist() == confusion_matrix(true, said, labels=labels).tolist()


def test_what_is_seldom_mistaken_shares_a_row():
    true, said = noisy(300, 0.7)
    labels, counts = confusion(true, said, most=2)
    assert len(labels) == 3 and labels[-1] == REST and counts.sum() == 300
    assert labels[:2] == confusion(true, said)[0][:2]
    assert confusion(true, said, most=9)[0] == confusion(true, said)[0]


def test_an_interval_is_a_pair_for_the_pictures():
    assert Interval(0.5, 0.4, 0.7).interval == (0.4, 0.7)
