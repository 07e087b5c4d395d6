"""Copies of dialogues: other values in all places, valid spans, nothing else changed."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from course_lib.augmentation import augmented, with_other_values
from course_lib.dialogue import Dialogue, Entity, Message, read_dialogues, validate
from course_lib.journey import SHOP


def entity(slot: str, content: str, text: str, value: str | None = None) -> Entity:
    start = content.index(text)
    return Entity(slot, start, start + len(text), text, value or text)


def talk(asked: str, answered: str, number: str, said: str | None = None) -> Dialogue:
    messages = [
        Message(
            "user", asked, "change_address", [entity("order_number", asked, said or number, number)]
        ),
        Message("assistant", answered, None, [entity("order_number", answered, number)]),
    ]
    goal = {"intent": "change_address", "slots": {"order_number": number}}
    return Dialogue("one", messages, goal=goal)


def values(dialogue: Dialogue, slot: str) -> set[str]:
    return {e.value for m in dialogue.messages for e in m.entities if e.slot == slot}


@pytest.fixture(scope="module")
def shop() -> list[Dialogue]:
    return list(read_dialogues(SHOP / "dev.jsonl"))


def test_a_number_is_the_same_other_number_in_all_messages():
    other = with_other_values(
        talk("Order 4471902385?", "4471902385 it is.", "4471902385"), [], random.Random(1)
    )
    (number,) = values(other, "order_number")
    assert number != "4471902385" and len(number) == 10
    assert [m.content for m in other.messages] == [f"Order {number}?", f"{number} it is."]
    assert other.goal["slots"] == {"order_number": number}


def test_spans_of_the_whole_shop_stay_valid(shop):
    for dialogue in augmented(shop, 2):
        validate(dialogue)


def test_nothing_else_is_changed(shop):
    """With the old values put back, it is the old text; intents and acts are as they were."""
    for dialogue, other in zip(shop, augmented(shop, 1, rare={}), strict=True):
        for before, after in zip(dialogue.messages, other.messages, strict=True):
            assert (before.role, before.intent, before.acts) == (
                after.role,
                after.intent,
                after.acts,
            )
            content = after.content
            for old, new in zip(before.entities, after.entities, strict=True):
                content = content.replace(new.text, old.text, 1)
            assert content == before.content


def test_no_number_comes_twice_and_no_address_from_outside(shop):
    others = augmented(shop, 3, rare={})
    numbers = [n for d in others for n in sorted(values(d, "order_number"))]
    assert len(set(numbers)) == len(numbers)
    known = set().union(*(values(d, "address") for d in shop))
    assert set().union(*(values(d, "address") for d in others)) <= known


def test_a_misspelt_value_stays():
    """Its other value would need the same slip, or the talk would contradict itself."""
    dialogue = talk("Order 447190238?", "4471902385 it is.", "4471902385", said="447190238")
    assert with_other_values(dialogue, [], random.Random(1)) == dialogue


def test_rare_intents_come_more_often(shop):
    refused = [d.id for d in shop if any(m.intent == "deny" for m in d.messages)]
    plain = next(d for d in shop if d.id not in refused)
    names = [d.id for d in augmented(shop, 2, rare={"deny": 3})]
    assert [n for n in names if n.startswith(f"{refused[0]}-")] == [
        f"{refused[0]}-{k}" for k in range(1, 7)
    ]
    assert [n for n in names if n.startswith(f"{plain.id}-")] == [f"{plain.id}-1", f"{plain.id}-2"]


def test_a_seed_is_a_seed(shop):
    assert augmented(shop, 1, seed=4) == augmented(shop, 1, seed=4) != augmented(shop, 1, seed=5)


def test_dialogues_without_goal_or_entities_pass_through():
    plain = Dialogue("one", [Message("user", "Hello"), Message("assistant", "Hi!")])
    assert augmented([plain], 1) == [replace(plain, id="one-1")]


@pytest.mark.parametrize(("copies", "rare"), [(0, {}), (1, {"deny": 0})])
def test_fewer_than_one_is_refused(shop, copies, rare):
    with pytest.raises(ValueError, match="at least once"):
        augmented(shop, copies, rare)
