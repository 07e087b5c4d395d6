"""What a step says it did, what it set aside, and how spans move along with an edit."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from course_lib.dialogue import Dialogue, Entity, Message


@dataclass(frozen=True, slots=True)
class Change:
    """What a step did to one dialogue; `message` counts from 0 and is None for the whole of it.

    A flag leaves the text alone: `before == after`. A dialogue set aside has `after` None.
    """

    step: str
    dialogue_id: str
    message: int | None
    reason: str
    before: str | None
    after: str | None

    @property
    def is_flag(self) -> bool:
        return self.before == self.after


StepResult = tuple[Dialogue | None, list[Change]]
Step = Callable[[Dialogue], StepResult]


@dataclass(frozen=True, slots=True)
class Rejected:
    """A dialogue set aside: by which step, why, and for a copy which dialogue it equals.

    `similarity` is 1 for a copy of the same words, a near copy's Jaccard index, or None. `line`
    is its place in the input: the line for one that could not be read, else None.
    """

    dialogue_id: str | None
    step: str
    reason: str
    equals: str | None = None
    dialogue: Dialogue | None = None
    line: int | None = None
    text: str = ""
    similarity: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """One line of a rejects file."""
        record = {
            "id": self.dialogue_id,
            "line": self.line,
            "step": self.step,
            "reason": self.reason,
            "equals": self.equals,
            "similarity": self.similarity,
        }
        return record | {"dialogue": self.dialogue and self.dialogue.to_dict(), "text": self.text}


DataSetResult = tuple[list[Dialogue], list[Rejected], list[Change]]


Edit = tuple[int, int, str]  # text[start:end] becomes the new text; edits in order, no overlap


def edits_between(before: str, after: str) -> list[Edit]:
    """The edits that turn one text into the other, found by comparing them.

    Where as many characters come as go, each is an edit of its own, so that spans can end between.
    """
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    edits: list[Edit] = []
    for name, start, end, low, high in matcher.get_opcodes():
        if name == "replace" and end - start == high - low:
            edits += [(start + n, start + n + 1, after[low + n]) for n in range(end - start)]
        elif name != "equal":
            edits.append((start, end, after[low:high]))
    return edits


def apply_edits(text: str, edits: Sequence[Edit]) -> str:
    """The text after the edits."""
    pieces, position = [], 0
    for start, end, new in edits:
        pieces += [text[position:start], new]
        position = end
    return "".join([*pieces, text[position:]])


def move_span(start: int, end: int, edits: Sequence[Edit]) -> tuple[int, int] | None:
    """Where a span lies after the edits; None when an edit cuts through one of its ends."""
    new_start, new_end = start, end
    for low, high, new in edits:
        shift = len(new) - (high - low)
        if high <= start:
            new_start, new_end = new_start + shift, new_end + shift
        elif low >= end:
            break
        elif start <= low and high <= end:
            new_end += shift
        else:
            return None
    return (new_start, new_end) if new_start < new_end else None


def move_entities(
    entities: Iterable[Entity], edits: Sequence[Edit], after: str
) -> tuple[list[Entity], list[Entity]]:
    """(entities with their spans in the edited text, entities that have no place there)."""
    moved, lost = [], []
    for entity in entities:
        span = move_span(entity.start, entity.end, edits)
        if span is None:
            lost.append(entity)
        else:
            moved.append(replace(entity, start=span[0], end=span[1], text=after[slice(*span)]))
    return moved, lost


def edit_message(
    dialogue: Dialogue, number: int, edits: Sequence[Edit], step: str, reason: str
) -> tuple[Message, list[Change]]:
    message = dialogue.messages[number]
    after = apply_edits(message.content, edits)
    entities, lost = move_entities(message.entities, edits, after)
    changes = [Change(step, dialogue.id, number, reason, message.content, after)]
    for entity in lost:
        why = f"the edit cuts through the {entity.slot!r} entity, which is dropped"
        changes.append(Change(step, dialogue.id, number, why, entity.text, None))
    return replace(message, content=after, entities=entities), changes


def with_messages(dialogue: Dialogue, changed: dict[int, Message]) -> Dialogue:
    if not changed:
        return dialogue
    messages = [changed.get(number, old) for number, old in enumerate(dialogue.messages)]
    return replace(dialogue, messages=messages)


def set_aside(step: str, dialogue: Dialogue, reason: str, number: int | None = None) -> Change:
    text = dialogue.messages[number or 0].content if dialogue.messages else ""
    return Change(step, dialogue.id, number, reason, text, None)


def normalised(text: str) -> str:
    """Lower case, every run of spaces and punctuation as one space."""
    return re.sub(r"[\W_]+", " ", text.casefold()).strip()
