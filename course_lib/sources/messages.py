"""Chat `messages` as OpenAI's API has them: rows with a list of `role` and `content`.

A JSON array, or JSONL. A row's `tools` and a message's `name` have no place in our record.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from course_lib.dialogue import Dialogue, DialogueError, Message, Reject
from course_lib.sources.json_stream import json_records
from course_lib.sources.records import files_of, own_name, row_dialogues, shown

ROLE_OF = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}

Json = dict[str, Any]


def read_messages(path: Path, rejects: list[Reject] | None = None) -> Iterator[Dialogue]:
    """Yields one dialogue a row of a JSON or JSONL file, or of all such files below a folder.

    Text parts are joined; an image or sound is refused, as no text stands for it. Tool calls are
    acts ["call", function]. A message of `weight` 0, a tool's answer, and a call without words
    of its own (its content is then the call, written out) are never trained.
    """
    for file in files_of(path, "*.json", "*.jsonl"):
        yield from row_dialogues("messages", file, json_records(file), messages_dialogue, rejects)


def messages_dialogue(row: Json, name: str) -> Dialogue:
    """One row as a dialogue; `name` is its id unless it has one of its own."""
    turns = row["messages"]
    if not isinstance(turns, list):
        raise DialogueError(f"'messages' is no list, but {type(turns).__name__}")
    own = own_name(row, "id", "conversation_id", "prompt_id")
    messages = [_message(turn, number) for number, turn in enumerate(turns)]
    return Dialogue(id=f"messages-{own}" if own else name, messages=messages)


def _message(turn: Json, number: int) -> Message:
    if turn["role"] not in ROLE_OF:
        reason = f"message {number} has the role {shown(turn['role'])}"
        raise DialogueError(f"{reason}; known are {', '.join(ROLE_OF)}")
    role = ROLE_OF[turn["role"]]
    calls = [call["function"] for call in turn.get("tool_calls") or []]
    said = _text(turn.get("content"), number) if turn.get("content") or not calls else ""
    return Message(
        role=role,
        content=said or "\n".join(_written(call) for call in calls),
        acts=[["call", call["name"]] for call in calls],
        train=role != "tool" and turn.get("weight", 1) != 0 and bool(said or not calls),
    )


def _text(content: Any, number: int) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(part["type"] == "text" for part in content):
        return "".join(part["text"] for part in content)
    raise DialogueError(f"message {number} has no text in 'content', but {shown(content)}")


def _written(call: Json) -> str:
    """A call as the function's name and its arguments, which the API gives as JSON text."""
    given = call.get("arguments") or "{}"
    text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    return f"{call['name']}({text})"
