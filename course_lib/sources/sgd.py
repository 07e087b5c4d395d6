"""Schema-Guided Dialogue (Rastogi et al. 2020): service dialogues with slots, acts and states.

One file is a list of dialogues; a turn has `speaker`, `utterance` and one frame per service with
`slots` (start, exclusive_end), `actions`, and on the user's side `state`. MultiWOZ 2.2 has the
same shape without actions (`multiwoz.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from course_lib.dialogue import Dialogue, DialogueError, Entity, Message, Reject
from course_lib.sources.json_stream import json_records
from course_lib.sources.records import Record, convert, field_text, files_of, shown, split_of

ROLE_OF = {"USER": "user", "SYSTEM": "assistant"}
NO_INTENT = "NONE"

Json = dict[str, Any]
Acts = list[list[str | None]]


def read_sgd(path: Path, rejects: list[Reject] | None = None) -> Iterator[Dialogue]:
    """Yields the dialogues of a `dialogues_*.json` file, or of all such files below a folder.

    A user's turn carries its active intent, every turn its acts and spans; values that stand
    nowhere in the text are no entities, but the last state is kept in `goal["slots"]`.
    """
    for file in files_of(path, "dialogues_*.json"):
        build = partial(schema_guided, source="sgd", split=split_of(file))
        yield from convert(json_records(file), file, build, rejects, dialogue_name)


def dialogue_name(record: Record) -> str | None:
    """The id of a record as its file has it, for error messages."""
    return field_text(record.value, "dialogue_id")


def schema_guided(
    record: Record,
    source: str,
    split: str | None,
    acts_of: Callable[[Json, int], Acts] | None = None,
    prefix_slots: bool = True,
) -> Dialogue:
    """One dialogue of the schema-guided shape.

    `acts_of(record, turn number)` gives acts that stand outside the frames; `prefix_slots` puts
    the service before a goal's slot where there are several services.
    """
    value = record.value
    # dialogue ids start anew in each split
    name = "-".join(part for part in (source, split, value["dialogue_id"]) if part)
    messages = [_message(turn, number) for number, turn in enumerate(value["turns"])]
    if acts_of:
        for number, message in enumerate(messages):
            message.acts += acts_of(value, number)
    return Dialogue(
        id=name,
        messages=messages,
        source=source,
        split=split,
        family_id=name,
        goal=_goal(value, prefix_slots),
    )


def _message(turn: Json, number: int) -> Message:
    speaker, content, frames = turn["speaker"], turn["utterance"], turn.get("frames") or []
    if speaker not in ROLE_OF:
        found = shown(speaker)
        raise DialogueError(f"turn {number} has the speaker {found}; expected USER or SYSTEM")
    return Message(
        role=ROLE_OF[speaker],
        content=content,
        intent=next(iter(_intents(frames)), None),
        entities=_entities(content, frames),
        acts=[_act(action) for frame in frames for action in frame.get("actions") or []],
    )


def _intents(frames: list[Json]) -> list[str]:
    found = [(frame.get("state") or {}).get("active_intent") for frame in frames]
    return [intent for intent in found if intent and intent != NO_INTENT]


def _act(action: Json) -> list[str | None]:
    return [action["act"].lower(), action.get("slot") or None]


def _entities(content: str, frames: list[Json]) -> list[Entity]:
    """The spans of a turn in order of place; two services may mark the same one."""
    found = {}
    for frame in frames:
        for span in frame.get("slots") or []:
            if "start" in span and "exclusive_end" in span:
                entity = _entity(content, span, frame)
                found[entity.start, entity.end, entity.slot] = entity
    return [found[key] for key in sorted(found)]


def _entity(content: str, span: Json, frame: Json) -> Entity:
    start, end = span["start"], span["exclusive_end"]
    if not 0 <= start < end <= len(content):
        reason = f"slot {shown(span['slot'])} spans {start}:{end} of {len(content)} characters"
        raise DialogueError(reason)
    text = content[start:end]
    return Entity(span["slot"], start, end, text, _canonical(span["slot"], text, frame))


def _canonical(slot: str, text: str, frame: Json) -> str:
    """The value an action gives for this text; the text itself where no action has one."""
    for action in frame.get("actions") or []:
        if action.get("slot") == slot:
            values, canonical = action.get("values") or [], action.get("canonical_values") or []
            if text in values[: len(canonical)]:
                return str(canonical[values.index(text)])
    return text


def _goal(record: Json, prefix_slots: bool) -> dict[str, Any]:
    frames = [frame for turn in record["turns"] for frame in turn.get("frames") or []]
    services = record.get("services") or []
    slots: dict[str, str] = {}
    for frame in frames:
        # of several values of a slot the first: the others are spellings of the same one
        values = (frame.get("state") or {}).get("slot_values") or {}
        prefix = f"{frame['service']}." if prefix_slots and len(services) > 1 else ""
        slots |= {prefix + slot: str(known[0]) for slot, known in values.items() if known}
    intents = list(dict.fromkeys(_intents(frames)))
    return {"intent": ", ".join(intents), "slots": slots, "services": list(services)}
