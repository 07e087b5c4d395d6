"""Alpaca instructions (Taori et al. 2023): `instruction`, optional `input`, `output`.

One row is one question and its answer: a JSON array, or JSONL.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from course_lib.dialogue import Dialogue, Message, Reject
from course_lib.sources.json_stream import json_records
from course_lib.sources.records import files_of, own_name, row_dialogues, text_in

BETWEEN = "\n\n"  # stands between an instruction and its input


def read_alpaca(path: Path, rejects: list[Reject] | None = None) -> Iterator[Dialogue]:
    """Yields one dialogue a row of a JSON or JSONL file, or of all such files below a folder.

    The user says the instruction and, below it, the input; an optional `system` goes before.
    """
    for file in files_of(path, "*.json", "*.jsonl"):
        yield from row_dialogues("alpaca", file, json_records(file), alpaca_dialogue, rejects)


def alpaca_dialogue(row: dict[str, Any], name: str) -> Dialogue:
    """One row as a dialogue; `name` is its id unless it has one of its own."""
    own = own_name(row)
    asked = [text_in(row, "instruction")]
    if row.get("input"):
        asked.append(text_in(row, "input"))
    system = [Message("system", text_in(row, "system"))] if row.get("system") else []
    talk = [Message("user", BETWEEN.join(asked)), Message("assistant", text_in(row, "output"))]
    return Dialogue(id=f"alpaca-{own}" if own else name, messages=system + talk)
