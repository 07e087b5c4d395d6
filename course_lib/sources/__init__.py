"""Adapters: each reads one public format (or our own) into the dialogue record.

`read_source("sgd", folder)` is the one door. An adapter is a function
`(path, rejects) -> Iterator[Dialogue]`, some with options by name; to add one, write a file here
and name it in `SOURCES`. Files of lines (CSV, JSONL) and large JSON arrays are read a record at
a time, so that memory does not grow with the file.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from course_lib.dialogue import Dialogue, DialogueError, Reject, read_dialogues
from course_lib.sources.abcd import read_abcd
from course_lib.sources.alpaca import read_alpaca
from course_lib.sources.banking77 import read_banking77
from course_lib.sources.bitext import read_bitext
from course_lib.sources.chat_log import read_chat_log
from course_lib.sources.clinc150 import read_clinc150
from course_lib.sources.crosswoz import read_crosswoz
from course_lib.sources.hub import read_hub
from course_lib.sources.messages import read_messages
from course_lib.sources.multiwoz import read_multiwoz
from course_lib.sources.sgd import read_sgd
from course_lib.sources.sharegpt import read_sharegpt

Reader = Callable[..., Iterator[Dialogue]]


def _read_shop(path: Path, rejects: list[Reject] | None = None) -> Iterator[Dialogue]:
    return read_dialogues(path, rejects)


SOURCES: dict[str, Reader] = {
    "shop": _read_shop,
    "abcd": read_abcd,
    "alpaca": read_alpaca,
    "banking77": read_banking77,
    "bitext": read_bitext,
    "chat_log": read_chat_log,
    "clinc150": read_clinc150,
    "crosswoz": read_crosswoz,
    "hub": read_hub,
    "messages": read_messages,
    "multiwoz": read_multiwoz,
    "sgd": read_sgd,
    "sharegpt": read_sharegpt,
}


def read_source(
    name: str, path: str | Path, rejects: list[Reject] | None = None, **options: Any
) -> Iterator[Dialogue]:
    """Yields the dialogues of `path` in the format `name`, one of `SOURCES`.

    `options` are the adapter's own, by name; for "hub" `path` is a data set's name. Raises
    DialogueError at once for an unknown name, option or path, later at the first bad record;
    with a list in `rejects`, bad records are appended to it and reading goes on.
    """
    if name not in SOURCES:
        known = ", ".join(sorted(SOURCES))
        raise DialogueError(f"unknown source {name!r}; use one of {known}")
    _check_options(name, options)
    if name != "hub" and not Path(path).exists():
        raise DialogueError(f"no such file or folder; give the path of {name!r} data", path)
    return SOURCES[name](path if name == "hub" else Path(path), rejects, **options)


def options_of(name: str) -> tuple[str, ...]:
    """The names of the options that a source's adapter takes."""
    return tuple(_parameters(name))


def _parameters(name: str) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(SOURCES[name]).parameters
    return {one: p for one, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}


def parse_options(texts: Iterable[str]) -> dict[str, Any]:
    """The options that a command line gives: ["text=body", "roles.clerk=assistant"].

    A dot makes an entry of a mapping: {"text": "body", "roles": {"clerk": "assistant"}}. Raises
    DialogueError for a text without "=" or name.
    """
    options: dict[str, Any] = {}
    for text in texts:
        name, given, value = text.partition("=")
        name, _, key = name.partition(".")
        if not name or not given:
            raise DialogueError(f"the option {text!r} is not NAME=VALUE, such as text=body")
        if key:
            options.setdefault(name, {})[key] = value
        else:
            options[name] = value
    return options


def _check_options(name: str, options: dict[str, Any]) -> None:
    known = _parameters(name)
    unknown = sorted(set(options) - set(known))
    if unknown:
        takes = f"takes {', '.join(known)}" if known else "takes none"
        raise DialogueError(f"source {name!r} has no option {', '.join(unknown)}; it {takes}")
    for option, value in options.items():
        if "Mapping" in str(known[option].annotation) and isinstance(value, str):
            raise DialogueError(
                f"the option {option!r} maps names; give {option}.THEIRS=OURS for each"
            )
