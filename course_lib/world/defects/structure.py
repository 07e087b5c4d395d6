"""Defects of the record and of who speaks when."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from course_lib.dialogue import Entity, Message
from course_lib.world.defects.lines import Line, contents, encoded
from course_lib.world.defects.phrases import sections
from course_lib.world.defects.tools import Tools

_LAST_ACTS: dict[str, list[list[str | None]]] = {
    "thanks": [["thank", None]],
    "goodbye": [["bye", None]],
    "human_agent": [["request", "human_agent"]],
}


class Structure(Tools):
    """Makers of lines whose turns or spans are out of order."""

    def plant_broken_span(self, line: Line) -> Line | None:
        numbers = [i for i, message in enumerate(line.dialogue.messages) if message.entities]
        if not numbers:
            return None
        number, shift = self.rng.choice(numbers), self.rng.choice((-1, 1))
        line.action = "drop"

        def spoil(record: dict[str, Any]) -> bytes:
            entity = record["messages"][number]["entities"][0]
            entity["start"], entity["end"] = entity["start"] + shift, entity["end"] + shift
            return encoded(record)

        line.spoil = spoil
        return line

    def plant_empty_turn(self, line: Line) -> Line:
        line.action, line.expect = "repair", contents(line.dialogue)
        number = self.rng.randrange(1, len(line.dialogue.messages))
        empty = self.rng.choice(("", "  ", "\n", "\u200b", "<br>", "&nbsp;"))
        line.dialogue.messages.insert(
            number, Message(self.rng.choice(("user", "assistant")), empty)
        )
        return line

    def plant_swapped_roles(self, line: Line) -> Line:
        line.action = "drop"
        for message in line.dialogue.messages:
            message.role = "assistant" if message.role == "user" else "user"
        return line

    def plant_split_turn(self, line: Line) -> Line | None:
        """A customer's message sent as two, so that one role speaks twice in a row."""
        spots = [
            (number, match.start())
            for number, message in enumerate(line.dialogue.messages)
            if message.role == "user"
            for match in re.finditer(r"(?<=[.!?]) (?=\S{2})", message.content)
            if all(not e.start <= match.start() < e.end for e in message.entities)
        ]
        if not spots:
            return None
        number, cut = self.rng.choice(spots)
        line.action, line.expect = "merge", contents(line.dialogue)
        line.dialogue.messages[number : number + 1] = _halves(line.dialogue.messages[number], cut)
        return line

    def plant_open_end(self, line: Line) -> Line:
        """The customer has the last word and nobody answers: that word is to be cut off."""
        line.action, line.expect = "repair", contents(line.dialogue)
        words = [(name, text) for name, texts in sections("last_words").items() for text in texts]
        intent, text = self.rng.choice(words)
        known = None if intent == "main" else intent
        acts = [list(act) for act in _LAST_ACTS.get(intent, [])]
        line.dialogue.messages.append(Message("user", text, known, [], acts))
        return line


def _halves(message: Message, cut: int) -> list[Message]:
    """Both sides of the space at `cut`; the acts stay with the first."""
    text, after = message.content, cut + 1
    moved = [
        Entity(e.slot, e.start - after, e.end - after, e.text, e.value)
        for e in message.entities
        if e.start >= after
    ]
    first = [entity for entity in message.entities if entity.end <= cut]
    return [
        replace(message, content=text[:cut], entities=first),
        replace(message, content=text[after:], entities=moved, acts=[]),
    ]
