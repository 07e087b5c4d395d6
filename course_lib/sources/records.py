"""What the adapters share: records are read one by one and become dialogues, or rejects."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from course_lib.dialogue import Dialogue, DialogueError, Reject, validate

LONGEST_TEXT_KEPT = 2_000  # characters of a bad record that its Reject carries
LONGEST_REASON = 400
LONGEST_SHOWN = 60  # characters of a wrong value that a reason quotes
LINE_SUFFIXES = (".jsonl", ".ndjson")
SPLIT_OF = {"train": "train", "test": "test"} | dict.fromkeys(
    ("dev", "val", "valid", "validation"), "dev"
)
BAD_RECORD = (
    DialogueError,
    KeyError,
    TypeError,
    ValueError,
    IndexError,
    AttributeError,
    OverflowError,
    RecursionError,
)


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a file and its place there.

    `line` is 1-based; a record of a JSON array has its `number` too, a member of a JSON object
    its `key`.
    """

    line: int
    value: Any
    number: int | None = None
    key: str | None = None

    @property
    def place(self) -> int:
        return self.line if self.number is None else self.number


@dataclass(frozen=True, slots=True)
class Broken:
    """A place in a file that holds no readable record: where, why, and its text."""

    line: int
    reason: str
    text: str = ""


Found = Record | Broken
Build = Callable[[Record], Dialogue]
RowBuild = Callable[[Any, str], Dialogue]
NameOf = Callable[[Record], str | None]
Made = TypeVar("Made")


def convert(
    records: Iterable[Found],
    path: Path | str,
    build: Build,
    rejects: list[Reject] | None,
    name_of: NameOf = lambda record: None,
) -> Iterator[Dialogue]:
    """Yields `build(record)`, checked; a bad record raises, or is set aside in `rejects`."""
    return each(records, path, lambda record: validate(build(record)), rejects, name_of)


def each(
    records: Iterable[Found],
    path: Path | str,
    make: Callable[[Record], Made],
    rejects: list[Reject] | None,
    name_of: NameOf,
) -> Iterator[Made]:
    """Yields `make(record)`; every record gives one value or one reject with its line.

    `make` may raise any of `BAD_RECORD`; a DialogueError's own line, where it has one, goes
    before the record's.
    """
    for record in records:
        if isinstance(record, Broken):
            _refuse(DialogueError(record.reason, path, record.line), record.text, rejects)
            continue
        try:
            made = make(record)
        except BAD_RECORD as bad:
            _refuse(_error(bad, record, path, name_of), _text_of(record.value), rejects)
        else:
            yield made


def row_dialogues(
    source: str,
    path: Path,
    records: Iterable[Found],
    build: RowBuild,
    rejects: list[Reject] | None,
) -> Iterator[Dialogue]:
    """Dialogues of a format with one dialogue a row; `build(value, name)` makes one from a value.

    `name` is the id of a row that has none of its own: source, file and line (in a JSON array
    the record's number). The split is the one that the file's name or folder says.
    """
    split = split_of(path)

    def name_of(record: Record) -> str:
        return f"{source}-{path.stem}-{record.place}"

    def finished(record: Record) -> Dialogue:
        dialogue = build(record.value, name_of(record))
        return replace(dialogue, source=source, split=split, family_id=dialogue.id)

    return convert(records, path, finished, rejects, lambda r: own_name(r.value) or name_of(r))


def files_of(path: Path, *patterns: str) -> list[Path]:
    """The file itself, or all files below a folder that match; DialogueError where none does."""
    if not path.is_dir():
        return [path]
    files = sorted({file for pattern in patterns for file in path.rglob(pattern)})
    if not files:
        wanted = " or ".join(patterns)
        raise DialogueError(f"no {wanted} below this folder; give the file or its folder", path)
    return files


def split_of(path: Path) -> str | None:
    """train, dev or test, where a word of the file's name, or its folder's name, says so."""
    words = [*re.split(r"[-_.]", path.stem.lower()), path.parent.name.lower()]
    return next((SPLIT_OF[word] for word in words if word in SPLIT_OF), None)


def jsonl_records(path: Path) -> Iterator[Found]:
    """The records of a JSONL file, one a line; blank lines are skipped."""
    try:
        for line, raw in numbered_lines(path):
            record = _parsed(line, raw)
            if record is not None:
                yield record
    except DialogueError as error:
        yield Broken(0, error.reason)


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(number from 1, bytes) of each line; raises DialogueError where the file cannot be read."""
    try:
        with path.open("rb") as file:
            yield from enumerate(file, start=1)
    except OSError as error:
        raise DialogueError(f"cannot be read ({error.strerror})", path) from None


def _parsed(line: int, raw: bytes) -> Found | None:
    try:
        text = raw.decode("utf-8-sig" if line == 1 else "utf-8")
        return Record(line, json.loads(text)) if text.strip() else None
    except UnicodeDecodeError as error:
        reason = not_utf8(raw[error.start], error.start)
    except json.JSONDecodeError as error:
        reason = f"broken JSON at character {error.pos}: {error.msg}"
    except RecursionError:
        reason = "the JSON is nested too deeply"
    except ValueError as error:
        reason = f"broken JSON: {error}"  # a number of too many digits
    return Broken(line, reason, raw.decode("utf-8", errors="backslashreplace").rstrip("\r\n"))


def not_utf8(byte: int, position: int) -> str:
    """The reason for a byte that is no UTF-8; positions count from 0."""
    return f"not UTF-8: byte 0x{byte:02x} at position {position}; save the file as UTF-8"


def _error(bad: Exception, record: Record, path: Path | str, name_of: NameOf) -> DialogueError:
    reason = _reason(bad) if record.number is None else f"record {record.number}: {_reason(bad)}"
    line = bad.line if isinstance(bad, DialogueError) else None
    return DialogueError(reason, path, line or record.line, name_of(record))


def _reason(error: Exception) -> str:
    if isinstance(error, DialogueError):
        return error.reason
    if isinstance(error, KeyError):
        return f"the field {shown(error.args[0])} is missing"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return f"not in the expected shape ({error})"


def _refuse(error: DialogueError, text: str, rejects: list[Reject] | None) -> None:
    reason = printable(error.reason, LONGEST_REASON)
    name = None if error.dialogue_id is None else printable(error.dialogue_id, LONGEST_REASON)
    if rejects is None:
        raise DialogueError(reason, error.path, error.line, name) from None
    text = printable(text, LONGEST_TEXT_KEPT)
    rejects.append(Reject(str(error.path), error.line or 0, name, reason, text))


def printable(text: str, longest: int) -> str:
    """The text, cut, with half surrogate pairs spelled out, so that any file can hold it."""
    return text[:longest].encode("utf-8", errors="backslashreplace").decode("utf-8")


def shown(value: Any) -> str:
    """A wrong value as an error quotes it: its repr, cut where it is long."""
    if isinstance(value, str):
        value = value[: LONGEST_SHOWN + 1]
    text = _or_empty(repr, value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def _text_of(value: Any) -> str:
    return _or_empty(lambda kept: json.dumps(kept, ensure_ascii=False, default=_plain), value)


def _plain(value: Any) -> Any:
    """What JSON can write of a row of a chat log, or of a value from the Hub such as a date."""
    if isinstance(value, Record):
        return value.value
    return value.text if isinstance(value, Broken) else str(value)


def _or_empty(write: Callable[[Any], str], value: Any) -> str:
    try:
        return write(value)
    except (ValueError, RecursionError):
        return ""


def field_text(value: Any, name: str) -> str | None:
    """A record's field as text for an error message; None where it has none."""
    found = value.get(name) if isinstance(value, dict) else None
    return None if found is None else str(found)


def own_name(value: Any, *fields: str) -> str | None:
    """The id that a row gives itself in the first of `fields` (else `id`): a text or a number."""
    for field in fields or ("id",):
        found = value.get(field) if isinstance(value, dict) else None
        if isinstance(found, int) and not isinstance(found, bool):
            return str(found)
        if isinstance(found, str) and found.strip():
            return found
    return None


def text_in(value: dict[str, Any], field: str) -> str:
    """The text of a row's field; DialogueError where it is missing, no text or blank."""
    found = value[field]
    if not isinstance(found, str):
        raise DialogueError(f"{field!r} is no text, but {type(found).__name__}")
    if not found.strip():
        raise DialogueError(f"{field!r} is empty")
    return found
