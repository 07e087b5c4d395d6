"""CLINC150 (Larson et al. 2019): questions in 150 intents and some out of scope (`oos`).

One JSON object of lists `[text, intent]` by split: train, val, test, oos_train, oos_val, oos_test.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from course_lib.dialogue import Dialogue, DialogueError, Reject
from course_lib.sources.banking77 import utterance_dialogue
from course_lib.sources.json_stream import JsonStream, guarded
from course_lib.sources.records import SPLIT_OF, Record, convert, files_of, shown

OUT_OF_SCOPE = "oos"


def read_clinc150(path: Path, rejects: list[Reject] | None = None) -> Iterator[Dialogue]:
    """Yields a dialogue of one user message, with its intent, for each pair of a JSON file.

    Questions out of scope keep the intent `oos` and stand in the split of their list's name.
    """
    file, *others = files_of(path, "data_*.json")
    if others:
        reason = f"{len(others) + 1} variants of one set lie here; give the file of one"
        raise DialogueError(reason, path)
    name_of = partial(_name, file)
    yield from convert(guarded(file, _pairs), file, partial(_dialogue, name_of), rejects, name_of)


def _name(file: Path, record: Record) -> str:
    return f"clinc150-{file.stem}-{record.key}-{record.place}"


def _pairs(stream: JsonStream) -> Iterator[Record]:
    if stream.peek() != "{":
        raise DialogueError("not in the expected shape: lists by split", line=stream.line)
    for line, key in stream.members():
        if stream.peek() != "[":
            yield Record(line, stream.value(), 1, key)
            continue
        for number, (place, pair) in enumerate(stream.elements(), start=1):
            yield Record(place, pair, number, key)


def _dialogue(name_of: partial[str], record: Record) -> Dialogue:
    split = SPLIT_OF.get((record.key or "").removeprefix(f"{OUT_OF_SCOPE}_"))
    if split is None:
        raise DialogueError(f"the list {shown(record.key)} is no known split")
    if not isinstance(record.value, list) or len(record.value) != 2:
        raise DialogueError(f"expected [text, intent], found {shown(record.value)}")
    text, intent = record.value
    dialogue = utterance_dialogue({"text": text, "intent": intent}, name_of(record))
    dialogue.source, dialogue.split, dialogue.family_id = "clinc150", split, dialogue.id
    return dialogue
