"""Adapters: each reads one public format (or our own) into the dialogue record.

`read_source("sgd", folder)` is the one door. An adapter is a function
`(path, rejects) -> Iterator[Dialogue]`; to add one, write a file here and name it in `SOURCES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from course_lib.dialogue import Dialogue, DialogueError, Reject, read_dialogues
from course_lib.sources.abcd import read_abcd
from course_lib.sources.sgd import read_sgd

Reader = Callable[[Path, "list[Reject] | None"], Iterator[Dialogue]]


def _read_shop(path: Path, rejects: list[Reject] | None) -> Iterator[Dialogue]:
    return read_dialogues(path, rejects)


SOURCES: dict[str, Reader] = {"shop": _read_shop, "sgd": read_sgd, "abcd": read_abcd}


def read_source(
    name: str, path: str | Path, rejects: list[Reject] | None = None
) -> Iterator[Dialogue]:
    """Yields the dialogues of `path` in the format `name`, one of `SOURCES`.

    Raises DialogueError at once for an unknown name or a missing path, later at the first bad
    record; with a list in `rejects`, bad records are appended to it and reading goes on.
    """
    if name not in SOURCES:
        known = ", ".join(sorted(SOURCES))
        raise DialogueError(f"unknown source {name!r}; use one of {known}")
    path = Path(path)
    if not path.exists():
        raise DialogueError(f"no such file or folder; give the path of {name!r} data", path)
    return SOURCES[name](path, rejects)
