"""Exact facts: the right value, as whole words, and no rival."""

from __future__ import annotations

import pytest

from course_lib.dialogue import Dialogue, Entity, Message
from course_lib.metrics import exact_facts, fact_questions, states_fact


def informing(reply: str, slot: str, value: str) -> Message:
    start = reply.index(value)
    entity = Entity(slot, start, start + len(value), value, value)
    return Message("assistant", reply, entities=[entity], acts=[["inform", slot]])


@pytest.fixture
def questions():
    dialogue = Dialogue(
        "d",
        [
            Message("user", "How long is the warranty on the Brisa kettle?"),
            informing("It is two years.", "warranty", "two years"),
            Message("user", "And the price? I saw 54 euros."),
            informing("39 euros.", "price", "39 euros"),
            Message("user", "thanks"),
            Message("assistant", "You are welcome.", acts=[["welcome", None]]),
        ],
    )
    values = {
        "warranty": {"two years", "three years", "twenty-two years"},
        "price": {"39 euros", "54 euros", "139 euros"},
    }
    return fact_questions([dialogue], values)


def test_one_question_for_each_informing_turn(questions):
    assert [q.required for q in questions] == [
        (("warranty", "two years"),),
        (("price", "39 euros"),),
    ]
    assert [len(q.history) for q in questions] == [1, 3]
    assert questions[0].history[0]["content"].startswith("How long")


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("It is two years.", True),
        ("TWO  YEARS!", True),
        ("It is three years.", False),
        ("It is two years, or three years.", False),
        ("It is twenty-two years.", False),
        ("I do not know.", False),
        ("", False),
    ],
)
def test_warranty_replies(questions, reply, right):
    assert states_fact(reply, questions[0]) is right


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("39 euros.", True),
        ("It costs 39 euros, not 54 euros.", True),  # the customer named that value
        ("139 euros", False),
        ("39 euros or 139 euros", False),
    ],
)
def test_price_replies(questions, reply, right):
    assert states_fact(reply, questions[1]) is right


def test_no_questions_is_an_error():
    with pytest.raises(ValueError, match="no fact questions"):
        exact_facts(None, None, [])


def test_share_counts_the_right_replies(questions, monkeypatch):
    from course_lib.metrics import facts

    told = ["It is two years.", "99 euros"]
    monkeypatch.setattr(facts, "generate", lambda *a, **k: told)
    assert exact_facts(None, None, questions) == (0.5, told)


def test_rivals_default_to_what_the_dialogues_state():
    pairs = [("two years", "a"), ("three years", "b")]
    dialogues = [
        Dialogue(n, [Message("user", "warranty?"), informing(f"It is {v}.", "warranty", v)])
        for v, n in pairs
    ]
    first, _ = fact_questions(dialogues)
    assert first.rivals == frozenset({"three years"})
