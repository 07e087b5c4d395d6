"""What the adapters share: a JSON file is opened once, its records become dialogues one by one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from course_lib.dialogue import Dialogue, DialogueError, Reject, validate

Record = Any
LONGEST_TEXT_KEPT = 2_000  # characters of a bad record that its Reject carries


def load_json(path: Path) -> Any:
    """The value of a JSON file (UTF-8); raises DialogueError with file and line."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        reason = f"not UTF-8: byte 0x{byte:02x} at position {error.start}; save the file as UTF-8"
        raise DialogueError(reason, path) from None
    except json.JSONDecodeError as error:
        raise DialogueError(f"broken JSON: {error.msg}", path, error.lineno) from None
    except RecursionError:
        raise DialogueError("the JSON is nested too deeply", path) from None
    except OSError as error:
        raise DialogueError(f"cannot be read ({error.strerror})", path) from None


def load_or_reject(path: Path, rejects: list[Reject] | None) -> Any:
    """Like `load_json`; with a list in `rejects` a broken file is set aside whole (None)."""
    try:
        return load_json(path)
    except DialogueError as error:
        if rejects is None:
            raise
        rejects.append(Reject(str(path), error.line or 0, None, error.reason, ""))
        return None


def json_files(
    path: Path, pattern: str, rejects: list[Reject] | None
) -> Iterator[tuple[Path, Any]]:
    """(file, its JSON value) of one file, or of all below a folder that match `pattern`."""
    files = [path] if path.is_file() else sorted(path.rglob(pattern))
    if not files:
        raise DialogueError(f"no {pattern} below this folder; give the file or its folder", path)
    for file in files:
        records = load_or_reject(file, rejects)
        if records is not None:
            yield file, records


def convert(
    records: Iterable[tuple[int, Record]],
    path: Path,
    build: Callable[[Record], Dialogue],
    rejects: list[Reject] | None,
    name_of: Callable[[Record], str | None],
) -> Iterator[Dialogue]:
    """Yields `build(record)`, checked; a bad record raises, or is set aside in `rejects`.

    `records` are numbered; a Reject carries that number in `line`, as JSON records have no line
    of their own. `build` may raise DialogueError, KeyError, TypeError, ValueError, IndexError or
    AttributeError.
    """
    for number, record in records:
        try:
            yield validate(build(record))
        except (DialogueError, KeyError, TypeError, ValueError, IndexError, AttributeError) as bad:
            reason = f"record {number}: {_reason(bad)}"
            _refuse(DialogueError(reason, path, None, name_of(record)), number, record, rejects)


def _reason(error: Exception) -> str:
    if isinstance(error, DialogueError):
        return error.reason
    if isinstance(error, KeyError):
        return f"the field {error.args[0]!r} is missing"
    return f"not in the expected shape ({error})"


def _refuse(
    error: DialogueError, number: int, record: Record, rejects: list[Reject] | None
) -> None:
    if rejects is None:
        raise error from None
    text = json.dumps(record, ensure_ascii=False)[:LONGEST_TEXT_KEPT]
    rejects.append(Reject(str(error.path), number, error.dialogue_id, error.reason, text))


def field_text(record: Record, name: str) -> str | None:
    """A record's field as text for an error message; None where it has none."""
    value = record.get(name) if isinstance(record, dict) else None
    return None if value is None else str(value)
