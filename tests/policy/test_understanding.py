"""The recogniser: acts of agents' turns, intents and slots of customers', on turns it never saw."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from course_lib.dialogue import read_dialogues
from course_lib.policy.understanding import (
    agent_turn,
    customer_turn,
    mask,
    prepare,
    shop,
    slots_of,
    yes_or_no,
)
from course_lib.world.dialogues import CONFIRMED
from tests.tiny import ROOT

SHOP = ROOT / "data" / "shop"


@pytest.fixture(scope="module")
def dev():
    return list(read_dialogues(SHOP / "dev.jsonl"))


HANDOVER = (("apologise", None), ("handover", None))


def act_scores(pairs):
    """F1 of each act from (gold, recognised) sets."""
    right, said, true = Counter(), Counter(), Counter()
    for gold, found in pairs:
        right.update(gold & found)
        said.update(found)
        true.update(gold)
    return {act: 2 * right[act] / (said[act] + true[act]) for act in true | said}


def test_every_act_of_the_gold_turns_is_recognised(dev):
    turns = [m for d in dev for m in d.messages if m.role == "assistant"]
    prepare(replies=[turn.content for turn in turns])
    pairs = [
        (
            {(act, slot if act != "leave" else None) for act, slot in turn.acts},
            set(agent_turn(turn.content).acts),
        )
        for turn in turns
    ]
    scores = act_scores(pairs)
    print({act: round(score, 3) for act, score in sorted(scores.items(), key=str)})
    assert min(scores.values()) >= 0.95, min(scores.items(), key=lambda item: item[1])


def test_customers_intents_are_understood(dev):
    turns = [m for d in dev for m in d.messages if m.role == "user"]
    understood = [turn.intent in customer_turn(turn.content).intents for turn in turns]
    assert sum(understood) / len(understood) >= 0.97


def test_customers_in_unseen_wordings_are_understood_less(dev):
    unseen = [
        m
        for d in list(read_dialogues(SHOP / "test_phrasing.jsonl"))[:100]
        for m in d.messages
        if m.role == "user"
    ]
    share = sum(m.intent in customer_turn(m.content).intents for m in unseen) / len(unseen)
    assert 0.5 <= share <= 0.9  # a list of wordings knows what is in it


def test_slots_of_customers_are_found(dev):
    named = {"order_number", "product", "address"}
    for turn in (m for d in dev for m in d.messages if m.role == "user"):
        gold = {e.slot: e.value for e in turn.entities if e.slot in named}
        assert dict(customer_turn(turn.content).slots) == gold, turn.content


@pytest.mark.parametrize(
    ("text", "acts"),
    [
        ("", ()),
        ("asdf qwer zxcv.", ()),
        ("I am very sorry about that.", ()),  # half a wording hands nobody over
        ("I am sorry to hear that. A colleague will take care of it right away.", HANDOVER),
        ("Shall I cancel order 1234567890?", (("confirm", "cancel_order"),)),
        ("Done, I have cancelled order 1234567890.", (("notify", "cancel_order"),)),
        (
            "I have looked it up: the best place for the Brisa kettle is a dry cupboard.",
            (("inform", "storage"),),
        ),
        ("The next steps come by e-mail.", ()),
        ("Which product do you mean?", (("request", "product"),)),
        ("All right, I will leave everything as it is.", (("leave", None),)),
        (
            "The Brisa kettle weighs 1.1 kilograms. Is there anything else I can do?",
            (("inform", "weight"), ("offer", None)),
        ),
    ],
)
def test_single_turns(text, acts):
    assert agent_turn(text).acts == acts


def test_every_wording_of_the_agent_is_recognised():
    """All of them, filled, with the acts that its file stands for."""
    fill = {"order": "1234567890", "address": "9 Mill Road, Oxbury", "product": "Brisa kettle"}
    for file, act in (
        *((f"confirm_{intent}", ("confirm", intent)) for intent in CONFIRMED),
        *((f"done_{intent}", ("notify", intent)) for intent in CONFIRMED),
        *((file, ("handover", None)) for file in ("human_agent", "complaint", "other_request")),
        ("not_done", ("leave", None)),
        ("out_of_scope", ("decline", "out_of_scope")),
    ):
        for wording in shop().trained.wordings["agent"][file]:
            text = re.sub(r"\{(\w+)\}", lambda m: fill.get(m[1], "is"), wording.text)
            assert act in agent_turn(text).acts, text


def test_a_blend_of_two_wordings_keeps_its_act():
    blend = "Just to be sure: do you really want to cancel order 1234567890?"
    assert agent_turn(blend).acts == (("confirm", "cancel_order"),)


def test_the_value_decides_between_equal_words():
    for slot in ("storage", "cleaning"):  # both are told with "We recommend {value}."
        value = shop().catalogue.values(slot)[0]
        assert slots_of(value) == {slot}
        assert agent_turn(f"We recommend {value}.").acts == (("inform", slot),)


def test_masks_keep_what_they_hide():
    masked = mask("Order 1234567890 with the brisa kettle goes to 9 Mill Road, Oxbury.")
    assert dict(masked.slots) == {
        "order_number": "1234567890",
        "product": "Brisa kettle",
        "address": "9 Mill Road, Oxbury",
    }
    assert masked.text == "Order xorder with the xproduct goes to xaddress."


def test_the_hotline_is_no_order_number():
    masked = mask(f"Please call {shop().catalogue.policies['hotline']}.")
    assert not masked.slots
    assert masked.values == (shop().catalogue.policies["hotline"],)


def test_the_latest_of_two_numbers_counts():
    assert mask("Not 1111111111 but 2222222222.").slots["order_number"] == "2222222222"


@pytest.mark.parametrize(
    ("text", "answer"),
    [("Yes, please do it.", "affirm"), ("No, leave it.", "deny"), ("npoe", None), ("", None)],
)
def test_yes_or_no(text, answer):
    assert yes_or_no(text) == answer


def test_reading_many_at_once_changes_nothing():
    texts = ["Which colour does the Brisa kettle come in?", "Thanks! And one more thing: bye"]
    alone = [customer_turn.__wrapped__(text).intents for text in texts]
    prepare(messages=texts)
    assert [customer_turn(text).intents for text in texts] == alone


def test_unknown_wordings_are_refused():
    with pytest.raises(ValueError, match="phrasing"):
        shop().language("other")
