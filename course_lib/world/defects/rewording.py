"""Small changes to a message that leave its meaning: typos, and another wording of the same."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from course_lib.dialogue import Dialogue, Message
from course_lib.world.catalogue import Catalogue, Product
from course_lib.world.defects.lines import edited
from course_lib.world.wordings import Language, LanguageError, Piece, assemble, fill_pieces

_COMMON = ("greeting", "thanks", "goodbye", "affirm", "deny", "give_order_number")
_FIELDS = {"product": "product", "order_number": "order", "address": "address"}
_REPLIES = {"greet": "greeting", "welcome": "thanks", "bye": "goodbye"}


def mistyped(message: Message, rng: random.Random, number: int) -> Message:
    """Up to so many typos, none in an entity: letters swapped, lost or doubled."""
    text, inside = message.content, set[int]()
    for entity in message.entities:
        inside |= set(range(entity.start - 2, entity.end + 2))
    spots = [
        at
        for at in range(1, len(text) - 2)
        if at not in inside and text[at - 1 : at + 3].isalpha() and text[at] != text[at + 1]
    ]
    chosen = sorted(rng.sample(spots, min(number, len(spots))))
    apart = [at for at, before in zip(chosen, [-9, *chosen], strict=False) if at - before > 3]
    return edited(message, [(at, at + 2, _typo(text[at : at + 2], rng)) for at in apart])


def _typo(two: str, rng: random.Random) -> str:
    return rng.choice((two[1] + two[0], two[1], two[0] + two))


class Rewording:
    """Other wordings of the same meaning: label, acts and slots stay.

    An agent's come from the language files, a customer's from other customers in the dialogues at
    hand: some of the files' wordings are kept for a test and must not come into the logs.
    """

    def __init__(self, language: Language, catalogue: Catalogue, clean: Sequence[Dialogue]) -> None:
        self.language, self.catalogue = language, catalogue
        self.spoken: dict[Any, dict[str, Message]] = defaultdict(dict)
        for dialogue in clean:
            for message in dialogue.messages:
                if message.intent in _COMMON and not message.content.startswith("No"):
                    self.spoken[_key(message)].setdefault(message.content, message)

    def reworded(
        self, messages: Sequence[Message], number: int, rng: random.Random
    ) -> Message | None:
        """One of the messages in other words; None where there are none."""
        by_customer = messages[number].role == "user"
        new = self._customer(messages[number], rng) if by_customer else None
        new = new or (None if by_customer else self._agent(messages, number, rng))
        same = new is None or new.content.lower() == messages[number].content.lower()
        return None if same else new

    def _customer(self, message: Message, rng: random.Random) -> Message | None:
        known = self.spoken.get(_key(message))
        if message.intent not in _COMMON or not known:
            return None
        other = rng.choice(list(known.values()))
        pairs = list(zip(other.entities, message.entities, strict=True))
        new = edited(other, [(theirs.start, theirs.end, own.text) for theirs, own in pairs])
        for entity, (_, own) in zip(new.entities, pairs, strict=True):
            entity.value = own.value
        return new

    def _agent(
        self, messages: Sequence[Message], number: int, rng: random.Random
    ) -> Message | None:
        message = messages[number]
        fields, source = _fields(message), _agent_source(message)
        if fields is None or source is None:
            return None
        (intent, sections), needs = source, tuple(fields)
        try:
            wording = self.language.choose(
                rng, "agent", intent, sections, within=(*needs, "shop"), needs=needs
            )
        except (LanguageError, KeyError):  # what is said here has no file or form of its own
            return None
        product = _product(messages[: number + 1], self.catalogue)
        shop = Piece(self.catalogue.policies["shop_name"])
        plural = bool(product and product.is_plural)
        content, entities = assemble(fill_pieces(wording.text, fields | {"shop": shop}, plural))
        return replace(message, content=content, entities=entities)


def _key(message: Message) -> tuple[Any, ...]:
    """What two messages share that mean the same."""
    acts, slots = (tuple(map(tuple, message.acts)), tuple(e.slot for e in message.entities))
    return message.intent, acts, slots


def _fields(message: Message) -> dict[str, Piece] | None:
    """What the new wording must be filled with; None where a slot comes twice."""
    fields: dict[str, Piece] = {}
    for entity in message.entities:
        name = _FIELDS.get(entity.slot, "value")
        if name in fields:
            return None
        fields[name] = Piece(entity.text, entity.slot, entity.value)
    return fields


def _agent_source(message: Message) -> tuple[str, tuple[str, ...]] | None:
    """The file and the sections that such a reply is taken from."""
    if len(message.acts) != 1:
        return None
    (act, slot) = message.acts[0]
    if act == "request":
        return f"ask_{slot}", ("main",)
    if act == "confirm":
        return f"confirm_{slot}", ("main",)
    if act == "inform" and slot != "red_light" and any(e.slot == slot for e in message.entities):
        return f"ask_{slot}", ("main", "short")
    return (_REPLIES[act], ("main",)) if act in _REPLIES else None


def _product(messages: Sequence[Message], catalogue: Catalogue) -> Product | None:
    """The product that was named last."""
    names = [e.value for message in messages for e in message.entities if e.slot == "product"]
    return catalogue.by_name(names[-1]) if names else None
