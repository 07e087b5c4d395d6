"""History: the window, the budget that keeps the task, the slots that are carried along."""

from __future__ import annotations

import copy
import random

import pytest

from course_lib.annotation.history import (
    carried_slots,
    fit_budget,
    in_view,
    last_turns,
    needed_slots,
    newest,
    opening_turn,
    opens_request,
    remember,
    remember_within,
    state_text,
    states,
    token_count,
    with_state,
)
from course_lib.dialogue import Entity, Message


def names(text: str, **slots: str) -> Message:
    """A customer's turn that names values, each standing in the text."""
    entities = [
        Entity(slot, text.index(value), text.index(value) + len(value), value, value)
        for slot, value in slots.items()
    ]
    return Message("user", text, entities=entities, acts=[["inform", slot] for slot in slots])


def talk() -> list[Message]:
    """Seven messages: the wish stands in the second, what it needs comes later."""
    wish = names("Send back the Brisa kettle.", product="Brisa kettle")
    wish.acts.append(["request", "return_item"])
    return [
        Message("system", "Be kind."),
        Message("user", "Hello!", acts=[["greet", None]]),
        wish,
        Message("assistant", "Which order is it?", acts=[["request", "order_number"]]),
        names("It is 1234567890.", order_number="1234567890"),
        Message("assistant", "Shall I do that now?", acts=[["confirm", None]]),
        Message("user", "Yes.", acts=[["affirm", None]]),
    ]


def texts(messages: list[Message]) -> list[str]:
    return [message.content for message in messages]


def words(message: Message) -> int:
    return len(message.content.split())


def test_the_window_keeps_the_system_turn_and_the_last():
    assert texts(last_turns(talk(), 2)) == ["Be kind.", "Shall I do that now?", "Yes."]
    assert texts(last_turns(talk(), 99)) == texts(talk())


def test_an_empty_window_is_refused():
    with pytest.raises(ValueError, match="shows nothing"):
        last_turns(talk(), 0)


def test_the_request_is_opened_by_a_wish_not_by_its_answers():
    assert opening_turn(talk()) == 2
    assert opening_turn(talk()[:2]) is None
    later = [*talk(), Message("user", "And what is the price?", acts=[["request", "price"]])]
    assert opening_turn(later) == 7


def test_without_acts_the_intent_decides():
    assert opens_request(Message("user", "The price?", "ask_price"))
    assert not opens_request(Message("user", "Yes.", "affirm"))
    assert opens_request(Message("user", "The price?"))
    assert not opens_request(Message("assistant", "The order?", acts=[["request", "order_number"]]))


def test_the_budget_keeps_system_wish_and_last_message():
    total = sum(words(message) for message in talk())
    assert texts(fit_budget(talk(), total, words)) == texts(talk())
    shorter = fit_budget(talk(), total - 1, words)
    assert texts(shorter) == [t for t in texts(talk()) if t != "Hello!"]
    task = ["Be kind.", "Send back the Brisa kettle.", "Yes."]
    assert texts(fit_budget(talk(), 8, words)) == task
    assert texts(fit_budget(talk(), 12, words)) == task  # the turn before the last takes five
    assert texts(fit_budget(talk(), 13, words)) == [*task[:2], "Shall I do that now?", "Yes."]


def test_a_task_too_long_is_an_error_and_not_cut():
    with pytest.raises(ValueError, match="takes 8 tokens of 7"):
        fit_budget(talk(), 7, words)


def test_the_budget_holds_on_random_talks():
    rng = random.Random(0)
    for _ in range(200):
        roles = rng.choices(["user", "assistant"], k=rng.randint(1, 12))
        messages = [Message(role, "word " * rng.randint(1, 9)) for role in roles]
        if rng.random() < 0.5:
            messages.insert(0, Message("system", "word " * 3))
        budget = rng.randint(5, 60)
        opened = opening_turn(messages)
        must = [m for i, m in enumerate(messages) if m.role == "system" or i == opened]
        try:
            kept = fit_budget(messages, budget, words)
        except ValueError:
            assert sum(map(words, {id(m): m for m in [*must, messages[-1]]}.values())) > budget
            continue
        assert sum(map(words, kept)) <= budget
        assert all(any(m is k for k in kept) for m in [*must, messages[-1]])
        order = [next(i for i, m in enumerate(messages) if m is k) for k in kept]
        assert order == sorted(order)


def test_no_messages_need_no_budget():
    assert fit_budget([], 0, words) == []


def test_tokens_are_counted_with_the_format(tokenizer):
    text = "My order, please."
    plain = len(tokenizer(text, add_special_tokens=False)["input_ids"])
    assert token_count(tokenizer)(Message("user", text)) == plain + 2


def test_turn_five_still_knows_turn_one():
    known = states(talk())
    assert known[1] == {}
    assert known[2] == {"product": "Brisa kettle"}
    assert known[-1] == {"product": "Brisa kettle", "order_number": "1234567890"}


def test_a_correction_replaces_what_was_said():
    corrected = [*talk(), names("No, the Olva kettle.", product="Olva kettle")]
    state = carried_slots(corrected)
    assert state == {"order_number": "1234567890", "product": "Olva kettle"}
    assert list(state)[-1] == "product"


def test_the_canonical_value_is_carried():
    said = Message("user", "my brisa", entities=[Entity("product", 3, 8, "brisa", "Brisa kettle")])
    assert carried_slots([said]) == {"product": "Brisa kettle"}


def test_what_the_agent_tells_is_no_state_unless_asked_for():
    told = names("It costs 12 euros.", price="12 euros")
    told.role = "assistant"
    assert carried_slots([told]) == {}
    assert carried_slots([told], ("user", "assistant")) == {"price": "12 euros"}


def test_the_state_goes_into_the_system_turn():
    known = {"order_number": "1"}
    assert state_text(known) == "Known so far: order number: 1."
    assert with_state(talk(), known)[0].content == "Be kind. Known so far: order number: 1."
    added = with_state(talk()[1:], known)
    assert added[0].role == "system" and texts(added[1:]) == texts(talk()[1:])
    assert with_state(talk(), {}) == talk()


def test_what_left_the_window_is_remembered_and_nothing_twice():
    short = remember(talk(), 3)
    assert short[0].content == "Be kind. Known so far: product: Brisa kettle."
    assert texts(short[1:]) == texts(talk()[-3:])
    assert texts(remember(talk(), 99)) == texts(talk())


def test_within_a_budget_wish_and_slots_stay():
    later = [*talk(), Message("user", "And the price of both?", acts=[["request", "price"]])]
    shown = remember_within(later, 7, words)
    state = "Known so far: product: Brisa kettle; order number: 1234567890."
    assert texts(shown) == [f"Be kind. {state}", "And the price of both?"]
    assert texts(remember_within(later, 99, words)) == texts(later)


def test_nothing_is_changed_in_place():
    messages = talk()
    before = copy.deepcopy(messages)
    remember(messages, 1)
    fit_budget(messages, 12, words)
    with_state(messages, {"a": "b"})
    assert messages == before


def test_the_plain_cut_loses_the_wish_that_the_budget_keeps():
    plain, kept = (texts(cut(talk(), 8, words)) for cut in (newest, fit_budget))
    assert plain == ["Be kind.", "Shall I do that now?", "Yes."]
    assert kept == ["Be kind.", "Send back the Brisa kettle.", "Yes."]


def test_a_reply_needs_the_known_values_that_it_names():
    known = {"product": "Brisa kettle", "order_number": "1234567890"}
    reply = names("Shall I send back the Brisa kettle for 12 euros?", product="Brisa kettle")
    assert needed_slots(reply, known) == {"product": "Brisa kettle"}
    assert needed_slots(Message("assistant", "Shall I do that?"), known) == {}


def test_a_value_is_in_view_in_any_wording_that_was_used():
    said = Message("user", "my BRISA", entities=[Entity("product", 3, 8, "BRISA", "Brisa kettle")])
    asked = Message("assistant", "How old is your Brisa?")
    assert in_view([asked], [said, asked], "Brisa kettle")
    assert in_view([Message("system", "Known: brisa kettle.")], [said], "Brisa kettle")
    assert not in_view([asked], [asked], "Brisa kettle")  # nobody has called it so
    assert not in_view([], [said], "Brisa kettle")
