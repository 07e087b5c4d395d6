"""Hard negatives: they look like a defect and must stay as they are."""

from __future__ import annotations

from course_lib.dialogue import Message
from course_lib.world.defects.lines import Line, edited, slots_of
from course_lib.world.defects.personal import is_luhn
from course_lib.world.defects.tools import Tools

MAX_MESSAGES = 14


class Negatives(Tools):
    """Makers of clean lines with a harmless sentence that a rash cleaning would fall for."""

    # -- no dirt

    def plant_ampersand(self, line: Line) -> Line:
        return self.said(line, self.phrase("ampersands"))

    def plant_emoji(self, line: Line) -> Line:
        number = self.turn(line, "user")
        message = line.dialogue.messages[number]
        end = len(message.content)
        line.dialogue.messages[number] = edited(message, [(end, end, f" {self.phrase('emoji')}")])
        return line

    def plant_accents(self, line: Line) -> Line:
        return self.said(line, self.phrase("accents"))

    # -- no personal data

    def plant_order_number(self, line: Line) -> Line | None:
        return line if "order_number" in slots_of(line.dialogue) else None

    def plant_part_number(self, line: Line) -> Line:
        return self._number(line, "part_numbers", self._part())

    def plant_tracking_number(self, line: Line) -> Line:
        return self._number(line, "tracking_numbers", self._tracking())

    def plant_price(self, line: Line) -> Line:
        return self.said(line, self.phrase("prices"))

    def plant_date(self, line: Line) -> Line:
        return self._number(line, "dates", self.date())

    def plant_hotline(self, line: Line) -> Line:
        if "hotline" in slots_of(line.dialogue):
            return line
        return self._number(line, "hotline", self.catalogue.policies["hotline"])

    def plant_namelike_product(self, line: Line) -> Line:
        return self.said(line, self.phrase("namelike_products"))

    def plant_first_name(self, line: Line) -> Line:
        return self.said(line, self.phrase("first_names"))

    # -- no bad reply, nothing unsafe

    def plant_short_reply(self, line: Line) -> Line | None:
        """The customer says something in between, and a word or two are all that it takes."""
        turns = line.dialogue.messages
        spots = [
            (number, section)
            for number in range(1, len(turns))
            if turns[number].role == "user" and turns[number - 1].role == "assistant"
            if (section := _pause(turns[number - 1], turns[number]))
        ]
        if not spots or len(turns) > MAX_MESSAGES - 2:
            return None
        number, section = self.rng.choice(spots)
        aside, reply = self.phrase("short_replies", section).split(" | ")
        turns[number:number] = [
            Message("user", aside, "small_talk", [], [["chat", None]]),
            Message("assistant", reply, None, [], [["chat", None]]),
        ]
        return line

    def plant_foreign_word(self, line: Line) -> Line:
        return self.said(line, self.phrase("foreign_words"))

    def plant_angry_customer(self, line: Line) -> Line:
        return self.said(line, self.phrase("angry"))

    def plant_innocent_words(self, line: Line) -> Line:
        return self.said(line, self.phrase("innocent_words"))

    def _number(self, line: Line, name: str, number: str) -> Line:
        return self.said(line, self.phrase(name).replace("{}", number))

    def _part(self) -> str:
        letters = "".join(self.rng.choice("BDFGHKLMNPRSTVWXZ") for _ in range(2))
        shapes = (
            f"{letters}-{self.digits(3)}", f"{letters}-{self.digits(4)}-{self.digits(2)}",
            f"{letters}{self.digits(6)}", f"{self.digits(4)}.{self.digits(3)}.{self.digits(3)}",
            f"{letters}/{self.digits(5)}", f"{self.digits(3)}-{letters}-{self.digits(3)}",
        )  # fmt: skip
        return self.rng.choice(shapes)

    def _tracking(self) -> str:
        """A long row of digits, as one or by fours, that no card could have."""
        row = self.digits(self.rng.choice((16, 16, 18, 20)))
        if is_luhn(row):
            row = row[:-1] + str((int(row[-1]) + 1) % 10)
        fours = [row[start : start + 4] for start in range(0, len(row), 4)]
        return self.rng.choice((" ", "", "")).join(fours)


def _pause(before: Message, after: Message) -> str | None:
    """What fits between two turns: looking something up, or a word before the next question."""
    acts = {act for act, _ in before.acts}
    if acts & {"request", "confirm"}:
        return "busy"
    told = acts & {"inform", "notify"} and "offer" not in acts
    return "free" if told and after.intent not in ("thanks", "goodbye") else None
