"""Chat logs as a helpdesk exports them: CSV or JSONL, one message a row, columns of any name.

The rows of one conversation must stand together. Where one turns up again further down, every
part of it is refused, as none is the whole: sort such a file by conversation first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import nan
from pathlib import Path
from typing import Any

from course_lib.dialogue import ROLES, Dialogue, DialogueError, Message, Reject
from course_lib.sources.csv_rows import csv_records
from course_lib.sources.records import (
    LINE_SUFFIXES,
    Broken,
    Found,
    Record,
    convert,
    files_of,
    jsonl_records,
    own_name,
    shown,
    split_of,
)

ROLE_OF = {
    "system": "system",
    "user": "user",
    "customer": "user",
    "client": "user",
    "visitor": "user",
    "assistant": "assistant",
    "agent": "assistant",
    "operator": "assistant",
    "bot": "assistant",
    "tool": "tool",
}


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column holds what, and what its roles are called; `time` and `intent` may be None."""

    conversation: str = "conversation_id"
    role: str = "role"
    text: str = "text"
    time: str | None = None
    intent: str | None = None
    roles: Mapping[str, str] = field(default_factory=lambda: ROLE_OF)

    def named(self) -> tuple[str, ...]:
        names = (self.conversation, self.role, self.text, self.time, self.intent)
        return tuple(name for name in names if name)


def read_chat_log(
    path: Path,
    rejects: list[Reject] | None = None,
    *,
    conversation: str = "conversation_id",
    role: str = "role",
    text: str = "text",
    time: str | None = None,
    intent: str | None = None,
    roles: Mapping[str, str] | None = None,
    delimiter: str | None = None,
    lang: str = "en",
) -> Iterator[Dialogue]:
    """Yields the conversations of a CSV, TSV or JSONL file, or of all such files below a folder.

    The options name the columns. `roles` maps the log's roles to ours, in any case, and replaces
    the usual names (customer, agent, …). With a `time` column (ISO 8601 or a number) the rows of
    a conversation are put in its order, else they keep the file's. Each file is read twice,
    first for the ids alone; beside one conversation only the ids are held in memory. A row that
    cannot be read is set aside, and with it the conversations next to it, which may have lost a
    turn: conversations and such rows together are `kept + rejects`.
    """
    role_of = {name.lower(): ours for name, ours in (roles or ROLE_OF).items()}
    columns = Columns(conversation, role, text, time, intent, role_of)
    _check(columns, delimiter)
    for file in files_of(path, "*.csv", "*.tsv", "*.jsonl"):
        yield from _read_file(file, columns, delimiter, lang, rejects)


def _check(columns: Columns, delimiter: str | None) -> None:
    strange = sorted(set(columns.roles.values()) - set(ROLES))
    if strange:
        raise DialogueError(f"roles= maps to {', '.join(strange)}; ours are {', '.join(ROLES)}")
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise DialogueError(f"delimiter= must be one character such as ';', not {delimiter!r}")


def _read_file(
    file: Path, columns: Columns, delimiter: str | None, lang: str, rejects: list[Reject] | None
) -> Iterator[Dialogue]:
    scattered = _scattered(_rows(file, columns, delimiter))

    def build(run: Record) -> Dialogue:
        if run.key in scattered:
            raise DialogueError("its rows stand in several places; sort the file by conversation")
        name = f"chat_log-{run.key}"
        messages = _messages(run.value, columns)
        split = split_of(file)
        return Dialogue(name, messages, lang, source="chat_log", split=split, family_id=name)

    runs = _conversations(_rows(file, columns, delimiter))
    return convert(runs, file, build, rejects, lambda run: run.key)


def _rows(file: Path, columns: Columns, delimiter: str | None) -> Iterator[Found]:
    """The file's rows, each with its conversation's id as key."""
    if file.suffix.lower() in LINE_SUFFIXES:
        rows = jsonl_records(file)
    else:
        usual = "\t" if file.suffix.lower() == ".tsv" else ","
        rows = csv_records(file, columns.named(), delimiter or usual)
    for row in rows:
        yield row if isinstance(row, Broken) else _keyed(row, columns.conversation)


def _keyed(row: Record, column: str) -> Found:
    key = own_name(row.value, column)
    if key is None:
        return Broken(row.line, f"no id of a conversation in {column!r}", shown(row.value))
    return Record(row.line, row.value, key=key)


def _scattered(rows: Iterator[Found]) -> set[str | None]:
    """The ids that turn up again after another conversation has begun."""
    seen: set[str | None] = set()
    again: set[str | None] = set()
    last = None
    for row in rows:
        if isinstance(row, Record) and row.key != last:
            (again if row.key in seen else seen).add(row.key)
            last = row.key
    return again


def _conversations(rows: Iterator[Found]) -> Iterator[Found]:
    """Runs of rows with one id; an unreadable row stands in the runs that it lies in or beside."""
    key: str | None = None
    run: list[Found] = []
    gap: list[Found] = []  # the last unreadable row, until a readable one follows
    for row in rows:
        if isinstance(row, Broken):
            yield row
            run += [row] if run and not gap else []
            gap = [row]
            continue
        if run and row.key != key:
            yield _joined(key, run)
            run = []
        key, run, gap = row.key, run or gap, []
        run.append(row)
    if run:
        yield _joined(key, run)


def _joined(key: str | None, run: list[Found]) -> Record:
    line = next(row.line for row in run if isinstance(row, Record))
    return Record(line, run, key=key)


def _messages(run: list[Found], columns: Columns) -> list[Message]:
    timed = []
    for row in run:
        if isinstance(row, Broken):
            raise DialogueError(f"a turn may be lost: line {row.line} next to it is unreadable")
        timed.append((_time(row, columns.time), _message(row, columns)))
    return [message for _, message in sorted(timed, key=lambda one: one[0])]


def _message(row: Record, columns: Columns) -> Message:
    role, text = _cell(row, columns.role), _cell(row, columns.text)
    known = columns.roles.get(role.strip().lower())
    if known is None:
        reason = f"the role {shown(role)} is none of {', '.join(columns.roles)}; give roles="
        raise DialogueError(reason, line=row.line)
    intent = row.value.get(columns.intent) or None if columns.intent else None
    return Message(known, text, intent=intent, train=known != "tool")


def _cell(row: Record, column: str) -> str:
    found = row.value.get(column)
    if not isinstance(found, str):
        raise DialogueError(f"no text in {column!r}, but {shown(found)}", line=row.line)
    return found


def _time(row: Record, column: str | None) -> float:
    """Seconds; a time without a zone is taken as UTC. 0 where the log has no times."""
    if column is None:
        return 0.0
    found = row.value.get(column)
    try:
        seconds = _seconds(found)
    except (TypeError, ValueError, OverflowError):
        seconds = nan
    if seconds != seconds:
        reason = f"no time in {column!r}, but {shown(found)}; write ISO 8601 or a number"
        raise DialogueError(reason, line=row.line)
    return seconds


def _seconds(found: Any) -> float:
    try:
        return float(found)
    except ValueError:
        moment = datetime.fromisoformat(found)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
