"""Gold turns, kinds of replies and the two baselines."""

from __future__ import annotations

import pytest

from course_lib.dialogue import Dialogue, Message
from course_lib.metrics.reply_turns import (
    KINDS,
    NearestQuestion,
    kind_reader,
    majority_reply,
    reply_kind,
    reply_turns,
)


def talk(name: str, *pairs: tuple[str, str, str]) -> Dialogue:
    """A dialogue of (question, reply, act of the reply)."""
    messages = []
    for question, reply, act in pairs:
        messages += [Message("user", question), Message("assistant", reply, acts=[[act, None]])]
    return Dialogue(name, messages)


KNOWN = [
    talk("d1", ("What does the Brisa cost?", "39 euros.", "inform"), ("Bye", "Bye!", "bye")),
    talk("d2", ("Is the Olva heavy?", "It weighs 2 kilograms.", "inform"), ("Bye", "Bye!", "bye")),
    talk("d3", ("How heavy is it?", "Which product do you mean?", "request")),
]


def test_every_reply_comes_with_the_messages_before_it():
    turns = reply_turns(KNOWN)
    assert [turn.id for turn in turns] == ["d1:1", "d1:3", "d2:1", "d2:3", "d3:1"]
    assert [m["content"] for m in turns[1].history] == [
        "What does the Brisa cost?",
        "39 euros.",
        "Bye",
    ]
    assert (turns[1].reference, turns[1].kind) == ("Bye!", "other")
    assert {turn.kind for turn in turns} <= set(KINDS)


def test_a_greeting_that_opens_is_no_reply():
    opened = Dialogue("d", [Message("assistant", "Hello!"), Message("user", "Hi")])
    assert reply_turns([opened]) == []


@pytest.mark.parametrize(
    ("acts", "kind"),
    [
        (["inform", "request product"], "asks back"),
        (["confirm cancel_order"], "confirms"),
        (["apologise", "handover"], "hands over"),
        (["inform", "offer"], "answers"),
        ([], "other"),
    ],
)
def test_what_the_customer_must_do_next_counts_most(acts, kind):
    assert reply_kind(acts) == kind


def test_the_majority_reply_is_the_commonest():
    assert majority_reply(KNOWN) == "Bye!"
    with pytest.raises(ValueError, match="no dialogue has a reply"):
        majority_reply([])


def test_retrieval_repeats_the_answer_to_the_nearest_question():
    asked = [[{"role": "user", "content": text}] for text in ("the Olva, is it heavy", "Bye")]
    found = NearestQuestion(KNOWN)
    assert found.replies(asked) == ["It weighs 2 kilograms.", "Bye!"]
    assert [turn.id for turn in found.nearest(asked)] == ["d2:1", "d1:3"]
    with pytest.raises(ValueError, match="to repeat"):
        NearestQuestion([])


def test_more_turns_tell_equal_questions_apart():
    history = list(reply_turns(KNOWN)[3].history)
    assert NearestQuestion(KNOWN, turns=3).nearest([history])[0].id == "d2:3"
    assert NearestQuestion(KNOWN, turns=1).nearest([history])[0].id == "d1:3"


def test_kinds_are_read_off_the_words():
    known = [
        talk(f"d{n}", ("Hi", f"Which product {word} you mean?", "request"), ("No", word, "inform"))
        for n, word in enumerate(["do", "can", "did", "will", "would", "might"])
    ]
    assert kind_reader(known)(["Which product could you mean?", "can"]) == ["asks back", "answers"]
