"""Acts in replies: seen well on turns whose acts are known; one who guesses scores low."""

from __future__ import annotations

import pytest

from course_lib.dialogue import Dialogue, DialogueError, Message, read_dialogues
from course_lib.journey import SHOP
from course_lib.metrics.acts import (
    act_labels,
    acts_of,
    learn_acts,
    recogniser_from,
    recognition,
)


@pytest.fixture(scope="module")
def recogniser():
    return recogniser_from(SHOP / "train.jsonl")


@pytest.mark.parametrize("name", ["dev", "test_phrasing", "out_of_scope"])
def test_it_sees_the_acts_of_gold_turns(recogniser, name):
    found = recognition(recogniser, read_dialogues(SHOP / f"{name}.jsonl", []))
    assert found["all"].value > 0.98
    for act in {"request", "confirm", "decline", "handover"} & set(found):
        assert found[act].value > 0.97, act


def test_it_sees_what_is_asked_for(recogniser):
    texts = [
        "Could you give me the order number?",
        "Which product do you mean?",
        "You are welcome.",
    ]
    asks, which, thanks = recogniser(texts)
    assert act_labels(asks, "request") == {"request order_number"}
    assert act_labels(which, "request") == {"request product"}
    assert not act_labels(thanks, "request")
    assert recogniser([]) == []


def test_a_recogniser_that_always_informs_scores_low():
    dialogues = list(read_dialogues(SHOP / "dev.jsonl", []))
    found = recognition(lambda texts: [frozenset({"inform"})] * len(texts), dialogues)
    assert found["all"].value < 0.6
    assert found["request"].value == 0


def test_acts_carry_their_slot_where_it_says_what_for():
    message = Message("assistant", "x", acts=[["request", "product"], ["inform", "price"]])
    assert acts_of(message) == {"request product", "inform"}


def test_dialogues_without_acts_teach_nothing():
    dialogue = Dialogue("d", [Message("user", "a"), Message("assistant", "b")])
    with pytest.raises(DialogueError, match="annotated dialogues only"):
        learn_acts([dialogue])
