"""Bitext customer support: a CSV of `instruction`, `category`, `intent`, `response`, `flags`.

Details stand as placeholders such as {{Order Number}} in both texts. Some editions call the
letters for the kind of language `tags`; each letter is kept as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from course_lib.dialogue import Dialogue, Entity, Message, Reject
from course_lib.sources.csv_rows import csv_records
from course_lib.sources.records import files_of, own_name, row_dialogues, text_in

COLUMNS = ("instruction", "intent", "response")
PLACEHOLDER = re.compile(r"\{\{([^{}]*\w[^{}]*)\}\}")
NOT_WORD = re.compile(r"\W+")


def read_bitext(path: Path, rejects: list[Reject] | None = None) -> Iterator[Dialogue]:
    """Yields a dialogue of question and answer for each row of a CSV file, or of a folder's.

    The question has the intent; each placeholder is an entity whose value is its name. Category
    and flags are kept in the goal.
    """
    for file in files_of(path, "*.csv"):
        rows = csv_records(file, COLUMNS)
        yield from row_dialogues("bitext", file, rows, bitext_dialogue, rejects)


def bitext_dialogue(row: dict[str, Any], name: str) -> Dialogue:
    """One row as a dialogue; `name` is its id unless it has one of its own."""
    asked, answered = text_in(row, "instruction"), text_in(row, "response")
    own, intent = own_name(row), text_in(row, "intent").strip()
    entities = placeholders(asked)
    return Dialogue(
        id=f"bitext-{own}" if own else name,
        messages=[
            Message("user", asked, intent=intent, entities=entities),
            Message("assistant", answered, entities=placeholders(answered)),
        ],
        goal={
            "intent": intent,
            "slots": {entity.slot: entity.value for entity in entities},
            "category": row.get("category") or "",
            "flags": row.get("flags") or row.get("tags") or "",
        },
    )


def placeholders(text: str) -> list[Entity]:
    """Each {{Order Number}} of a text as an entity of the slot order_number."""
    return [
        Entity(_slot(match[1]), match.start(), match.end(), match.group(), match[1].strip())
        for match in PLACEHOLDER.finditer(text)
    ]


def _slot(name: str) -> str:
    return NOT_WORD.sub("_", name.strip().lower()).strip("_")
