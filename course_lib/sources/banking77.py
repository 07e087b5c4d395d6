"""banking77 (Casanueva et al. 2020): a bank's customers, one question a row, 77 intents.

A CSV file with `text` and `category`; copies call the second column `label` or `label_text`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from course_lib.dialogue import Dialogue, DialogueError, Message, Reject
from course_lib.sources.csv_rows import csv_records
from course_lib.sources.records import files_of, row_dialogues, shown, text_in

INTENT_COLUMNS = ("category", "label_text", "intent", "label")  # names before numbers


def read_banking77(
    path: Path,
    rejects: list[Reject] | None = None,
    *,
    names: Sequence[str] | None = None,
) -> Iterator[Dialogue]:
    """Yields a dialogue of one user message, with its intent, for each row of a CSV file.

    `names` are the intents of a `label` column that holds numbers, in their order; without them
    a number stays the intent as it is.
    """
    build = partial(utterance_dialogue, names=names)
    for file in files_of(path, "*.csv"):
        rows = csv_records(file, ("text",))
        yield from row_dialogues("banking77", file, rows, build, rejects)


def utterance_dialogue(
    row: dict[str, Any], name: str, names: Sequence[str] | None = None
) -> Dialogue:
    """A row of a text and its intent as a dialogue of one user message, with the id `name`."""
    column = next((column for column in INTENT_COLUMNS if column in row), None)
    if column is None:
        raise DialogueError(f"no column of intents; give one of {', '.join(INTENT_COLUMNS)}")
    intent = _intent(row[column], names)
    message = Message("user", text_in(row, "text"), intent=intent)
    return Dialogue(id=name, messages=[message], goal={"intent": intent, "slots": {}})


def _intent(label: Any, names: Sequence[str] | None) -> str:
    if isinstance(label, bool) or not isinstance(label, (int, str)) or not str(label).strip():
        raise DialogueError(f"the intent is neither name nor number, but {shown(label)}")
    text = str(label).strip()
    if names is None or text in names:
        return text
    if not (text.isascii() and text.isdigit() and int(text) < len(names)):
        raise DialogueError(f"the intent {shown(label)} is none of the {len(names)} in names=")
    return names[int(text)]
