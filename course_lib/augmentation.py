"""More dialogues to learn from, made of those that there are: other values, more of the rare.

A model that reads the same order number in every epoch learns it by heart, and later says it to
somebody else. When the number differs each time, copying it from the talk is all that helps.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from course_lib.cleaning.changes import apply_edits, move_entities
from course_lib.dialogue import Dialogue, Entity, Message

# a customer's intents, and how many times as often
RARE = {"deny": 2, "correct_order": 3, "out_of_scope": 3, "other_request": 4}


def augmented(
    dialogues: Sequence[Dialogue],
    copies: int,
    rare: Mapping[str, int] = RARE,
    seed: int = 0,
) -> list[Dialogue]:
    """Every dialogue `copies` times, each time with other order numbers and addresses.

    One in which the customer has an intent of `rare` comes that many times as often. Addresses
    are drawn from those that the dialogues name. Ids get the copy's number. Raises ValueError
    when `copies` or a number in `rare` is below 1.
    """
    if copies < 1 or min(rare.values(), default=1) < 1:
        raise ValueError("a dialogue comes at least once: give copies and numbers of 1 and more")
    draw = random.Random(seed)
    values = {e.value for d in dialogues for m in d.messages for e in m.entities if _is_address(e)}
    addresses = sorted(values)
    out = []
    for dialogue in dialogues:
        for copy in range(copies * _times(dialogue, rare)):
            other = with_other_values(dialogue, addresses, draw)
            out.append(replace(other, id=f"{dialogue.id}-{copy + 1}"))
    return out


def with_other_values(
    dialogue: Dialogue, addresses: Sequence[str], draw: random.Random
) -> Dialogue:
    """The same talk about another order and another address; goal and spans say so too.

    The same value becomes the same other value in all messages. Order numbers keep their length.
    """
    entities = [entity for message in dialogue.messages for entity in message.entities]
    misspelt = {entity.value for entity in entities if entity.text != entity.value}
    others: dict[str, str] = {}
    for entity in entities:
        if entity.value in others or entity.value in misspelt:
            continue  # for a misspelt value's successor there is no right error
        if entity.slot == "order_number" and entity.value.isdigit():
            others[entity.value] = _number(len(entity.value), draw)
        elif _is_address(entity):
            others[entity.value] = draw.choice(addresses)
    messages = [_with_values(message, others) for message in dialogue.messages]
    return replace(dialogue, messages=messages, goal=_renamed(dialogue.goal, others))


def _with_values(message: Message, others: Mapping[str, str]) -> Message:
    said = [entity for entity in message.entities if entity.value in others]
    edits = sorted((entity.start, entity.end, others[entity.value]) for entity in said)
    content = apply_edits(message.content, edits)
    named = [replace(e, value=others.get(e.value, e.value)) for e in message.entities]
    entities, _ = move_entities(named, edits, content)
    return replace(message, content=content, entities=entities)


def _renamed(goal: dict[str, Any] | None, others: Mapping[str, str]) -> dict[str, Any] | None:
    if not goal or "slots" not in goal:
        return goal
    slots = {name: others.get(str(value), value) for name, value in goal["slots"].items()}
    return {**goal, "slots": slots}


def _times(dialogue: Dialogue, rare: Mapping[str, int]) -> int:
    return max(rare.get(message.intent or "", 1) for message in dialogue.messages)


def _is_address(entity: Entity) -> bool:
    return entity.slot == "address"


def _number(digits: int, draw: random.Random) -> str:
    return str(draw.randrange(10 ** (digits - 1), 10**digits))
