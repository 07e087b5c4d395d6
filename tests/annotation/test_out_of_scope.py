"""Out of scope: thresholds equal to trying every one, for either target."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("sklearn")

from course_lib.annotation.labels import Example
from course_lib.annotation.out_of_scope import (
    choose_threshold,
    confidences,
    detection_scores,
    outside_counts,
    split_scope,
)


def drawn(seed: int, count: int = 30, digits: int = 2):
    """Confidences, lower outside; rounded, so that many are equal."""
    rng = np.random.default_rng(seed)
    outside = rng.random(count) < 0.3
    outside[:2] = True, False
    return np.round(np.clip(rng.normal(0.8 - 0.3 * outside, 0.2), 0, 1), digits), outside


def every_threshold(confidence):
    values = np.unique(confidence)
    return [0.0, *((values[1:] + values[:-1]) / 2), 2.0]


@pytest.mark.parametrize("seed", range(5))
def test_the_best_f1_is_the_best_of_all(seed):
    confidence, outside = drawn(seed)
    tried = [detection_scores(confidence, outside, t)["f1"] for t in every_threshold(confidence)]
    found = choose_threshold(confidence, outside)
    assert found.found["f1"] == pytest.approx(max(tried))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rate", [0.0, 0.1, 1.0])
def test_false_alarms_stay_within_their_rate_and_recall_is_the_most(seed, rate):
    confidence, outside = drawn(seed)
    found = choose_threshold(confidence, outside, "false_alarms", rate)
    assert found.found["false_alarms"] <= rate
    scores = [detection_scores(confidence, outside, t) for t in every_threshold(confidence)]
    assert found.found["recall"] == max(s["recall"] for s in scores if s["false_alarms"] <= rate)
    assert found.target == f"false_alarms at most {rate:g}"


def test_scores_by_hand():
    confidence, outside = [0.1, 0.2, 0.3, 0.9], [True, False, True, False]
    found = detection_scores(confidence, outside, 0.25)
    assert (found["precision"], found["recall"], found["f1"]) == (0.5, 0.5, 0.5)
    assert found["false_alarms"] == 0.5 and found["auroc"] == 0.75


def test_the_threshold_lies_between_what_it_parts():
    found = choose_threshold([0.2, 0.3, 0.8, 0.9], [True, True, False, False])
    assert 0.3 < found.threshold < 0.8 and found.found["f1"] == 1
    assert found.is_outside(np.array([0.3, 0.8])).tolist() == [True, False]


def test_neighbours_without_a_number_between_are_still_parted():
    low = 0.5
    high = math.nextafter(low, 1)
    found = choose_threshold([low, high], [True, False])
    assert found.is_outside(np.array([low, high])).tolist() == [True, False]


def test_when_nothing_tells_them_apart_all_or_none_is_flagged():
    found = choose_threshold([0.5] * 4, [True, True, True, False])
    assert found.found["recall"] == 1 and found.is_outside(np.array([0.5])).all()
    strict = choose_threshold([0.5] * 4, [True, True, True, False], "false_alarms", 0.0)
    assert not strict.is_outside(np.array([0.5])).any()


@pytest.mark.parametrize(
    ("confidence", "outside", "target", "said"),
    [
        ([0.1, 0.2], [True, True], "f1", "in scope as well as out of scope"),
        ([0.1, 0.2], [False, False], "f1", "in scope as well as out of scope"),
        ([0.1], [True, False], "f1", "two rows of one length"),
        ([], [], "f1", "two rows of one length"),
        ([0.1, float("nan")], [True, False], "f1", "not a number"),
        ([0.1, 0.2], [True, False], "best", "choose from f1, false_alarms"),
    ],
)
def test_what_sets_no_threshold_is_refused(confidence, outside, target, said):
    with pytest.raises(ValueError, match=said):
        choose_threshold(confidence, outside, target)


def test_scores_where_all_or_none_is_outside():
    found = detection_scores([0.2, 0.6], [False, False], 0.5)
    assert found["false_alarms"] == 0.5 and found["recall"] == 0 and math.isnan(found["auroc"])


def test_confidence_is_the_greatest_probability():
    class Fixed:
        def predict_proba(self, texts):
            return [[0.2, 0.7, 0.1] if text == "sure" else [0.4, 0.3, 0.3] for text in texts]

    assert confidences(Fixed(), ["sure", "unsure"]).tolist() == [0.7, 0.4]


def test_the_classifier_never_sees_what_is_outside():
    made = [Example("d", 0, "t", intent, (), ()) for intent in ("a", "out_of_scope", "b")]
    inside, outside = split_scope(made)
    assert [e.intent for e in inside] == ["a", "b"]
    assert [e.intent for e in outside] == ["out_of_scope"]
    assert len(split_scope(made, frozenset({"a", "b"}))[0]) == 1


def test_counts_give_the_same_scores():
    from course_lib.annotation.scores import micro_f1, micro_precision, micro_recall

    confidence, outside = drawn(0)
    said = confidence < 0.6
    counts = outside_counts([i // 3 for i in range(30)], outside, said)
    assert counts.shape == (10, 1, 3)
    found = detection_scores(confidence, outside, 0.6)
    for name, measure in (
        ("f1", micro_f1),
        ("precision", micro_precision),
        ("recall", micro_recall),
    ):
        assert measure(counts.sum(0)) == pytest.approx(found[name])
