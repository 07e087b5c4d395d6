"""The hand-written sentences in `language/defects`: one a line, `[section]`, `#` comment."""

from __future__ import annotations

from functools import cache

from course_lib.world.wordings import LANGUAGE_FOLDER, LanguageError

FOLDER = LANGUAGE_FOLDER / "defects"


@cache
def sections(name: str) -> dict[str, tuple[str, ...]]:
    """All lines of one file by section; those before the first `[section]` are "main"."""
    section, found = "main", dict[str, list[str]]()
    for number, raw in enumerate((FOLDER / f"{name}.txt").read_text("utf-8").splitlines(), 1):
        line = raw.strip()
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            if line in found.setdefault(section, []):
                raise LanguageError(f"{name}.txt, line {number}: {line!r} stands there already")
            found[section].append(line)
    return {section: tuple(lines) for section, lines in found.items()}


def phrases(name: str, section: str = "main") -> tuple[str, ...]:
    """The lines of one section of one file."""
    return sections(name)[section]
