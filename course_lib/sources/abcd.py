"""Action-Based Conversations Dataset (Chen et al. 2021): a shop's agents, customers and actions.

A conversation has `original` turns `[speaker, text]`, the same turns as `delexed` objects with
`targets` [intent, next step, action, values, rank], and the `scenario` the customer acted out.
The sample file is a list of conversations, the full file an object of such lists by split.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from course_lib.dialogue import Dialogue, DialogueError, Entity, Message, Reject
from course_lib.sources.json_stream import JsonStream, guarded
from course_lib.sources.records import Record, convert, field_text, files_of, shown

ROLE_OF = {"agent": "assistant", "customer": "user", "action": "tool"}
FIELDS = ("convo_id", "scenario", "original", "delexed")
PLACEHOLDER = re.compile(r"<(\w+)>")

Json = dict[str, Any]


def read_abcd(path: Path, rejects: list[Reject] | None = None) -> Iterator[Dialogue]:
    """Yields the conversations of a JSON file, or of all `abcd*.json` files in a folder.

    Turns keep their order as it is: the agent may open and one speaker may go on. Actions become
    `tool` turns, never trained. Details that the delexed text marks are entities.
    """
    for file in files_of(path, "abcd*.json"):
        yield from convert(guarded(file, _conversations), file, _dialogue, rejects, _name)


def _name(record: Record) -> str | None:
    return field_text(record.value, "convo_id")


def _conversations(stream: JsonStream) -> Iterator[Record]:
    """The records of either file; the full file's split is each record's `key`."""
    first = stream.peek()
    if first == "[":
        yield from _listed(stream, None)
    elif first == "{":
        yield from _by_split(stream)
    else:
        yield Record(stream.line, stream.value(), 1)


def _listed(stream: JsonStream, split: str | None) -> Iterator[Record]:
    for number, (line, value) in enumerate(stream.elements(), start=1):
        yield Record(line, value, number, split)


def _by_split(stream: JsonStream) -> Iterator[Record]:
    """Lists by split, or the fields of one single conversation."""
    start, fields = stream.line, {}
    for line, key in stream.members():
        if key in FIELDS:
            fields[key] = stream.value()
        elif stream.peek() == "[":
            yield from _listed(stream, key)
        else:
            yield Record(line, stream.value(), 1, key)
    if fields:
        yield Record(start, fields, 1)


def _dialogue(found: Record) -> Dialogue:
    record: Json = found.value
    name = f"abcd-{record['convo_id']}"
    scenario = record.get("scenario") or {}
    details = _details(scenario)
    return Dialogue(
        id=name,
        messages=[_message(*turn, details) for turn in _turns(record)],
        source="abcd",
        split=found.key,
        family_id=name,
        goal={
            "intent": scenario.get("subflow") or "",
            "slots": details,
            "flow": scenario.get("flow") or "",
        },
    )


def _turns(record: Json) -> list[tuple[int, str, str, Json]]:
    """(number, speaker, text, delexed turn or {}): the original words where the file has them."""
    delexed = record.get("delexed") or []
    original = record.get("original") or [[turn["speaker"], turn["text"]] for turn in delexed]
    if not original:
        raise DialogueError("the conversation has neither 'original' nor 'delexed' turns")
    marked = delexed or [{}] * len(original)
    if len(marked) != len(original):
        reason = f"{len(original)} original turns, but {len(marked)} delexed ones"
        raise DialogueError(f"{reason}; drop 'delexed' to read it without targets")
    pairs = zip(original, marked, strict=True)
    return [(number, *turn, mark) for number, (turn, mark) in enumerate(pairs)]


def _message(number: int, speaker: str, text: str, mark: Json, details: dict[str, str]) -> Message:
    if speaker not in ROLE_OF:
        reason = f"turn {number} has the speaker {shown(speaker)}"
        raise DialogueError(f"{reason}; expected one of {', '.join(ROLE_OF)}")
    role = ROLE_OF[speaker]
    intent, step, action = (list(mark.get("targets") or []) + [None] * 3)[:3]
    return Message(
        role=role,
        content=text,
        intent=intent if role == "user" else None,
        entities=_entities(text, mark.get("text") or "", details),
        acts=[[action or step, None]] if action or step else [],
        train=role != "tool",
    )


def _entities(text: str, delexed: str, details: dict[str, str]) -> list[Entity]:
    """One span for each placeholder of the delexed text whose value stands in the original."""
    found = []
    for slot in dict.fromkeys(PLACEHOLDER.findall(delexed)):
        value = details.get(slot)
        match = re.search(re.escape(value), text, re.IGNORECASE) if value else None
        if match:
            found.append(Entity(slot, match.start(), match.end(), match.group(), str(value)))
    return sorted(found, key=lambda entity: entity.start)


def _details(scenario: Json) -> dict[str, str]:
    """Personal and order details as flat texts; the product's names are joined by commas."""
    parts = [scenario.get("personal") or {}, scenario.get("order") or {}]
    slots = {name: str(value) for part in parts for name, value in part.items() if value}
    names = (scenario.get("product") or {}).get("names") or []
    return slots | ({"product": ", ".join(names)} if names else {})
