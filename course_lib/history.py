"""What a training run leaves behind: one record a step, in memory and as JSONL."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Record = dict[str, Any]


@dataclass(slots=True)
class History:
    """What a run left behind: one record a step, and the seconds it took.

    With early stopping `best_step` is the step whose weights the model has, and `stopped_early`
    whether patience ended the run.
    """

    records: list[Record] = field(default_factory=list)
    seconds: float = 0.0
    best_step: int | None = None
    stopped_early: bool = False

    def values(self, name: str) -> list[tuple[int, float]]:
        """(step, value) of every record that has `name`."""
        return [(record["step"], record[name]) for record in self.records if name in record]


def start_log(path: str | Path, records: Iterable[Record]) -> None:
    """A new log that holds the steps already done, in place of what stood at `path`."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text("".join(map(_line, records)), encoding="utf-8")


def append_record(path: str | Path, record: Record) -> None:
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(_line(record))


def _line(record: Record) -> str:
    return json.dumps(record) + "\n"


def read_records(path: str | Path) -> list[Record]:
    """The records of a log, as the plots take them, also while the run still writes.

    A last line without an end, cut off by a kill, is left out. Raises ValueError with file and line
    for any other line that is no record.
    """
    lines = Path(path).read_text(encoding="utf-8").split("\n")
    records = []
    for number, line in enumerate(lines[:-1], 1):  # what follows the last line's end is no line
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {number}: no record ({error.msg})") from None
    return records
