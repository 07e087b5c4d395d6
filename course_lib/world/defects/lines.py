"""Raw lines in the making, and edits of messages that keep the spans right."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from course_lib.dialogue import Dialogue, Entity, Message

# merge: a message that was split becomes one again. flag: a person must look at the label.
ACTIONS = ("drop", "repair", "redact", "merge", "flag", "keep")

Edit = tuple[int, int, str]


@dataclass(slots=True)
class Line:
    """One raw line in the making. `of` is the line or the test dialogue that it copies.

    `expect`: the right texts where one is spoilt, `intents` the right labels where one is wrong.
    """

    dialogue: Dialogue
    place: float
    kind: str | None = None
    action: str = "keep"
    of: Line | str | None = None
    expect: list[str] | None = None
    intents: list[str | None] | None = None
    spoil: Callable[[dict[str, Any]], bytes] | None = None

    def data(self) -> bytes:
        """The line as it stands in the file, without its end."""
        record = self.dialogue.to_dict()
        return self.spoil(record) if self.spoil else encoded(record)

    def entry(self, number: int) -> dict[str, Any]:
        """The ledger's entry of the line with this number."""
        return {
            "raw_line": number,
            "id": self.dialogue.id,
            "kind": self.kind,
            "action": self.action,
            "of": self.of.dialogue.id if isinstance(self.of, Line) else self.of,
            "expect": self.expect,
            "intents": self.intents,
        }


def encoded(record: dict[str, Any]) -> bytes:
    """A record as one line of compact JSON in UTF-8."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


def as_log(dialogue: Dialogue) -> Dialogue:
    """An independent copy without what a log does not have."""
    copy = Dialogue.from_dict(dialogue.to_dict())
    copy.split = copy.family_id = copy.goal = copy.policy = None
    return copy


def contents(dialogue: Dialogue) -> list[str]:
    """What is said, turn by turn."""
    return [message.content for message in dialogue.messages]


def intents(dialogue: Dialogue) -> list[str | None]:
    """What each turn is labelled with."""
    return [message.intent for message in dialogue.messages]


def slots_of(dialogue: Dialogue) -> set[str]:
    """The slots of all entities."""
    return {entity.slot for message in dialogue.messages for entity in message.entities}


def edited(message: Message, edits: Sequence[Edit]) -> Message:
    """The message after edits (start, end, new), in order and apart; entities move along."""
    content, position = "", 0
    for start, end, new in edits:
        content += message.content[position:start] + new
        position = end
    content += message.content[position:]
    entities = []
    for entity in message.entities:
        start = entity.start + _shift(edits, entity.start, inclusive=True)
        end = entity.end + _shift(edits, entity.end, inclusive=False)
        entities.append(Entity(entity.slot, start, end, content[start:end], entity.value))
    return replace(message, content=content, entities=entities)


def _shift(edits: Sequence[Edit], position: int, inclusive: bool) -> int:
    """How far a position moves: by every edit before it, and at it when `inclusive`."""
    return sum(
        len(new) - (end - start)
        for start, end, new in edits
        if end < position or (end == position and (inclusive or start < end))
    )


def appended(message: Message, text: str) -> Message:
    """With one more sentence at its end; a missing full stop is added before it."""
    gap = " " if message.content.endswith((".", "!", "?")) else ". "
    return edited(message, [(len(message.content), len(message.content), gap + text)])


def prefixed(message: Message, text: str) -> Message:
    """With one more sentence before it."""
    return edited(message, [(0, 0, f"{text} ")])
