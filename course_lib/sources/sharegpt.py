"""ShareGPT: rows with `conversations`, a list of turns `from` (human, gpt, …) and `value`.

A JSON array, or JSONL.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from course_lib.dialogue import Dialogue, DialogueError, Message, Reject
from course_lib.sources.json_stream import json_records
from course_lib.sources.records import files_of, own_name, row_dialogues, shown

ROLE_OF = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "observation": "tool",
    "function_response": "tool",
}


def read_sharegpt(
    path: Path,
    rejects: list[Reject] | None = None,
    *,
    roles: Mapping[str, str] | None = None,
) -> Iterator[Dialogue]:
    """Yields one dialogue a row of a JSON or JSONL file, or of all such files below a folder.

    `roles` gives further names of speakers, such as {"clerk": "assistant"}. What a tool says is
    never trained.
    """
    build = partial(sharegpt_dialogue, roles=roles)
    for file in files_of(path, "*.json", "*.jsonl"):
        yield from row_dialogues("sharegpt", file, json_records(file), build, rejects)


def sharegpt_dialogue(
    row: dict[str, Any], name: str, roles: Mapping[str, str] | None = None
) -> Dialogue:
    """One row as a dialogue; `name` is its id unless it has one of its own."""
    role_of = ROLE_OF | dict(roles or {})
    turns = row["conversations"]
    if not isinstance(turns, list):
        raise DialogueError(f"'conversations' is no list, but {type(turns).__name__}")
    messages = [_message(turn, number, role_of) for number, turn in enumerate(turns)]
    if row.get("system"):
        messages.insert(0, Message("system", row["system"]))
    own = own_name(row)
    return Dialogue(id=f"sharegpt-{own}" if own else name, messages=messages)


def _message(turn: dict[str, Any], number: int, role_of: Mapping[str, str]) -> Message:
    speaker = turn["from"]
    if speaker not in role_of:
        reason = f"turn {number} is from {shown(speaker)}; known are {', '.join(role_of)}"
        raise DialogueError(f"{reason}; name others in roles=")
    role = role_of[speaker]
    return Message(role, turn["value"], train=role != "tool")
