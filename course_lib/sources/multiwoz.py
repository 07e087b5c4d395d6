"""MultiWOZ 2.2 (Zang et al. 2020): a town's guests and its information desk, ten thousand talks.

`dialogues_*.json` in folders train, dev and test have the schema-guided shape without actions;
the acts stand in one `dialog_acts.json` beside the folders, by dialogue and turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from sys import intern
from typing import Any

from course_lib.dialogue import Dialogue, DialogueError, Reject
from course_lib.sources.json_stream import JsonStream, guarded, json_records
from course_lib.sources.records import Record, convert, each, files_of, split_of
from course_lib.sources.sgd import Acts, dialogue_name, schema_guided

ACTS_FILE = "dialog_acts.json"
NO_SLOT = ("none", "", None)

Json = dict[str, Any]
Index = dict[str, dict[str, Acts]]


def read_multiwoz(path: Path, rejects: list[Reject] | None = None) -> Iterator[Dialogue]:
    """Yields the dialogues of a `dialogues_*.json` file, or of all such files below a folder.

    Like `read_sgd`; a value that is copied from another slot has no place in the text and stays
    in the goal only. Acts are read where `dialog_acts.json` lies in the folder or one above;
    they alone are held in memory for the whole set.
    """
    index_of = cache(partial(_acts, rejects=rejects))
    for file in files_of(path, "dialogues_*.json"):
        index = index_of(_acts_file(file))
        build = partial(
            schema_guided,
            source="multiwoz",
            split=split_of(file),
            acts_of=partial(_acts_of, index),
            prefix_slots=False,  # slots are named hotel-area already
        )
        yield from convert(json_records(file), file, build, rejects, dialogue_name)


def _acts_file(file: Path) -> Path | None:
    around = (file.parent / ACTS_FILE, file.parent.parent / ACTS_FILE)
    return next((path for path in around if path.is_file()), None)


def _acts(path: Path | None, rejects: list[Reject] | None) -> Index:
    """Acts by dialogue and turn; an entry that breaks the shape raises, or is set aside."""
    if path is None:
        return {}
    return dict(each(guarded(path, _members), path, _entry, rejects, lambda record: record.key))


def _entry(record: Record) -> tuple[str, dict[str, Acts]]:
    return str(record.key), {turn: _flat(acts) for turn, acts in record.value.items()}


def _members(stream: JsonStream) -> Iterator[Record]:
    if stream.peek() != "{":
        raise DialogueError("not in the expected shape: acts by dialogue", line=stream.line)
    for line, key in stream.members():
        yield Record(line, stream.value(), key=key)


def _flat(turn: Json) -> Acts:
    acts: Acts = []
    for act, pairs in turn["dialog_act"].items():
        slots = dict.fromkeys(pair[0] for pair in pairs)
        acts += [[intern(act.lower()), None if s in NO_SLOT else intern(s)] for s in slots]
    return acts


def _acts_of(index: Index, record: Json, number: int) -> Acts:
    return list(index.get(record["dialogue_id"], {}).get(str(number), []))
