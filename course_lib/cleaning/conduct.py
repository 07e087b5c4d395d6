"""What an agent must not do, read off the annotations: wrong facts, no confirmation, no memory.

Dialogues without acts and entities pass: there is nothing to judge them by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from course_lib.cleaning.changes import StepResult, set_aside
from course_lib.dialogue import Dialogue, Message

Facts = Mapping[str, Mapping[str, str]]  # product -> slot -> the true value


def check_facts(dialogue: Dialogue, facts: Facts, name_slot: str = "product") -> StepResult:
    """Sets a dialogue aside in which the agent tells a value that the catalogue denies.

    The product in question is the one named last; `facts` holds each product's true values.
    """
    product: str | None = None
    for number, message in enumerate(dialogue.messages):
        named = [e.value for e in message.entities if e.slot == name_slot and e.value in facts]
        if message.role != "assistant":
            product = named[-1] if named else product
            continue
        for entity in message.entities:
            product = entity.value if entity.slot == name_slot else product
            true = facts.get(product or "", {}).get(entity.slot)
            if true is not None and true != entity.value:
                said = f"{entity.slot} of {product}: {entity.value!r}, but it is {true!r}"
                reason = f"message {number} contradicts the catalogue ({said})"
                return None, [set_aside("check_facts", dialogue, reason, number)]
    return dialogue, []


def check_confirmation(dialogue: Dialogue, actions: Iterable[str]) -> StepResult:
    """Sets a dialogue aside in which one of `actions` is done before the customer agreed to it."""
    needs, asked, agreed = frozenset(actions), None, False
    for number, message in enumerate(dialogue.messages):
        if message.role == "user":
            agreed = agreed or (asked is not None and "affirm" in _acts(message))
            continue
        for act, target in message.acts:
            if act == "confirm":
                asked, agreed = target, False
            if act == "notify" and target in needs:
                if target != asked or not agreed:
                    reason = f"message {number} reports {target!r} without a confirmation"
                    return None, [set_aside("check_confirmation", dialogue, reason, number)]
                asked, agreed = None, False
    return dialogue, []


def check_memory(dialogue: Dialogue) -> StepResult:
    """Sets a dialogue aside in which the agent asks for what the last message has just given."""
    turns = dialogue.messages
    for number in range(1, len(turns)):
        if turns[number].role != "assistant" or turns[number - 1].role != "user":
            continue
        given = {entity.slot for entity in turns[number - 1].entities}
        asked = {slot for act, slot in turns[number].acts if act == "request" and slot}
        again = sorted(given & asked)
        if again:
            reason = f"message {number} asks for {again[0]!r}, which was just given"
            return None, [set_aside("check_memory", dialogue, reason, number)]
    return dialogue, []


def _acts(message: Message) -> set[str]:
    return {str(act) for act, _ in message.acts}
