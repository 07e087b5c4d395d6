"""The shop's hand-written wordings: one a line in `language/customer` and `language/agent`.

A line is text with {slots}; `[section]` opens a section (before the first one: "main"); a leading
`<mood>` marks a register; `#` opens a comment. Filling keeps the span of every annotated slot.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from course_lib.dialogue import Entity
from course_lib.world.grammar import agreement

LANGUAGE_FOLDER = Path(__file__).with_name("language")
SIDES = ("customer", "agent")
MOODS = ("neutral", "terse", "chatty", "polite", "annoyed")
CONTENT_SLOTS = frozenset({"product", "value", "order", "address", "days", "shop"})
_AGREEMENT = frozenset(agreement(False))
_SLOT = re.compile(r"\{([^{}]*)\}")
# Every sixth wording of a customer's intent is kept for the tests; more where one is a topic.
_HELD_OUT_SHARE = {"out_of_scope": 1 / 3, "other_request": 1 / 3}
SHARED = ("openers", "joiners")  # bits of speech, no wordings of an intent
_LINE = re.compile(r"(?:<(?P<mood>\w+)>\s*)?(?P<text>.+)")
_MOOD_WEIGHT = 3


class LanguageError(ValueError):
    """A line of a wordings file that cannot be used; names file and line."""


@dataclass(frozen=True, slots=True)
class Wording:
    """One wording. `mood` is None where it suits every mood."""

    text: str
    section: str
    mood: str | None

    @property
    def slots(self) -> frozenset[str]:
        """The slots that carry content, without those that only agree in number."""
        return frozenset(_SLOT.findall(self.text)) & CONTENT_SLOTS


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a message; with `slot` it becomes an entity."""

    text: str
    slot: str | None = None
    value: str = ""


@dataclass(frozen=True)
class Language:
    """All wordings: `wordings[side][intent]`."""

    wordings: Mapping[str, Mapping[str, tuple[Wording, ...]]]

    def sections(self, side: str, intent: str) -> list[str]:
        """The section names of one file, in file order."""
        return list(dict.fromkeys(wording.section for wording in self.wordings[side][intent]))

    def choose(
        self,
        rng: random.Random,
        side: str,
        intent: str,
        sections: Iterable[str] = ("main",),
        mood: str = "neutral",
        within: Iterable[str] = CONTENT_SLOTS,
        needs: Iterable[str] = (),
    ) -> Wording:
        """A wording of these sections whose slots lie within `within` and include `needs`.

        Wordings marked with `mood` are three times as likely as unmarked ones; those marked with
        another mood are never chosen. Raises LanguageError when no wording fits.
        """
        within, needs, sections = frozenset(within), frozenset(needs), tuple(sections)
        fitting = [
            wording
            for wording in self.wordings[side][intent]
            if wording.section in sections
            and wording.mood in (None, mood)
            and needs <= wording.slots <= within
        ]
        if not fitting:
            raise LanguageError(
                f"no wording in language/{side}/{intent}.txt, sections {sections}, mood {mood}, "
                f"slots within {sorted(within)}: add one"
            )
        weights = [_MOOD_WEIGHT if wording.mood else 1 for wording in fitting]
        return rng.choices(fitting, weights)[0]


def trained_and_held_out(
    language: Language, undivided: Iterable[str] = SHARED
) -> tuple[Language, Language]:
    """The language of the training dialogues and that of `test_phrasing`.

    They share the agent's wordings and the `undivided` intents; no other customer's wording is in
    both. Of each section, mood and set of slots the wordings with the smallest hashes are held
    out, so that a new line moves few.
    """
    customer, undivided = language.wordings["customer"], set(undivided)
    held = {
        name: [] if name in undivided else _held_out(name, wordings)
        for name, wordings in customer.items()
    }
    trained = {
        name: tuple(wording for wording in wordings if wording not in held[name])
        for name, wordings in customer.items()
    }
    tested = {name: tuple(held[name]) or wordings for name, wordings in customer.items()}
    agent = language.wordings["agent"]
    return (
        Language({"customer": trained, "agent": agent}),
        Language({"customer": tested, "agent": agent}),
    )


def _held_out(name: str, wordings: Iterable[Wording]) -> list[Wording]:
    groups: dict[object, list[Wording]] = defaultdict(list)
    for wording in wordings:
        groups[wording.section, wording.mood, wording.slots].append(wording)
    held = []
    for group in groups.values():
        group.sort(key=lambda wording: hashlib.sha256(wording.text.encode()).digest())
        count = round(len(group) * _HELD_OUT_SHARE.get(name, 1 / 6))
        held += group[: max(count, len(group) >= 3)]
    return held


def load_language(folder: str | Path | None = None) -> Language:
    """Reads and checks every wordings file; raises LanguageError naming file and line."""
    root = LANGUAGE_FOLDER if folder is None else Path(folder)
    sides = {side: read_wordings(root / side) for side in SIDES}
    return Language(sides)


def read_wordings(folder: Path) -> dict[str, tuple[Wording, ...]]:
    """The wordings of every file in a folder, by file name; raises LanguageError."""
    paths = sorted(folder.glob("*.txt"))
    if not paths:
        raise LanguageError(f"{folder}: no wordings file (*.txt) in this folder")
    return {path.stem: tuple(_read_file(path)) for path in paths}


def _read_file(path: Path) -> list[Wording]:
    section, wordings = "main", []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            section = line.strip("[]")
            continue
        wordings.append(_parse(line, section, f"{path}, line {number}"))
    for wording in wordings:
        if wordings.count(wording) > 1:
            raise LanguageError(f"{path}: the wording {wording.text!r} stands twice; remove one")
    return wordings


def _parse(line: str, section: str, place: str) -> Wording:
    match = _LINE.fullmatch(line)
    mood = match["mood"] if match else None
    if match is None or mood not in (None, *MOODS):
        raise LanguageError(f"{place}: unknown mood {mood!r}; use one of {', '.join(MOODS)}")
    for name in _SLOT.findall(match["text"]):
        if name not in CONTENT_SLOTS and name.lower() not in _AGREEMENT:
            raise LanguageError(f"{place}: unknown slot {{{name}}}")
    return Wording(match["text"], section, mood)


def fill_pieces(text: str, fields: Mapping[str, Piece], plural: bool = False) -> list[Piece]:
    """Literal text, agreeing words and annotated fields of a wording, in order.

    `{it}` and its kin agree with `plural`; `{It}` is the same with a capital.
    """
    words = agreement(plural)
    pieces, position = [], 0
    for match in _SLOT.finditer(text):
        pieces.append(Piece(text[position : match.start()]))
        pieces.append(_field(match[1], fields, words, text))
        position = match.end()
    pieces.append(Piece(text[position:]))
    return [piece for piece in pieces if piece.text]


def _field(name: str, fields: Mapping[str, Piece], words: dict[str, str], text: str) -> Piece:
    field = fields.get(name)
    if isinstance(field, Piece):
        return field
    word = words.get(name.lower())
    if word is None:
        raise LanguageError(f"slot {{{name}}} has no value in {text!r}")
    return Piece(word if name == name.lower() else word[:1].upper() + word[1:])


def assemble(pieces: Iterable[Piece]) -> tuple[str, list[Entity]]:
    """The message text and its entities: code points, end exclusive."""
    content, entities = "", []
    for piece in pieces:
        start = len(content)
        content += piece.text
        if piece.slot is not None:
            entities.append(Entity(piece.slot, start, len(content), piece.text, piece.value))
    return content, entities
