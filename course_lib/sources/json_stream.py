"""JSON files read a piece at a time: only the record at hand is held in memory.

`json.load` needs the whole file at once, some five times its size. Here the standard library's
decoder takes one value after the other from a buffer that is filled as it goes.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from course_lib.dialogue import DialogueError
from course_lib.sources.records import (
    LINE_SUFFIXES,
    Broken,
    Found,
    Record,
    jsonl_records,
    not_utf8,
)

CHUNK = 1 << 16  # bytes
TAIL = 16  # a fault so near the end of the buffer may only mean that the rest is not read yet
REST = "the rest of the file is not read"
SPACE = re.compile(r"[ \t\n\r]*")


class JsonStream:
    """The values of one JSON file in order; a fault raises DialogueError with file and line.

    `elements` walks an array, `members` an object; both leave the stream behind it. The caller
    of `members` takes each member's value, by `value`, `elements` or `members`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._scan = json.JSONDecoder().raw_decode
        self._text, self._at, self.line = "", 0, 1
        self._bytes_read, self._ended = 0, False
        self._bad_byte: str | None = None
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise DialogueError(f"cannot be read ({error.strerror})", path) from None

    def __enter__(self) -> JsonStream:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def peek(self) -> str:
        """The next character that is no space; "" at the end of the file."""
        while True:
            self._advance(self._after_space())
            if self._at < len(self._text) or not self._more(CHUNK):
                return self._text[self._at : self._at + 1]

    def value(self) -> Any:
        """The next value, whatever it is."""
        self.peek()
        size = CHUNK
        while True:
            value, end = self._try()
            if end is not None and self._is_whole(end):
                self._advance(end)
                return value
            self._more(size)  # the value may go on; doubling keeps long ones linear
            size *= 2

    def elements(self) -> Iterator[tuple[int, Any]]:
        """(line, value) of each element of the array that starts here."""
        for line in self._entries("]"):
            yield line, self.value()

    def members(self) -> Iterator[tuple[int, str]]:
        """(line, key) of each member of the object that starts here; take its value next."""
        for line in self._entries("}"):
            if self.peek() != '"':
                raise self._fault("a key in double quotes was expected")
            key = self.value()
            self._take(":")
            yield line, key

    def finish(self) -> None:
        """Raises DialogueError when something stands behind the last value."""
        if self.peek():
            raise self._fault("there is more behind the end")

    def rest(self) -> str:
        """What the buffer holds from here on, for a reject."""
        return self._text[self._at :]

    def _entries(self, close: str) -> Iterator[int]:
        self._take(self.peek())
        if self.peek() == close:
            self._take(close)
            return
        while True:
            self.peek()
            yield self.line
            if self.peek() == close:
                self._take(close)
                return
            self._take(",")

    def _take(self, wanted: str) -> None:
        if self.peek() != wanted:
            raise self._fault(f"{wanted!r} was expected")
        self._advance(self._at + 1)

    def _try(self) -> tuple[Any, int | None]:
        """(value, its end), or (None, None) where the buffer may end before the value does."""
        try:
            return self._scan(self._text, self._at)
        except json.JSONDecodeError as error:
            unclosed = error.msg.startswith("Unterminated string")
            may_go_on = unclosed or error.pos + TAIL > len(self._text)
            if may_go_on and not self._ended:
                return None, None
            self._check_bytes(may_go_on)
            raise self._fault(error.msg, error.pos) from None
        except RecursionError:
            raise self._fault("it is nested too deeply") from None
        except ValueError as error:  # a number of too many digits
            raise self._fault(str(error)) from None

    def _is_whole(self, end: int) -> bool:
        """Whether a value that was read up to here cannot go on: 12 may become 12.5 or 12e9."""
        if self._ended or end + TAIL <= len(self._text):
            return True
        return end < len(self._text) and self._text[end] not in ".eE"

    def _after_space(self) -> int:
        found = SPACE.match(self._text, self._at)
        return found.end() if found else self._at

    def _advance(self, to: int) -> None:
        self.line += self._text.count("\n", self._at, to)
        self._at = to

    def _more(self, size: int) -> bool:
        """Reads on; False at the end of the file. A byte that is no UTF-8 ends the file there."""
        if self._ended:
            self._check_bytes()
            return False
        raw = self._read(size)
        self._text = self._text[self._at :] + self._decoded(raw)
        self._at = 0
        self._ended = self._ended or not raw
        return True

    def _read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except OSError as error:
            raise DialogueError(f"cannot be read ({error.strerror})", self._path) from None

    def _decoded(self, raw: bytes) -> str:
        try:
            text = self._decoder.decode(raw, final=not raw)
        except UnicodeDecodeError as error:
            read = self._bytes_read + len(raw) - len(error.object)  # bytes before error.object
            self._bad_byte = not_utf8(error.object[error.start], read + error.start)
            self._ended = True
            text = error.object[: error.start].decode("utf-8")
        self._bytes_read += len(raw)
        return text

    def _check_bytes(self, at_the_end: bool = True) -> None:
        if self._bad_byte and at_the_end:
            raise DialogueError(self._bad_byte, self._path, self._line_of(len(self._text)))

    def _line_of(self, position: int) -> int:
        return self.line + self._text.count("\n", self._at, position)

    def _fault(self, what: str, position: int | None = None) -> DialogueError:
        at = self._at if position is None else position
        return DialogueError(f"broken JSON: {what}", self._path, self._line_of(at))


def json_records(path: Path) -> Iterator[Found]:
    """The records of a file: elements of its one array, or its values one after the other.

    A `.jsonl` file is read line by line. Elsewhere the place where the JSON breaks is one
    Broken, and the last that is read: nothing behind it can be trusted.
    """
    if path.suffix.lower() in LINE_SUFFIXES:
        return jsonl_records(path)
    return guarded(path, _values)


def guarded(path: Path, walk: Callable[[JsonStream], Iterator[Record]]) -> Iterator[Found]:
    """`walk(stream)` over a file; where the JSON breaks, a last Broken takes the rest's place."""
    stream = None
    try:
        with JsonStream(path) as stream:
            yield from walk(stream)
            stream.finish()
    except DialogueError as error:
        text = stream.rest() if stream else ""
        yield Broken(error.line or 0, f"{error.reason}; {REST}", text)


def _values(stream: JsonStream) -> Iterator[Record]:
    if stream.peek() == "[":
        for number, (line, value) in enumerate(stream.elements(), start=1):
            yield Record(line, value, number)
        return
    if not stream.peek():
        raise DialogueError("broken JSON: the file is empty", line=1)
    number = 0
    while stream.peek():
        number, line = number + 1, stream.line
        yield Record(line, stream.value(), number)
