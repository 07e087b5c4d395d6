"""Further lines: copies, leaks of test dialogues, and lines that cannot be read."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from typing import Any

from course_lib.dialogue import Dialogue, Message
from course_lib.world.catalogue import FACT_SLOTS, Catalogue, Product
from course_lib.world.defects.lines import (
    Line,
    as_log,
    contents,
    edited,
    encoded,
    intents,
    prefixed,
)
from course_lib.world.defects.rewording import mistyped
from course_lib.world.defects.tools import Tools
from course_lib.world.splits import similarity, text_of

# A near copy shares at least this much of its 5-grams with what it copies.
NEAR = 0.6


class Copies(Tools):
    """Makers of further lines; the line that they copy stays as it is."""

    def plant_exact_duplicate(self, line: Line) -> Line:
        return self.copy(line)

    def plant_spelling_duplicate(self, line: Line) -> Line | None:
        """The same words in other letters, spaces or end marks."""
        copy = self.copy(line)
        self._respell(copy)
        return copy if contents(copy.dialogue) != contents(line.dialogue) else None

    def plant_near_duplicate(self, line: Line) -> Line | None:
        """A greeting more, or the closing cut off."""
        copy, turns = self.copy(line), line.dialogue.messages
        if len(turns) < 6 or turns[0].role != "user":
            return None
        if turns[-2].intent in ("thanks", "goodbye"):
            del copy.dialogue.messages[-2:]
        else:
            self._greet(copy)
        return _near(copy, line.dialogue)

    def plant_typo_duplicate(self, line: Line) -> Line | None:
        """The same words typed once more in a hurry."""
        copy = self.copy(line)
        self._mistype(copy)
        return _near(copy, line.dialogue)

    def plant_reworded_duplicate(self, line: Line) -> Line | None:
        """A quarter of the turns in other words that mean the same."""
        messages = line.dialogue.messages
        if len(messages) < 4:
            return None
        new = {
            number: message
            for number in range(len(messages))
            if (message := self.rewording.reworded(messages, number, self.rng))
        }
        wanted = math.ceil(len(messages) / 4)
        shortest = sorted(new, key=lambda number: len(messages[number].content))[: wanted + 2]
        if len(shortest) < wanted:
            return None
        copy = self.copy(line)
        for number in self.rng.sample(shortest, wanted):
            copy.dialogue.messages[number] = new[number]
        return _near(copy, line.dialogue)

    def plant_label_conflict(self, line: Line) -> Line | None:
        """The same words, or nearly, with another intent: one of the two labels is wrong."""
        copy = self.copy(line, "flag")
        number = self.turn(copy, "user")
        message = copy.dialogue.messages[number]
        if message.intent is None or len(message.content.split()) < 4:
            return None
        copy.intents = intents(copy.dialogue)
        wrong = self.other_intent(message, copy.dialogue)
        copy.dialogue.messages[number] = replace(message, intent=wrong)
        self.rng.choice((lambda _: None, self._respell, self._mistype))(copy)
        return copy

    def plant_minimal_pair(self, line: Line) -> Line | None:
        """The same words on another product: no copy, although it looks like one."""
        swapped = _other_product(line.dialogue, self.catalogue, self.rng)
        if swapped is None:
            return None
        copy = self.copy(line, "keep")
        copy.dialogue.messages = swapped
        return copy

    def plant_leak(self, _: Line) -> Line:
        """A test dialogue, word by word."""
        leaked = self.tests.pop(self.rng.randrange(len(self.tests)))
        return Line(as_log(leaked), self.rng.random(), action="drop", of=leaked.id)

    def plant_near_leak(self, line: Line) -> Line:
        """A test dialogue with a greeting more or with typos."""
        copy = self.plant_leak(line)
        if self.rng.random() < 0.5 and copy.dialogue.messages[0].role == "user":
            self._greet(copy)
        else:
            self._mistype(copy)
        return copy

    def _greet(self, copy: Line) -> None:
        messages = copy.dialogue.messages
        messages[0] = prefixed(messages[0], self.phrase("greetings"))

    def _mistype(self, copy: Line) -> None:
        """A typo every 90 letters or so, and one in the longest turn at least."""
        messages = copy.dialogue.messages
        longest = max(messages, key=lambda message: len(message.content))
        copy.dialogue.messages = [
            mistyped(m, self.rng, len(m.content) // 90 + (m is longest)) for m in messages
        ]

    def _respell(self, copy: Line) -> None:
        respell = self.rng.choice((_lowered, _shouted, _spaced))
        copy.dialogue.messages = [respell(message) for message in copy.dialogue.messages]

    # -- lines that cannot be read

    def plant_broken_json(self, line: Line) -> Line:
        share = self.rng.uniform(0.3, 0.9)
        cut, comma = self.rng.random() < 0.5, b'"messages":['

        def spoil(record: dict[str, Any]) -> bytes:
            data = json.dumps(record, ensure_ascii=True, separators=(",", ":")).encode()
            return data[: int(len(data) * share)] if cut else data.replace(comma, b'"messages" [')

        return replace(self._loss(line), spoil=spoil)

    def plant_missing_role(self, line: Line) -> Line:
        number = self.turn(line, "assistant")

        def spoil(record: dict[str, Any]) -> bytes:
            del record["messages"][number]["role"]
            return encoded(record)

        return replace(self._loss(line), spoil=spoil)

    def plant_wrong_encoding(self, line: Line) -> Line:
        lost = self.said(self._loss(line), self.phrase("accents"), "drop")
        lost.spoil = lambda record: encoded(record).decode().encode("cp1252")
        return lost

    def _loss(self, line: Line) -> Line:
        """A further line that cannot be read, with the words of `line`."""
        return replace(self.copy(line), of=None)


def _near(copy: Line, original: Dialogue) -> Line | None:
    """The copy, if it is near enough and no exact one."""
    alike = similarity(text_of(copy.dialogue), text_of(original))
    return copy if NEAR < alike < 1 else None


def _lowered(message: Message) -> Message:
    text = message.content
    return edited(message, [(i, i + 1, c.lower()) for i, c in enumerate(text) if c.isupper()])


def _shouted(message: Message) -> Message:
    end = len(message.content)
    start = len(message.content.rstrip(".!?"))
    return edited(message, [(start, end, "!!")]) if message.role == "user" else message


def _spaced(message: Message) -> Message:
    spaces = [i for i, c in enumerate(message.content) if c == " "][::3]
    return edited(message, [(i, i + 1, "  ") for i in spaces])


def _other_product(
    dialogue: Dialogue, catalogue: Catalogue, rng: random.Random
) -> list[Message] | None:
    """The messages with one product and its facts replaced by another's; None where it is moot."""
    entities = [entity for message in dialogue.messages for entity in message.entities]
    names = {entity.value for entity in entities if entity.slot == "product"}
    slots = {entity.slot for entity in entities if entity.slot in FACT_SLOTS}
    if len(names) != 1 or not slots or "red_light" in slots:
        return None
    product = catalogue.by_name(names.pop())
    others = [
        other
        for other in catalogue.products
        if other.kind == product.kind
        and other != product
        and not other.held_out
        and all(slot in other.facts for slot in slots)
        and any(other.facts[slot] != product.facts[slot] for slot in slots)
    ]
    other = rng.choice(others) if others else None
    return [_renamed(message, other) for message in dialogue.messages] if other else None


def _renamed(message: Message, other: Product) -> Message:
    edits = []
    for entity in message.entities:
        new = (
            other.facts.get(entity.slot) if entity.slot != "product" else _named(entity.text, other)
        )
        if new is not None:
            edits.append((entity.start, entity.end, new))
    renamed = edited(message, edits)
    for entity in renamed.entities:
        if entity.slot == "product":
            entity.value = other.full_name
        elif entity.slot in FACT_SLOTS:
            entity.value = other.facts[entity.slot]
    return renamed


def _named(text: str, other: Product) -> str:
    """The other product in the same spelling: name only or in full, small letters or not."""
    new = other.full_name if " " in text else other.name
    return new.lower() if text.islower() else new
