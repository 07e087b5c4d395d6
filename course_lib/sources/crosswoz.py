"""CrossWOZ (Zhu et al. 2020): Chinese talks of a tourist and a guide to one city.

One JSON object of dialogues by id, each with `messages` (`content`, `role` usr or sys,
`dialog_act` as [act, domain, slot, value]), `goal` and `final_goal` as [part, domain, slot,
value, mentioned], `type` and `task description`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from course_lib.dialogue import Dialogue, DialogueError, Entity, Message, Reject
from course_lib.sources.json_stream import JsonStream, guarded
from course_lib.sources.records import Record, convert, files_of, shown, split_of

ROLE_OF = {"usr": "user", "sys": "assistant"}
GENERAL = "General"  # of no domain: its second field is the act, such as greet
SPOKEN = ("Inform", "Recommend")  # acts whose value is said in the text
NO_VALUE = ("none", "", "是", "否")  # yes and no stand for a facility, not for their own words

Json = dict[str, Any]


def read_crosswoz(path: Path, rejects: list[Reject] | None = None) -> Iterator[Dialogue]:
    """Yields the dialogues of a JSON file, or of train, val and test below a folder.

    An act is in lower case, its slot is domain-slot. A value that an Inform or Recommend gives
    is an entity where the text has it word for word. The data know acts, but no intents.
    """
    for file in files_of(path, "train.json", "val.json", "test.json"):
        build = partial(_dialogue, split_of(file))
        yield from convert(guarded(file, _members), file, build, rejects, lambda r: r.key)


def _members(stream: JsonStream) -> Iterator[Record]:
    if stream.peek() != "{":
        raise DialogueError("not in the expected shape: dialogues by id", line=stream.line)
    for number, (line, key) in enumerate(stream.members(), start=1):
        yield Record(line, stream.value(), number, key)


def _dialogue(split: str | None, record: Record) -> Dialogue:
    value: Json = record.value
    name = f"crosswoz-{record.key}"
    return Dialogue(
        id=name,
        messages=[_message(turn, number) for number, turn in enumerate(value["messages"])],
        lang="zh",
        source="crosswoz",
        split=split,
        family_id=name,
        goal=_goal(value),
    )


def _message(turn: Json, number: int) -> Message:
    role, content = turn["role"], turn["content"]
    if role not in ROLE_OF:
        raise DialogueError(f"message {number} has the role {shown(role)}; expected usr or sys")
    acts = turn.get("dialog_act") or []
    return Message(
        role=ROLE_OF[role],
        content=content,
        entities=_entities(content, acts),
        acts=list(map(list, dict.fromkeys(map(_act, acts)))),
    )


def _act(act: list[str]) -> tuple[str, str | None]:
    name, domain, slot, _ = act
    if name == GENERAL:
        return domain.lower(), None
    return name.lower(), _slot(domain, slot)


def _slot(domain: str, slot: str) -> str:
    return domain if slot in ("none", "") else f"{domain}-{slot}"


def _entities(content: str, acts: list[list[str]]) -> list[Entity]:
    """The first place of each value that is said, in order of place."""
    found = {}
    for name, domain, slot, value in acts:
        match = _place(value, content) if name in SPOKEN and value not in NO_VALUE else None
        if match:
            entity = Entity(_slot(domain, slot), match.start(), match.end(), value, value)
            found[entity.start, entity.end, entity.slot] = entity
    return [found[key] for key in sorted(found)]


def _place(value: str, content: str) -> re.Match[str] | None:
    """Where the text has the value; not inside a longer number or Latin word."""
    pattern = re.escape(value)
    before = r"(?<![0-9A-Za-z])" if value[0].isascii() and value[0].isalnum() else ""
    after = r"(?![0-9A-Za-z])" if value[-1].isascii() and value[-1].isalnum() else ""
    return re.search(before + pattern + after, content)


def _goal(value: Json) -> Json:
    """Slots by domain-slot; by part.domain-slot where two parts are of one domain."""
    rows = value.get("final_goal") or value.get("goal") or []
    parts = {(part, domain) for part, domain, *_ in rows}
    domains = [domain for _, domain in sorted(parts, key=lambda one: one[0])]
    slots = {}
    for part, domain, slot, wanted, *_ in rows:
        prefix = f"{part}." if domains.count(domain) > 1 else ""
        text = ", ".join(map(str, wanted)) if isinstance(wanted, list) else str(wanted)
        if text:
            slots[prefix + _slot(domain, slot)] = text
    return {
        "intent": "",
        "slots": slots,
        "services": list(dict.fromkeys(domains)),
        "type": value.get("type") or "",
    }
