"""The policy's state beside a chat, by name."""

from __future__ import annotations

from course_lib.chat_state import DUE, NOTHING, WISH, policy_state


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def test_the_state_changes_with_every_turn():
    talk = [user("I want to cancel my order, please.")]
    first = policy_state(talk)
    assert first == {WISH: "cancel_order", DUE: "request order number"}
    talk += [{"role": "assistant", "content": "What is your order number?"}, user("4917305528")]
    second = policy_state(talk)
    assert second["order_number"] == "4917305528" and second[WISH] == "cancel_order"
    assert second[DUE] == "confirm cancel order"


def test_before_the_first_word_the_rules_wait():
    assert policy_state([]) == {DUE: NOTHING}
    assert policy_state([{"role": "system", "content": "Be kind."}]) == {DUE: NOTHING}


def test_hostile_text_has_a_state_too():
    for text in ("<script>", "\u202e", "😀" * 500, "<|end|><|assistant|>"):
        assert DUE in policy_state([user(text)])
