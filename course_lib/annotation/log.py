"""The file of a labeller or a rater: one JSON line a click, flushed to the disk before the next.

Nothing is ever rewritten: an undo is a line that revokes another. A line that was half written
when the process died is cut off at the next opening; every line before it stands.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from course_lib.dialogue import Dialogue, DialogueError, Entity, Message, validate

_BEGINNING = b'{"click": '  # of every line that is written here

Click = dict[str, Any]
Place = tuple[str, int]
Fields = dict[str, type]


@dataclass(slots=True)
class Labels:
    """What a labeller said of one message; `skipped` when they would not say."""

    intent: str | None = None
    entities: list[Entity] = field(default_factory=list)
    skipped: bool = False

    @property
    def done(self) -> bool:
        """Whether the message needs no more attention."""
        return self.skipped or self.intent is not None


class ClickLog:
    """An open file of clicks. `append` returns once its line is on the disk.

    A kind of file is a subclass: `place` names the fields that say what was clicked on, `actions`
    what each action needs beside them. Raises DialogueError with file and line when the file holds
    what is no click, and when somebody else writes to it meanwhile: everybody needs their own.
    """

    holds: ClassVar[str]
    place: ClassVar[Fields]
    actions: ClassVar[dict[str, Fields]]

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = self.path.read_bytes() if self.path.exists() else b""
        self.clicks = list(self._clicks_in(content, self.path))
        self._size = _mend_end(self.path, content, self._is_click)

    def append(self, action: str, place: tuple[Any, ...], **fields: Any) -> Click:
        """Writes one click as a line, and returns it; on a failure the file is as before."""
        number = self.clicks[-1]["click"] + 1 if self.clicks else 1
        click = {"click": number, "action": action, **dict(zip(self.place, place, strict=True))}
        click |= fields
        line = self.line(click)
        _write_line(self.path, line, self._size)
        self._size += len(line)
        self.clicks.append(click)
        return click

    def undo(self) -> Click | None:
        """Revokes the latest click that still counts, by a line of its own; returns what it was."""
        standing = standing_clicks(self.clicks)
        if not standing:
            return None
        last = standing[-1]
        self.append("undo", tuple(last[name] for name in self.place), of=last["click"])
        return last

    @classmethod
    def read(cls, path: str | Path) -> list[Click]:
        """The clicks of a file that stays as it is, without half a line at its end.

        Raises DialogueError with file and line for what is no click.
        """
        path = Path(path)
        if not path.exists():
            raise DialogueError("no such file; check the path", path)
        return list(cls._clicks_in(path.read_bytes(), path))

    @classmethod
    def line(cls, click: Click) -> bytes:
        """A click as it stands in the file; raises DialogueError for what is none."""
        cls.check(click)
        return json.dumps(click, ensure_ascii=False).encode("utf-8") + b"\n"

    @classmethod
    def check(cls, click: Any) -> None:
        """Raises DialogueError for what is no click of this kind of file."""
        actions = cls.actions | {"undo": {"of": int}}
        if not isinstance(click, dict) or click.get("action") not in list(actions):
            raise DialogueError(f"'action' must be one of {', '.join(actions)}")
        for name, kind in ({"click": int} | cls.place | actions[click["action"]]).items():
            if type(click.get(name)) is not kind:
                raise DialogueError(f"{name!r} must be of type {kind.__name__}")

    @classmethod
    def _is_click(cls, line: bytes) -> bool:
        try:
            cls.check(json.loads(line.decode("utf-8")))
        except (ValueError, RecursionError):
            return False
        return True

    @classmethod
    def _whole_lines(cls, content: bytes) -> list[bytes]:
        """The lines of a file; the last also without its newline, if it is a click all the same."""
        *lines, last = content.split(b"\n")
        return [*lines, last] if cls._is_click(last) else lines

    @classmethod
    def _clicks_in(cls, content: bytes, path: Path) -> Iterator[Click]:
        lines = cls._whole_lines(content)
        if not lines and not content.startswith(_BEGINNING[: len(content)]):
            raise DialogueError(f"this is no file of {cls.holds}; choose another path", path, 1)
        for number, line in enumerate(lines, start=1):
            try:
                click = json.loads(line.decode("utf-8"))
                cls.check(click)
            except (ValueError, RecursionError) as error:
                reason = error.reason if isinstance(error, DialogueError) else "not JSON in UTF-8"
                said = f"no click ({reason}); mend or delete this line"
                raise DialogueError(said, path, number) from None
            yield click


class LabelLog(ClickLog):
    """The file of a labeller: an intent, a span or a skip a click, on a message of a dialogue."""

    holds = "labels"
    place: ClassVar[Fields] = {"dialogue_id": str, "message": int}
    actions: ClassVar[dict[str, Fields]] = {
        "intent": {"intent": str},
        "span": {"slot": str, "start": int, "end": int, "text": str},
        "skip": {},
    }

    def labels(self) -> dict[Place, Labels]:
        """What now holds of each message that was clicked on."""
        return replay(self.clicks)


def _mend_end(path: Path, content: bytes, is_click: Callable[[bytes], bool]) -> int:
    """Ends the file with a whole line: adds a newline that is missing, cuts off half a line."""
    rest = content[content.rfind(b"\n") + 1 :]
    if not rest:
        return len(content)
    with path.open("r+b") as file:
        if is_click(rest):
            file.seek(0, os.SEEK_END)
            file.write(b"\n")
        else:
            file.truncate(len(content) - len(rest))
        file.flush()
        os.fsync(file.fileno())
    return path.stat().st_size


def _write_line(path: Path, line: bytes, size: int) -> None:
    """Adds a line to a file of `size` bytes: whole and on the disk, or not at all."""
    new = not path.exists()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        if os.fstat(descriptor).st_size != size:
            raise DialogueError("somebody else has written to it; open it anew", path)
        try:
            _write_all(descriptor, line)
            os.fsync(descriptor)
        except BaseException:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)
    if new:
        _sync_folder(path.parent)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _sync_folder(folder: Path) -> None:
    """Puts the name of a new file on the disk too, where folders can be opened."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def standing_clicks(clicks: Iterable[Click]) -> list[Click]:
    """The clicks that no undo has revoked, in order; undos themselves are not among them."""
    clicks = list(clicks)
    revoked = {click["of"] for click in clicks if click["action"] == "undo"}
    return [c for c in clicks if c["action"] != "undo" and c["click"] not in revoked]


def replay(clicks: Iterable[Click]) -> dict[Place, Labels]:
    """The labels that clicks amount to: the latest intent or skip, and every span."""
    found: dict[Place, Labels] = {}
    for click in standing_clicks(clicks):
        labels = found.setdefault((click["dialogue_id"], click["message"]), Labels())
        if click["action"] == "span":
            labels.entities.append(_entity(click))
        elif click["action"] == "intent":
            labels.intent, labels.skipped = click["intent"], False
        else:
            labels.intent, labels.skipped = None, True
    return found


def _entity(click: Click) -> Entity:
    text = click["text"]
    return Entity(click["slot"], click["start"], click["end"], text, click.get("value") or text)


def read_labels(path: str | Path) -> dict[Place, Labels]:
    """The labels in a file of clicks, by (dialogue id, message number); the file stays as it is.

    Raises DialogueError with file and line for what is no click. Half a line at the end is left
    out, as its click never came to the disk.
    """
    return replay(LabelLog.read(path))


def apply_labels(dialogues: Iterable[Dialogue], labels: dict[Place, Labels]) -> Iterator[Dialogue]:
    """Yields the dialogues with intents and spans as labelled; other messages stay as they are.

    Raises DialogueError when a span does not stand in the text: it was made on another one.
    """
    for dialogue in dialogues:
        places = ((dialogue.id, number) for number in range(len(dialogue.messages)))
        said = [labels.get(place, Labels(skipped=True)) for place in places]
        messages = [_labelled(m, new) for m, new in zip(dialogue.messages, said, strict=True)]
        yield validate(replace(dialogue, messages=messages))


def _labelled(message: Message, new: Labels) -> Message:
    if new.skipped:
        return message
    spans = sorted(new.entities, key=lambda entity: (entity.start, entity.end))
    return replace(message, intent=new.intent or message.intent, entities=spans)
