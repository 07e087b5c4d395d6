"""What all planters share: choosing turns, adding sentences, marking what is expected."""

from __future__ import annotations

import random
from collections.abc import Sequence

from course_lib.dialogue import Dialogue, Message
from course_lib.world.catalogue import Catalogue
from course_lib.world.defects.lines import Edit, Line, appended, as_log, contents, edited, prefixed
from course_lib.world.defects.phrases import phrases
from course_lib.world.defects.rewording import Rewording
from course_lib.world.wordings import Language

_REQUESTS = (
    "cancel_order", "change_address", "complaint", "human_agent", "order_status", "return_item",
    "warranty_claim",
)  # fmt: skip
# Two of these may both fit the same words.
_AKIN = ("complaint", "human_agent", "return_item", "warranty_claim")


class Tools:
    """The random numbers and material that the makers of all kinds draw on.

    A maker `plant_<kind>` takes a clean line and gives it the defect, or returns a further line,
    or returns None, with the line untouched, where the defect does not fit.
    """

    def __init__(
        self,
        rng: random.Random,
        catalogue: Catalogue,
        language: Language,
        clean: Sequence[Dialogue],
        tests: Sequence[Dialogue],
    ) -> None:
        self.rng, self.catalogue, self.language = rng, catalogue, language
        self.rewording = Rewording(language, catalogue, clean)
        self.tests = list(tests)
        used = {m.intent for dialogue in clean for m in dialogue.messages if m.intent}
        self.requests = sorted(i for i in used if i.startswith("ask_") or i in _REQUESTS)

    def copy(self, line: Line, action: str = "drop") -> Line:
        """A further line with the same words, somewhere after the first."""
        place = line.place + (1 - line.place) * self.rng.random()
        return Line(as_log(line.dialogue), place, action=action, of=line)

    def turn(self, line: Line, role: str) -> int:
        """The number of one of the turns of this role."""
        turns = enumerate(line.dialogue.messages)
        return self.rng.choice([number for number, turn in turns if turn.role == role])

    def phrase(self, name: str, section: str = "main") -> str:
        """One of the hand-written lines."""
        return self.rng.choice(phrases(name, section))

    def said(self, line: Line, sentence: str, action: str = "keep") -> Line:
        """The customer says one sentence more, before or after the rest of a turn."""
        return self.told(line, sentence, "", action)

    def told(self, line: Line, template: str, secret: str, action: str, safe: str = "") -> Line:
        """As `said`, with {} filled; expected is the same with `safe` in the secret's place."""
        number = self.turn(line, "user")
        message, texts = line.dialogue.messages[number], contents(line.dialogue)
        add = appended if self.rng.random() < 0.6 or _opens(message.content) else prefixed
        line.dialogue.messages[number] = add(message, template.replace("{}", secret))
        line.action = action
        if safe:
            texts[number] = add(message, template.replace("{}", safe)).content
            line.expect = texts
        return line

    def damaged(self, line: Line, number: int, edits: Sequence[Edit]) -> Line:
        """The line with a repairable damage; what stood there before is what is expected."""
        line.action, line.expect = "repair", contents(line.dialogue)
        line.dialogue.messages[number] = edited(line.dialogue.messages[number], edits)
        return line

    def other_intent(self, message: Message, dialogue: Dialogue) -> str:
        """An intent that the customer's words cannot mean; none that the dialogue is about."""
        asked = {f"ask_{slot}" for _, slot in message.acts} | {slot for _, slot in message.acts}
        near = {turn.intent for turn in dialogue.messages}
        right = {*near, *asked, *(_AKIN if near.intersection(_AKIN) else ())}
        return self.rng.choice([intent for intent in self.requests if intent not in right])

    def date(self) -> str:
        """Some day between 2019 and 2025, in one of many shapes."""
        day, month = self.rng.randint(1, 28), self.rng.randint(1, 12)
        shape, year = self.rng.choice(_DATES), self.rng.randint(2019, 2025)
        name = _MONTHS[month - 1]
        return shape.format(day=day, month=month, name=name, year=year, short=year % 100)

    def digits(self, number: int) -> str:
        """So many random digits, the first of them no 0."""
        rest = (str(self.rng.randrange(10)) for _ in range(number - 1))
        return str(self.rng.randint(1, 9)) + "".join(rest)


def _opens(text: str) -> bool:
    """Whether a text starts in small letters or with a greeting, so that nothing fits before it."""
    return text[:1].islower() or text.lower().startswith(_OPENINGS)


_OPENINGS = ("hi", "hello", "hey", "good ", "dear", "me again", "greetings", "excuse")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
_DATES = (
    "{day:02}.{month:02}.{year}", "{day:02}/{month:02}/{year}", "{year}-{month:02}-{day:02}",
    "{day} {name} {year}", "{name} {day}, {year}", "{day:02}-{month:02}-{year}",
    "{day}.{month}.{short:02}", "the {day}. {name} {year}",
)  # fmt: skip
