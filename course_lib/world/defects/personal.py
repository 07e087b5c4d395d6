"""Personal data that customers let slip: to be replaced by a placeholder.

All of it is invented. A home address counts as personal data where it is said in passing. In a
dialogue about an address (slot `address`) it is what the shop works with, and stays; so it is
planted in dialogues without that slot only.
"""

from __future__ import annotations

from course_lib.world.defects.lines import Line, slots_of
from course_lib.world.defects.tools import Tools

PHONE_SHAPES = (
    "+49 171 555{:04d}", "0171 555 {:04d}", "(0171) 555{:04d}", "+44 20 7946 {:04d}",
    "020-7946-{:04d}", "0171/555{:04d}", "+1 212 555 {:04d}", "+49 (0)171 555{:04d}",
    "0171-555-{:04d}", "020 7946 {:04d}",
)  # fmt: skip
# The starts of the card companies' test numbers, and how long the numbers are.
CARD_STARTS = {
    "400000": 16, "411111": 16, "424242": 16, "510510": 16, "555555": 16, "222300": 16,
    "601111": 16, "356600": 16, "378282": 15, "371449": 15,
}  # fmt: skip
# Countries with the letters of invented banks and the number of digits after them.
IBAN_SHAPES = {
    "DE": ("", 18), "AT": ("", 16), "CH": ("", 17), "BE": ("", 12), "ES": ("", 20),
    "FR": ("", 23), "NL": ("XMRW", 10), "GB": ("QBNK", 14), "IT": ("X", 22),
}  # fmt: skip


class Personal(Tools):
    """Makers of lines with one piece of personal data."""

    def plant_email(self, line: Line) -> Line:
        return self.told(line, self.phrase("emails"), self._email(), "redact", "[EMAIL]")

    def plant_phone(self, line: Line) -> Line:
        number = self.rng.choice(PHONE_SHAPES).format(self.rng.randrange(100, 9999))
        return self.told(line, self.phrase("phones"), number, "redact", "[PHONE]")

    def plant_card(self, line: Line) -> Line:
        return self.told(line, self.phrase("cards"), self._card(), "redact", "[CARD]")

    def plant_iban(self, line: Line) -> Line:
        return self.told(line, self.phrase("ibans"), self._iban(), "redact", "[IBAN]")

    def plant_street_address(self, line: Line) -> Line | None:
        if "address" in slots_of(line.dialogue):
            return None
        template = self.phrase("street_addresses")
        return self.told(line, template, self._address(), "redact", "[ADDRESS]")

    def plant_full_name(self, line: Line) -> Line:
        name = f"{self.phrase('people', 'first')} {self.phrase('people', 'last')}"
        return self.told(line, self.phrase("full_names"), name, "redact", "[NAME]")

    def _email(self) -> str:
        first, last = (self.phrase("people", part).lower() for part in ("first", "last"))
        shapes = (
            f"{first}.{last}", f"{first[0]}.{last}", f"{last}_{first}", f"{first}-{last[0]}",
            f"{first}{self.rng.randint(1, 99)}", f"{first}+shop", f"{first}.{last[0]}.{last}",
        )  # fmt: skip
        return f"{self.rng.choice(shapes)}@{self.phrase('people', 'host')}"

    def _card(self) -> str:
        start = self.rng.choice(list(CARD_STARTS))
        body = start + self.digits(CARD_STARTS[start] - len(start) - 1)
        number = body + luhn_digit(body)
        cuts = (4, 10) if len(number) == 15 else (4, 8, 12)
        parts = [number[a:b] for a, b in zip((0, *cuts), (*cuts, None), strict=True)]
        return self.rng.choice((" ", " ", "-", "")).join(parts)

    def _iban(self) -> str:
        country = self.rng.choice(list(IBAN_SHAPES))
        bank, length = IBAN_SHAPES[country]
        account = bank + self.digits(length)
        number = f"{country}{98 - iban_remainder(account + country + '00'):02d}{account}"
        fours = [number[start : start + 4] for start in range(0, len(number), 4)]
        return self.rng.choice((" ", " ", "")).join(fours)

    def _address(self) -> str:
        house, town = self.rng.randint(1, 98), self.phrase("places", "town")
        if self.rng.random() < 0.3:
            code = f"{self.rng.randint(10_000, 98_999)}"
            street = self.phrase("places", "strasse")
            return self.rng.choice((f"{street} {house}, {code} {town}", f"{street} {house}"))
        street, letter = self.phrase("places", "street"), self.rng.choice(("", "", "a", "b"))
        ends = (f", {town}", f" in {town}", "")
        return f"{house}{letter} {street}{self.rng.choice(ends)}"


def luhn_digit(body: str) -> str:
    """The digit that makes `body` and it valid by Luhn."""
    return str(-_luhn_sum(f"{body}0") % 10)


def is_luhn(number: str) -> bool:
    """Whether a row of digits ends with the right check digit, as card numbers do."""
    return _luhn_sum(number) % 10 == 0


def _luhn_sum(number: str) -> int:
    doubled = [2 * int(digit) for digit in reversed(number)][1::2]
    return sum(int(digit) for digit in number[::-1][::2]) + sum(n - 9 * (n > 9) for n in doubled)


def iban_remainder(turned: str) -> int:
    """What an account number with its country at the end leaves when divided by 97."""
    return int("".join(str(int(character, 36)) for character in turned)) % 97
