"""The dialogue record: what every stage reads and writes, and how it is checked.

One dialogue is one line of a JSONL file (UTF-8). `read_dialogues` checks each line and either
stops at the first bad one or sets it aside with its reason; it never drops a line in silence.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROLES = ("system", "user", "assistant", "tool")


class DialogueError(ValueError):
    """A dialogue that breaks the record's rules; says what, where and what to do.

    Attributes: `reason`, `path`, `line` (1-based), `dialogue_id`; the last three may be None.
    """

    def __init__(
        self,
        reason: str,
        path: str | Path | None = None,
        line: int | None = None,
        dialogue_id: str | None = None,
    ) -> None:
        self.reason, self.path, self.line, self.dialogue_id = reason, path, line, dialogue_id
        place = [str(path)] if path is not None else []
        place += [f"line {line}"] if line is not None else []
        place += [f"dialogue {dialogue_id!r}"] if dialogue_id is not None else []
        super().__init__(f"{', '.join(place)}: {reason}" if place else reason)


@dataclass(frozen=True, slots=True)
class Reject:
    """A line that was set aside: where it stood, why, and its text as read."""

    path: str
    line: int
    dialogue_id: str | None
    reason: str
    text: str


@dataclass(slots=True)
class Entity:
    """A labelled span: `content[start:end] == text` in code points, `end` exclusive."""

    slot: str
    start: int
    end: int
    text: str
    value: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "slot": self.slot,
            "start": self.start,
            "end": self.end,
            "text": self.text,
            "value": self.value,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Entity:
        return cls(**{name: record[name] for name in ("slot", "start", "end", "text", "value")})


@dataclass(slots=True)
class Message:
    """One turn. `train=False` marks a turn that is context only: no loss on it."""

    role: str
    content: str
    intent: str | None = None
    entities: list[Entity] = field(default_factory=list)
    acts: list[list[str | None]] = field(default_factory=list)
    train: bool = True

    def to_dict(self) -> dict[str, Any]:
        return {
            "role": self.role,
            "content": self.content,
            "intent": self.intent,
            "entities": [entity.to_dict() for entity in self.entities],
            "acts": [list(act) for act in self.acts],
            "train": self.train,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Message:
        return cls(
            role=record["role"],
            content=record["content"],
            intent=record.get("intent"),
            entities=[Entity.from_dict(entity) for entity in record.get("entities") or []],
            acts=[list(act) for act in record.get("acts") or []],
            train=record.get("train", True) is not False,
        )


@dataclass(slots=True)
class Dialogue:
    """A conversation with its annotations. `family_id` joins the variants of one scenario."""

    id: str
    messages: list[Message]
    lang: str = "en"
    source: str = ""
    split: str | None = None
    family_id: str | None = None
    goal: dict[str, Any] | None = None
    policy: dict[str, Any] | None = None

    def to_messages(self) -> list[dict[str, str]]:
        """The plain view that other libraries take: role and content only."""
        return [{"role": message.role, "content": message.content} for message in self.messages]

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "lang": self.lang,
            "source": self.source,
            "split": self.split,
            "family_id": self.family_id,
            "goal": self.goal,
            "policy": self.policy,
            "messages": [message.to_dict() for message in self.messages],
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Dialogue:
        """Builds a dialogue from one JSON object; raises DialogueError when it is no valid one."""
        check_record(record)
        optional = ("split", "family_id", "goal", "policy")
        return cls(
            id=record["id"],
            messages=[Message.from_dict(message) for message in record["messages"]],
            lang=record.get("lang") or "en",
            source=record.get("source") or "",
            **{name: record.get(name) for name in optional},
        )


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise DialogueError(reason)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_entity(entity: Any, content: str, where: str) -> None:
    _require(isinstance(entity, dict), f"{where} is no object, but {type(entity).__name__}")
    for name in ("slot", "text", "value"):
        _require(isinstance(entity.get(name), str), f"{where} needs a text in {name!r}")
    start, end = entity.get("start"), entity.get("end")
    _require(_is_int(start) and _is_int(end), f"{where} needs whole numbers in 'start' and 'end'")
    inside = 0 <= start < end <= len(content)
    _require(inside, f"{where} spans {start}:{end}, outside a message of {len(content)} characters")
    found = content[start:end]
    _require(
        found == entity["text"],
        f"{where} says {entity['text']!r}, but characters {start}:{end} are {found!r}; "
        "count code points, end exclusive",
    )


def _check_act(act: Any, where: str) -> None:
    well_formed = (
        isinstance(act, (list, tuple))
        and len(act) == 2
        and _is_text(act[0])
        and (act[1] is None or isinstance(act[1], str))
    )
    _require(well_formed, f"{where} must be [act, slot] with slot a text or null, not {act!r}")


def _check_message(message: Any, number: int) -> None:
    where = f"message {number}"
    _require(isinstance(message, dict), f"{where} is no object, but {type(message).__name__}")
    _require("role" in message, f"{where} has no 'role'; give one of {', '.join(ROLES)}")
    role = message["role"]
    _require(role in ROLES, f"{where} has the role {role!r}; use one of {', '.join(ROLES)}")
    content = message.get("content")
    _require(isinstance(content, str), f"{where} has no text in 'content'")
    _require(_is_encodable(content), f"{where} has half a surrogate pair; repair its encoding")
    _require(
        message.get("intent") is None or isinstance(message["intent"], str),
        f"{where}: 'intent' must be a text or null",
    )
    train = message.get("train")
    _require(train is None or isinstance(train, bool), f"{where}: 'train' must be true or false")
    for name in ("entities", "acts"):
        listed = message.get(name)
        _require(listed is None or isinstance(listed, list), f"{where}: {name!r} must be a list")
    for index, entity in enumerate(message.get("entities") or []):
        _check_entity(entity, content, f"{where}, entity {index}")
    for index, act in enumerate(message.get("acts") or []):
        _check_act(act, f"{where}, act {index}")


def _is_encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _is_writable(record: dict[str, Any]) -> bool:
    try:
        return _is_encodable(json.dumps(record, ensure_ascii=False, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return False


def check_record(record: Any) -> None:
    """Raises DialogueError when a JSON value is no valid dialogue record (messages from 0)."""
    _require(isinstance(record, dict), f"expected an object, found {type(record).__name__}")
    _require(_is_text(record.get("id")), "the dialogue needs a non-empty text in 'id'")
    try:
        _check_fields(record)
    except DialogueError as error:
        raise DialogueError(error.reason, dialogue_id=record["id"]) from None


def _check_fields(record: dict[str, Any]) -> None:
    for name in ("lang", "source", "split", "family_id"):
        value = record.get(name)
        _require(value is None or isinstance(value, str), f"{name!r} must be a text or null")
    for name in ("goal", "policy"):
        value = record.get(name)
        _require(value is None or isinstance(value, dict), f"{name!r} must be an object or null")
    messages = record.get("messages")
    if not isinstance(messages, list):
        raise DialogueError("the dialogue has no list of 'messages'")
    for number, message in enumerate(messages):
        _check_message(message, number)
    said = any(message["content"].strip() for message in messages)
    _require(said, "the dialogue is empty: no message has any text; drop it or fill it")
    _require(_is_writable(record), "some field cannot be written as JSON in UTF-8; repair its text")


def validate(dialogue: Dialogue) -> Dialogue:
    """Returns the dialogue when it keeps the record's rules; raises DialogueError otherwise."""
    check_record(dialogue.to_dict())
    return dialogue


def parse_line(text: str) -> Dialogue:
    """One JSONL line as a dialogue; raises DialogueError on broken JSON or a broken record."""
    try:
        record = json.loads(text)
    except json.JSONDecodeError as error:
        raise DialogueError(f"broken JSON at character {error.pos}: {error.msg}") from None
    except RecursionError:
        raise DialogueError("the JSON is nested too deeply") from None
    except ValueError as error:  # a number of more digits than Python turns into an integer
        raise DialogueError(f"broken JSON: {error}") from None
    return Dialogue.from_dict(record)


def read_dialogues(
    path: str | Path,
    rejects: list[Reject] | None = None,
    parse: Callable[[str], Dialogue] = parse_line,
) -> Iterator[Dialogue]:
    """Yields the dialogues of a JSONL file one by one, in constant memory.

    Blank lines are skipped. The first bad line raises DialogueError with file, line and id; with
    a list in `rejects`, bad lines are appended to it instead and reading goes on.
    """
    for number, raw in enumerate(_lines(Path(path)), start=1):
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            if text.strip():
                yield parse(text)
        except UnicodeDecodeError as error:
            reason = (
                f"not UTF-8: byte 0x{raw[error.start]:02x} at position {error.start}; "
                "save the file as UTF-8"
            )
            _refuse(DialogueError(reason), path, number, raw, rejects)
        except DialogueError as error:
            _refuse(error, path, number, raw, rejects)


def _lines(path: Path) -> Iterator[bytes]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise DialogueError("no such file; check the path", path) from None
    except OSError as error:
        raise DialogueError(f"cannot be read ({error.strerror})", path) from None
    with file:
        yield from file


def _refuse(
    error: DialogueError,
    path: str | Path,
    line: int,
    raw: bytes,
    rejects: list[Reject] | None,
) -> None:
    if rejects is None:
        raise DialogueError(error.reason, path, line, error.dialogue_id) from None
    text = raw.decode("utf-8", errors="backslashreplace").rstrip("\r\n")
    name = None if error.dialogue_id is None else _spelled(error.dialogue_id)
    rejects.append(Reject(str(path), line, name, _spelled(error.reason), text))


def _spelled(text: str) -> str:
    """The text with half surrogate pairs spelled out, so that any file can hold it."""
    return text.encode("utf-8", errors="backslashreplace").decode("utf-8")


def write_dialogues(dialogues: Iterable[Dialogue], path: str | Path) -> int:
    """Writes dialogues as JSONL and returns their number; each is checked first.

    The file is written aside and renamed, so a failure leaves the old file as it was.
    """
    return write_jsonl((validate(dialogue).to_dict() for dialogue in dialogues), path)


def write_jsonl(records: Iterable[dict[str, Any]], path: str | Path) -> int:
    """Writes JSON objects one a line (UTF-8, written aside and renamed); returns their number."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    count = 0
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            for record in records:
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
                count += 1
        os.chmod(aside, 0o644)
        os.replace(aside, path)
    except BaseException:
        os.unlink(aside)
        raise
    return count
