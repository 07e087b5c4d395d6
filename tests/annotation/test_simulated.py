"""Simulated annotators: right but for their habits and slips, and the same for the same seed."""

from __future__ import annotations

import pytest

from course_lib.annotation.labels import Example
from course_lib.annotation.simulated import HABITS, simulated_labels, three_annotators

FOUND = [Example("d", turn, "t", "abc"[turn % 3], (), ()) for turn in range(900)]
TRUE = {("d", example.turn): example.intent for example in FOUND}


def test_without_habits_and_slips_all_is_right():
    assert simulated_labels(FOUND, {}, slips=0) == TRUE


def test_a_habit_changes_one_label_in_its_share_of_cases():
    said = simulated_labels(FOUND, {"a": "b"}, habit=0.5, slips=0)
    changed = {place: label for place, label in said.items() if label != TRUE[place]}
    assert 110 < len(changed) < 190  # half of 300
    assert {TRUE[place] for place in changed} == {"a"} and set(changed.values()) == {"b"}


def test_slips_hit_any_label():
    said = simulated_labels(FOUND, {}, slips=0.3)
    wrong = [said[place] for place in TRUE if said[place] != TRUE[place]]
    assert 130 < len(wrong) < 230 and set(wrong) == {"a", "b", "c"}  # a third of slips are right


def test_seeds_draw_alike_whatever_the_habits():
    one, other = (simulated_labels(FOUND, h, 1.0, 0.2, seed=3) for h in ({}, {"a": "b"}))
    assert all(one[p] == other[p] for p in TRUE if TRUE[p] != "a")
    assert one != simulated_labels(FOUND, {}, 1.0, 0.2, seed=4)


def test_habits_of_labels_that_do_not_occur_are_refused():
    with pytest.raises(ValueError, match="no message has the intent thanks"):
        simulated_labels(FOUND, {"a": "thanks"})


def test_each_annotator_has_habits_and_slips_of_their_own():
    habits = {"Ana": {}, "Ben": {"a": "b"}, "Cleo": {}}
    said = three_annotators(FOUND, habits)
    assert list(said) == ["Ana", "Ben", "Cleo"] and said["Ana"] != said["Cleo"]
    again = three_annotators(FOUND, dict.fromkeys(habits, {}))
    assert again["Ana"] == said["Ana"] and again["Ben"] != said["Ben"]


def test_the_habits_are_of_the_shops_intents():
    from course_lib.annotation import label_sets
    from course_lib.dialogue import read_dialogues
    from tests.tiny import ROOT

    known = label_sets(read_dialogues(ROOT / "data" / "shop" / "train.jsonl")).intents
    for habits in HABITS.values():
        assert {*habits, *habits.values()} <= set(known)
