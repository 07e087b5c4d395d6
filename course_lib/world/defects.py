"""Plants defects: clean dialogues become raw logs and a ledger of what was planted where.

Each line of the raw logs has at most one defect. The ledger names the right action for it; lines
that it does not name are clean. Hard negatives look like a defect and must stay. Only the scorer
reads the ledger, cleaning never does.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from course_lib.dialogue import Dialogue, Entity, Message
from course_lib.world.catalogue import FACT_SLOTS, Catalogue, Product
from course_lib.world.splits import fact_counts

ACTIONS = ("drop", "repair", "redact", "merge", "flag", "keep")
# The clean dialogues that go into the raw logs, and how many lines each defect gets.
BASE = 1850
COUNTS = {
    # further lines
    "exact_duplicate": 90, "spelling_duplicate": 70, "near_duplicate": 90, "minimal_pair": 40,
    "leak": 50, "broken_json": 20, "missing_role": 20, "wrong_encoding": 20,
    # within a line of the clean set
    "broken_span": 30, "markup": 60, "html_entity": 50, "mojibake": 50, "zero_width": 50,
    "email": 60, "phone": 60, "empty_turn": 40, "swapped_roles": 30, "looping_reply": 40,
    "cut_reply": 40,
    # hard negatives
    "ampersand": 30, "emoji": 40, "accents": 40, "order_number": 50, "price": 40, "hotline": 40,
}  # fmt: skip

Edit = tuple[int, int, str]


@dataclass(slots=True)
class Line:
    """One raw line in the making. `of` is the line or the test dialogue that it copies."""

    dialogue: Dialogue
    place: float
    kind: str | None = None
    action: str = "keep"
    of: Line | str | None = None
    expect: list[str] | None = None
    spoil: Callable[[dict[str, Any]], bytes] | None = None

    def data(self) -> bytes:
        """The line as it stands in the file, without its end."""
        record = self.dialogue.to_dict()
        return self.spoil(record) if self.spoil else encoded(record)


def encoded(record: dict[str, Any]) -> bytes:
    """A record as one line of compact JSON in UTF-8."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


def plant(
    clean: Sequence[Dialogue],
    tests: Sequence[Dialogue],
    catalogue: Catalogue,
    seed: int,
    base: int = BASE,
    counts: dict[str, int] | None = None,
) -> tuple[list[bytes], list[dict[str, Any]]]:
    """Raw lines and ledger from a part of the clean dialogues and from test dialogues to leak.

    Ids become `log-00001` by line; split, family, goal and policy are taken off, as a log has none.
    """
    planter = _Planter(random.Random(f"{seed}:defects"), catalogue, list(tests))
    lines = planter.lines(clean, base, COUNTS if counts is None else counts)
    lines.sort(key=lambda line: line.place)
    for number, line in enumerate(lines, start=1):
        line.dialogue.id = f"log-{number:05d}"
    return [line.data() for line in lines], [
        _entry(number, line) for number, line in enumerate(lines, start=1) if line.kind
    ]


def _entry(number: int, line: Line) -> dict[str, Any]:
    of = line.of.dialogue.id if isinstance(line.of, Line) else line.of
    return {
        "raw_line": number,
        "id": line.dialogue.id,
        "kind": line.kind,
        "action": line.action,
        "of": of,
        "expect": line.expect,
    }


def as_log(dialogue: Dialogue) -> Dialogue:
    """An independent copy without what a log does not have."""
    copy = Dialogue.from_dict(dialogue.to_dict())
    copy.split = copy.family_id = copy.goal = copy.policy = None
    return copy


# -- edits that keep the spans right -----------------------------------------------------------


def edited(message: Message, edits: Sequence[Edit]) -> Message:
    """The message after edits (start, end, new), in order and apart; entities move along."""
    content, position = "", 0
    for start, end, new in edits:
        content += message.content[position:start] + new
        position = end
    content += message.content[position:]
    entities = []
    for entity in message.entities:
        start = entity.start + _shift(edits, entity.start, inclusive=True)
        end = entity.end + _shift(edits, entity.end, inclusive=False)
        entities.append(Entity(entity.slot, start, end, content[start:end], entity.value))
    return replace(message, content=content, entities=entities)


def _shift(edits: Sequence[Edit], position: int, inclusive: bool) -> int:
    """How far a position moves: by every edit before it, and at it when `inclusive`."""
    return sum(
        len(new) - (end - start)
        for start, end, new in edits
        if end < position or (end == position and (inclusive or start < end))
    )


def _appended(message: Message, text: str) -> Message:
    """With one more sentence at its end; a missing full stop is added before it."""
    gap = " " if message.content.endswith((".", "!", "?")) else ". "
    return edited(message, [(len(message.content), len(message.content), gap + text)])


def _prefixed(message: Message, text: str) -> Message:
    return edited(message, [(0, 0, f"{text} ")])


def _contents(dialogue: Dialogue) -> list[str]:
    return [message.content for message in dialogue.messages]


# -- what customers add ------------------------------------------------------------------------

E_MAILS = (
    "My e-mail is {}.", "You can write to me at {}.", "Please send it to {}.",
    "I am {} in your system.", "My account runs under {}.", "Write to {} if anything is missing.",
)  # fmt: skip
MAIL_NAMES = (
    "anna.keller", "j.tomlin", "petra_voss", "mo.haddad", "lucy.b.ward", "k-olsen", "sam.rivers7",
    "elif.demir", "tom+shop", "nora.quist",
)  # fmt: skip
MAIL_HOSTS = ("example.org", "example.com", "example.net", "mail.example.org")
PHONES = (
    "My phone number is {}.", "You can call me on {}.", "My mobile is {}.",
    "Please ring me up on {} after five.", "Call me back on {}, please.",
    "You can text me on {}.",
)  # fmt: skip
PHONE_SHAPES = (
    "+49 171 555{:04d}", "0171 555 {:04d}", "(0171) 555{:04d}", "+44 20 7946 {:04d}",
    "020-7946-{:04d}", "0171/555{:04d}", "+1 212 555 {:04d}",
)  # fmt: skip
AMPERSANDS = (
    "It is for my mother & me.", "I bought it with a voucher from Kemp & Daughters.",
    "My shop is called Salt & Pepper.", "Black & white would be nicest.", "I <3 your shop.",
    "My old one was from Barlow & Sons.", "My budget is < 100.",
)  # fmt: skip
EMOJI = ("😊", "👍", "🙏", "😅", "☕", "❤️", "👩‍🍳", "🤷‍♀️", "🎧", ":-)")
ACCENTS = (
    "Greetings from Zoë and André.", "It stands in our little café.",
    "My name is Søren, by the way.", "It is for my fiancée.", "We live near Málaga.",
    "I make crème brûlée every Sunday.", "My neighbour Jürgen has it, too.",
)  # fmt: skip
BROKEN = (*ACCENTS, "It’s quite urgent.", "I’d like to know it today – if you can.")
HOTLINE = ("I rang your hotline {} before.", "Your hotline {} was engaged.", "Is {} still right?")
PRICES = (
    "I paid 1,299.00 euros for all of it.", "The shop next door wants 149.90 euros.",
    "I have a voucher over 25.50 euros.", "All in all I spent 2,480 euros with you.",
)  # fmt: skip
GREETINGS = ("Hi,", "Hello.", "Good evening.", "Hello again.", "Dear team,")


class _Planter:
    """Makes the lines; every clean dialogue carries at most one defect or one copy."""

    def __init__(self, rng: random.Random, catalogue: Catalogue, tests: list[Dialogue]) -> None:
        self.rng, self.catalogue, self.tests = rng, catalogue, tests

    def lines(self, clean: Sequence[Dialogue], base: int, counts: dict[str, int]) -> list[Line]:
        """All lines, copies after what they copy."""
        chosen = self._chosen(clean, min(base, len(clean)))
        lines = [Line(as_log(dialogue), self.rng.random()) for dialogue in chosen]
        free, extra = list(lines), []
        for kind, count in counts.items():
            make = getattr(self, f"plant_{kind}")
            for _ in range(count):
                extra += self._planted(kind, make, free)
        return lines + extra

    def _chosen(self, clean: Sequence[Dialogue], number: int) -> list[Dialogue]:
        """A sample in which the agent tells every fact at least twice, where `clean` has it."""
        told: Counter[tuple[str, str]] = Counter()
        needed: list[Dialogue] = []
        rest: list[Dialogue] = []
        for dialogue in self.rng.sample(list(clean), len(clean)):
            facts = fact_counts([dialogue])
            (needed if any(told[fact] < 2 for fact in facts) else rest).append(dialogue)
            told += facts
        chosen = (needed + rest)[:number]
        self.rng.shuffle(chosen)
        return chosen

    def _planted(
        self, kind: str, make: Callable[[Line], Line | None], free: list[Line]
    ) -> list[Line]:
        """Tries free lines until one takes the defect; returns the further line, if it made one."""
        for index, line in enumerate(free):
            made = make(line)
            if made is not None:
                made.kind = kind
                del free[index]
                return [] if made is line else [made]
        raise ValueError(f"no clean dialogue left that can take a {kind!r}; lower its count")

    # -- helpers

    def _copy(self, line: Line, action: str = "drop") -> Line:
        place = line.place + (1 - line.place) * self.rng.random()
        return Line(as_log(line.dialogue), place, action=action, of=line)

    def _customer(self, line: Line) -> int:
        turns = line.dialogue.messages
        return self.rng.choice([i for i, turn in enumerate(turns) if turn.role == "user"])

    def _agent(self, line: Line) -> int:
        turns = line.dialogue.messages
        return self.rng.choice([i for i, turn in enumerate(turns) if turn.role == "assistant"])

    def _set(self, line: Line, number: int, message: Message) -> None:
        line.dialogue.messages[number] = message

    def _damaged(self, line: Line, number: int, edits: Sequence[Edit]) -> Line:
        """The line with a repairable damage; what stood there before is what is expected."""
        line.action, line.expect = "repair", _contents(line.dialogue)
        self._set(line, number, edited(line.dialogue.messages[number], edits))
        return line

    def _said(self, line: Line, sentence: str, placeholder: str | None = None) -> Line:
        """The customer says one sentence more, before or after the rest; its {} is filled."""
        number = self._customer(line)
        message = line.dialogue.messages[number]
        add = _prefixed if self.rng.random() < 0.4 else _appended
        secret = sentence.split("\0")[1] if "\0" in sentence else ""
        self._set(line, number, add(message, sentence.replace("\0", "")))
        if placeholder:
            line.action = "redact"
            line.expect = [text.replace(secret, placeholder) for text in _contents(line.dialogue)]
        return line

    # -- further lines

    def plant_exact_duplicate(self, line: Line) -> Line:
        return self._copy(line)

    def plant_spelling_duplicate(self, line: Line) -> Line:
        copy = self._copy(line)
        respell = self.rng.choice((_lowered, _shouted, _spaced))
        copy.dialogue.messages = [respell(message) for message in copy.dialogue.messages]
        return copy if _contents(copy.dialogue) != _contents(line.dialogue) else self._copy(line)

    def plant_near_duplicate(self, line: Line) -> Line | None:
        if len(line.dialogue.messages) < 6 or line.dialogue.messages[0].role != "user":
            return None
        copy = self._copy(line)
        if line.dialogue.messages[-2].intent in ("thanks", "goodbye"):
            del copy.dialogue.messages[-2:]
        else:
            first = copy.dialogue.messages[0]
            copy.dialogue.messages[0] = _prefixed(first, self.rng.choice(GREETINGS))
        return copy

    def plant_minimal_pair(self, line: Line) -> Line | None:
        """The same words on another product: no copy, although it looks like one."""
        swapped = _other_product(line.dialogue, self.catalogue, self.rng)
        if swapped is None:
            return None
        copy = self._copy(line, "keep")
        copy.dialogue.messages = swapped
        return copy

    def plant_leak(self, line: Line) -> Line:
        leaked = self.tests.pop(self.rng.randrange(len(self.tests)))
        copy = Line(as_log(leaked), self.rng.random(), action="drop", of=leaked.id)
        if self.rng.random() < 0.4 and leaked.messages[0].role == "user":
            first = copy.dialogue.messages[0]
            copy.dialogue.messages[0] = _prefixed(first, self.rng.choice(GREETINGS))
        return copy

    def plant_broken_json(self, line: Line) -> Line:
        share = self.rng.uniform(0.3, 0.9)
        cut, comma = self.rng.random() < 0.5, b'"messages":['

        def spoil(record: dict[str, Any]) -> bytes:
            data = json.dumps(record, ensure_ascii=True, separators=(",", ":")).encode()
            return data[: int(len(data) * share)] if cut else data.replace(comma, b'"messages" [')

        return replace(self._loss(line), spoil=spoil)

    def plant_missing_role(self, line: Line) -> Line:
        number = self._agent(line)

        def spoil(record: dict[str, Any]) -> bytes:
            del record["messages"][number]["role"]
            return encoded(record)

        return replace(self._loss(line), spoil=spoil)

    def plant_wrong_encoding(self, line: Line) -> Line:
        lost = self._said(self._loss(line), self.rng.choice(ACCENTS))
        lost.spoil = lambda record: encoded(record).decode().encode("cp1252")
        return lost

    def _loss(self, line: Line) -> Line:
        """A further line that cannot be read, with the words of `line`."""
        return replace(self._copy(line), of=None)

    # -- within a line

    def plant_broken_span(self, line: Line) -> Line | None:
        numbers = [i for i, message in enumerate(line.dialogue.messages) if message.entities]
        if not numbers:
            return None
        number, shift = self.rng.choice(numbers), self.rng.choice((-1, 1))
        line.action = "drop"

        def spoil(record: dict[str, Any]) -> bytes:
            entity = record["messages"][number]["entities"][0]
            entity["start"], entity["end"] = entity["start"] + shift, entity["end"] + shift
            return encoded(record)

        line.spoil = spoil
        return line

    def plant_markup(self, line: Line) -> Line:
        number = self.rng.randrange(len(line.dialogue.messages))
        text = line.dialogue.messages[number].content
        breaks = [i for i in range(1, len(text)) if text[i - 1 : i + 1] in (". ", "? ", "! ")]
        if breaks:
            return self._damaged(line, number, [(breaks[0], breaks[0] + 1, "<br>")])
        start, end = ("<p>", "</p>") if self.rng.random() < 0.5 else ("<b>", "</b>")
        return self._damaged(line, number, [(0, 0, start), (len(text), len(text), end)])

    def plant_html_entity(self, line: Line) -> Line:
        number = self._customer(line)
        self._set(
            line, number, _appended(line.dialogue.messages[number], self.rng.choice(AMPERSANDS))
        )
        text = line.dialogue.messages[number].content
        names = {"&": "&amp;", "<": "&lt;"}
        return self._damaged(
            line, number, [(i, i + 1, names[c]) for i, c in enumerate(text) if c in names]
        )

    def plant_mojibake(self, line: Line) -> Line:
        number = self._customer(line)
        self._set(line, number, _appended(line.dialogue.messages[number], self.rng.choice(BROKEN)))
        text = line.dialogue.messages[number].content
        edits = [
            (i, i + 1, c.encode().decode("cp1252")) for i, c in enumerate(text) if not c.isascii()
        ]
        return self._damaged(line, number, edits)

    def plant_zero_width(self, line: Line) -> Line:
        number = self.rng.randrange(len(line.dialogue.messages))
        length = len(line.dialogue.messages[number].content)
        places = sorted(self.rng.sample(range(1, length), min(3, length - 1)))
        sign = self.rng.choice("\u200b\ufeff\u2060")
        return self._damaged(line, number, [(place, place, sign) for place in places])

    def plant_email(self, line: Line) -> Line:
        address = f"{self.rng.choice(MAIL_NAMES)}@{self.rng.choice(MAIL_HOSTS)}"
        return self._personal(line, self.rng.choice(E_MAILS), address, "[EMAIL]")

    def plant_phone(self, line: Line) -> Line:
        number = self.rng.choice(PHONE_SHAPES).format(self.rng.randrange(100, 9999))
        return self._personal(line, self.rng.choice(PHONES), number, "[PHONE]")

    def _personal(self, line: Line, sentence: str, secret: str, placeholder: str) -> Line:
        return self._said(line, sentence.format(f"\0{secret}\0"), placeholder)

    def plant_empty_turn(self, line: Line) -> Line:
        line.action, line.expect = "repair", _contents(line.dialogue)
        number = self.rng.randrange(1, len(line.dialogue.messages))
        empty = self.rng.choice(("", "  ", "\n", "\u200b", "<br>", "&nbsp;"))
        line.dialogue.messages.insert(
            number, Message(self.rng.choice(("user", "assistant")), empty)
        )
        return line

    def plant_swapped_roles(self, line: Line) -> Line:
        line.action = "drop"
        for message in line.dialogue.messages:
            message.role = "assistant" if message.role == "user" else "user"
        return line

    def plant_looping_reply(self, line: Line) -> Line:
        line.action, number = "drop", self._agent(line)
        message = line.dialogue.messages[number]
        again = f" {message.content}" * self.rng.randint(4, 7)
        end = len(message.content)
        self._set(line, number, edited(message, [(end, end, again)]))
        return line

    def plant_cut_reply(self, line: Line) -> Line | None:
        number = self._agent(line)
        message = line.dialogue.messages[number]
        spots = [
            i
            for i in range(12, len(message.content) - 4)
            if message.content[i - 2 : i + 2].isalpha()
        ]
        if not spots:
            return None
        line.action, cut = "drop", self.rng.choice(spots)
        kept = [entity for entity in message.entities if entity.end <= cut]
        self._set(line, number, replace(message, content=message.content[:cut], entities=kept))
        return line

    # -- hard negatives

    def plant_ampersand(self, line: Line) -> Line:
        return self._said(line, self.rng.choice(AMPERSANDS))

    def plant_emoji(self, line: Line) -> Line:
        number = self._customer(line)
        message, end = line.dialogue.messages[number], len(line.dialogue.messages[number].content)
        self._set(line, number, edited(message, [(end, end, f" {self.rng.choice(EMOJI)}")]))
        return line

    def plant_accents(self, line: Line) -> Line:
        return self._said(line, self.rng.choice(ACCENTS))

    def plant_order_number(self, line: Line) -> Line | None:
        slots = {e.slot for message in line.dialogue.messages for e in message.entities}
        return line if "order_number" in slots else None

    def plant_price(self, line: Line) -> Line:
        return self._said(line, self.rng.choice(PRICES))

    def plant_hotline(self, line: Line) -> Line | None:
        hotline = self.catalogue.policies["hotline"]
        slots = {e.slot for message in line.dialogue.messages for e in message.entities}
        if "hotline" in slots:
            return line
        return self._said(line, self.rng.choice(HOTLINE).format(hotline))


def _lowered(message: Message) -> Message:
    text = message.content
    return edited(message, [(i, i + 1, c.lower()) for i, c in enumerate(text) if c.isupper()])


def _shouted(message: Message) -> Message:
    end = len(message.content)
    start = len(message.content.rstrip(".!?"))
    return edited(message, [(start, end, "!!")]) if message.role == "user" else message


def _spaced(message: Message) -> Message:
    spaces = [i for i, c in enumerate(message.content) if c == " "][::3]
    return edited(message, [(i, i + 1, "  ") for i in spaces])


def _other_product(
    dialogue: Dialogue, catalogue: Catalogue, rng: random.Random
) -> list[Message] | None:
    """The messages with one product and its facts replaced by another's; None where it is moot."""
    entities = [entity for message in dialogue.messages for entity in message.entities]
    names = {entity.value for entity in entities if entity.slot == "product"}
    slots = {entity.slot for entity in entities if entity.slot in FACT_SLOTS}
    if len(names) != 1 or not slots or "red_light" in slots:
        return None
    product = catalogue.by_name(names.pop())
    others = [
        other
        for other in catalogue.products
        if other.kind == product.kind
        and other != product
        and not other.held_out
        and any(other.facts[slot] != product.facts[slot] for slot in slots)
    ]
    other = rng.choice(others) if others else None
    return [_renamed(message, other) for message in dialogue.messages] if other else None


def _renamed(message: Message, other: Product) -> Message:
    edits = []
    for entity in message.entities:
        new = other.facts.get(entity.slot) if entity.slot != "product" else _named(entity, other)
        if new is not None:
            edits.append((entity.start, entity.end, new))
    renamed = edited(message, edits)
    for entity in renamed.entities:
        if entity.slot == "product":
            entity.value = other.full_name
        elif entity.slot in FACT_SLOTS:
            entity.value = other.facts[entity.slot]
    return renamed


def _named(entity: Entity, other: Product) -> str:
    """The other product in the same spelling: name only or in full, small letters or not."""
    text = other.full_name if " " in entity.text else other.name
    return text.lower() if entity.text.islower() else text
