"""Damage to the characters of a text, which a repair takes back exactly."""

from __future__ import annotations

from course_lib.world.defects.lines import Line, appended
from course_lib.world.defects.phrases import phrases
from course_lib.world.defects.tools import Tools

_WIDER = ord("！") - ord("!")


class Text(Tools):
    """Makers of lines with damaged characters or with what a mail programme adds."""

    def plant_markup(self, line: Line) -> Line:
        number = self.rng.randrange(len(line.dialogue.messages))
        text = line.dialogue.messages[number].content
        breaks = [i for i in range(1, len(text)) if text[i - 1 : i + 1] in (". ", "? ", "! ")]
        if breaks:
            return self.damaged(line, number, [(breaks[0], breaks[0] + 1, "<br>")])
        start, end = ("<p>", "</p>") if self.rng.random() < 0.5 else ("<b>", "</b>")
        return self.damaged(line, number, [(0, 0, start), (len(text), len(text), end)])

    def plant_html_entity(self, line: Line) -> Line:
        number = self._with(line, self.phrase("ampersands"))
        text = line.dialogue.messages[number].content
        names = {"&": "&amp;", "<": "&lt;"}
        return self.damaged(
            line, number, [(i, i + 1, names[c]) for i, c in enumerate(text) if c in names]
        )

    def plant_mojibake(self, line: Line) -> Line:
        number = self._with(line, self.rng.choice((*phrases("accents"), *phrases("curly"))))
        text = line.dialogue.messages[number].content
        edits = [
            (i, i + 1, c.encode().decode("cp1252")) for i, c in enumerate(text) if not c.isascii()
        ]
        return self.damaged(line, number, edits)

    def plant_zero_width(self, line: Line) -> Line:
        number = self.rng.randrange(len(line.dialogue.messages))
        length = len(line.dialogue.messages[number].content)
        places = sorted(self.rng.sample(range(1, length), min(3, length - 1)))
        sign = self.rng.choice("\u200b\ufeff\u2060")
        return self.damaged(line, number, [(place, place, sign) for place in places])

    def plant_full_width(self, line: Line) -> Line | None:
        """Letters and digits as wide as Chinese ones, in a whole turn or in its longest word."""
        number = self.turn(line, "user")
        text = line.dialogue.messages[number].content
        word = max(text.split(), key=len)
        start = text.index(word) if self.rng.random() < 0.6 else 0
        end = start + len(word) if start else len(text)
        edits = [
            (i, i + 1, chr(ord(text[i]) + _WIDER))
            for i in range(start, end)
            if "!" <= text[i] <= "~"
        ]
        return self.damaged(line, number, edits) if edits else None

    def plant_long_mail(self, line: Line) -> Line:
        """A turn sent as a mail, with signature, disclaimer and the quoted mails before it."""
        number = self.turn(line, "user")
        end = len(line.dialogue.messages[number].content)
        head = f"{self._stamp()}\n\n" if self.rng.random() < 0.3 else ""
        edits = [(0, 0, head)] if head else []
        return self.damaged(line, number, [*edits, (end, end, self._mail_end())])

    def _mail_end(self) -> str:
        signature = self.phrase("mails", "signature")
        notices = self.rng.sample(phrases("mails", "disclaimer"), self.rng.randint(1, 3))
        quotes = self.rng.sample(phrases("mails", "quote"), self.rng.randint(5, 10))
        older = self.rng.randint(2, len(quotes))
        quoted = [f"> {quote}" for quote in quotes[:older]]
        if older < len(quotes):
            quoted += [f"> {self._stamp()}", *(f"> > {quote}" for quote in quotes[older:])]
        parts = ["", signature, "-- ", *notices, "", self._stamp(), *quoted]
        return "\n" + "\n".join(parts)

    def _stamp(self) -> str:
        time = f"{self.rng.randint(6, 22):02}:{self.rng.randrange(60):02}"
        return self.phrase("mails", "stamp").format(date=self.date(), time=time)

    def _with(self, line: Line, sentence: str) -> int:
        """Adds a harmless sentence at the end of a customer's turn; returns the turn's number."""
        number = self.turn(line, "user")
        line.dialogue.messages[number] = appended(line.dialogue.messages[number], sentence)
        return number
