"""Writes a cleaned stream as it goes: what is kept, what is not, and the report."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from course_lib.cleaning.report import CleaningReport, Totals, without_text
from course_lib.dialogue import validate


def write_stream(
    parts: Iterable[CleaningReport],
    kept: str | Path,
    rejects: str | Path,
    report: str | Path | None = None,
    notes: Iterable[str] = (),
) -> Totals:
    """Writes each part to two JSONL files, and all changes to a report, in constant memory.

    Returns the sums. The report has the fields of `CleaningReport.to_dict`, and `notes`. All files
    are written aside and renamed at the end, so that a failure leaves old ones as they were.
    """
    totals = Totals()
    with ExitStack() as stack:
        places = (kept, rejects, report or os.devnull)
        kept_file, rejects_file, report_file = (stack.enter_context(_aside(p)) for p in places)
        spool = stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8"))
        changes, rejected = _JsonList(report_file), _JsonList(spool)
        report_file.write('{"changes": ')
        for part in parts:
            totals.add(part)
            kept_file.writelines(map(_line, (validate(d).to_dict() for d in part.kept)))
            refused = [one.to_dict() for one in part.rejected]
            rejects_file.writelines(map(_line, refused))
            changes.extend(asdict(change) for change in part.changes)
            rejected.extend(map(without_text, refused))
        changes.end()
        rejected.end()
        report_file.write(',\n"rejected": ')
        _copy(spool, report_file)
        sums = {"counts": totals.counts, "by_step": totals.by_step(), "notes": list(notes)}
        report_file.write(f",\n{_text(sums)[1:]}\n")
    return totals


class _JsonList:
    """A JSON array that grows in a file, one value a line."""

    def __init__(self, file: TextIO) -> None:
        self._file, self._before = file, "[\n"

    def extend(self, values: Iterable[Any]) -> None:
        for value in values:
            self._file.write(self._before + _text(value))
            self._before = ",\n"

    def end(self) -> None:
        self._file.write("[]" if self._before == "[\n" else "\n]")


@contextmanager
def _aside(place: str | Path) -> Iterator[TextIO]:
    """A file beside its place, moved there once the block is done; nothing is left of a failure."""
    if place == os.devnull:
        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            yield nowhere
        return
    path = Path(place)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            yield file
        os.chmod(aside, 0o644)
        os.replace(aside, path)
    except BaseException:
        os.unlink(aside)
        raise


def _copy(source: TextIO, target: TextIO) -> None:
    source.seek(0)
    target.writelines(source)


def _line(record: dict[str, Any]) -> str:
    return f"{_text(record)}\n"


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
