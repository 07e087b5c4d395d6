"""CSV files row by row, with the line of each row; nothing is dropped or repaired in silence."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from course_lib.dialogue import DialogueError
from course_lib.sources.records import (
    LONGEST_TEXT_KEPT,
    Broken,
    Found,
    Record,
    not_utf8,
    numbered_lines,
    shown,
)

NAMES_NEEDED = "the first row must name the columns"


def csv_records(path: Path, columns: tuple[str, ...], delimiter: str = ",") -> Iterator[Found]:
    """The rows of a CSV file below its header, as objects by column; empty lines are skipped.

    A header without all of `columns` is one Broken, and no row is read. A row may go over
    several lines inside quotes; a stray quote takes at most one field's length (131,072
    characters, the `csv` module's limit) of what follows with it.
    """
    rows = _rows(path, delimiter)
    header = next(rows, Broken(1, f"the file is empty; {NAMES_NEEDED}"))
    fault = header if isinstance(header, Broken) else _header_fault(header, columns)
    if fault or isinstance(header, Broken):
        yield fault or header
        return
    for row in rows:
        yield row if isinstance(row, Broken) else _by_column(header.value, row)


def _header_fault(header: Record, columns: tuple[str, ...]) -> Broken | None:
    names = header.value
    there = ", ".join(shown(name) for name in names[:20])
    missing = [name for name in columns if name not in names]
    if missing:
        wanted = ", ".join(repr(name) for name in missing)
        return Broken(header.line, f"no column {wanted}; the first row has {there}", there)
    if len(set(names)) < len(names):
        return Broken(header.line, f"two columns have one name among {there}", there)
    return None


def _by_column(names: list[str], row: Record) -> Found:
    cells = row.value
    if len(cells) != len(names):
        reason = f"the row has {len(cells)} cells, the first row {len(names)}; quote its commas"
        return Broken(row.line, reason, " | ".join(cells))
    return Record(row.line, dict(zip(names, cells, strict=True)))


def _rows(path: Path, delimiter: str) -> Iterator[Found]:
    """Each row's cells, the header's too, with the line where the row starts."""
    lines = _Lines(path)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line = lines.start_row()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Broken(line, f"broken CSV: {error}", lines.text)
            continue
        except DialogueError as error:
            yield Broken(0, error.reason)
            return
        if lines.bad_byte:
            yield Broken(line, lines.bad_byte, lines.text)
        elif cells:
            yield Record(line, cells)


class _Lines:
    """A file's lines as `csv.reader` takes them; keeps what the row at hand has taken."""

    def __init__(self, path: Path) -> None:
        self._lines = numbered_lines(path)
        self._number = 0
        self.text, self.bad_byte = "", ""

    def start_row(self) -> int:
        """Forgets the row before; the number of the line that comes next."""
        self.text, self.bad_byte = "", ""
        return self._number + 1

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        self._number, raw = next(self._lines)
        text = self._decoded(raw)
        if len(self.text) < LONGEST_TEXT_KEPT:
            self.text += text[:LONGEST_TEXT_KEPT]
        return text

    def _decoded(self, raw: bytes) -> str:
        try:
            return raw.decode("utf-8-sig" if self._number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            self.bad_byte = self.bad_byte or not_utf8(raw[error.start], error.start)
            return raw.decode("utf-8", errors="backslashreplace")
