"""Card numbers and bank accounts, known by their check digits, not by their looks alone.

Cards: ISO/IEC 7812 (Luhn) with the starts of the large companies. Accounts: ISO 13616 (IBAN),
whose digits leave 1 when divided by 97.
"""

from __future__ import annotations

import re

CARD_LIKE = re.compile(r"(?<![\w.,/+-])(?<!\d )\d(?:[ -]?\d){12,18}(?![\w/]|[.,\- ]\d)")
# Visa, Mastercard (two ranges), American Express, Discover, JCB, Diners, UnionPay; and lengths.
CARD = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:2[2-9]|[3-6]\d|7[01]|720)\d{12,13}"
    r"|3[47]\d{13}|6(?:011|4[4-9]\d|5\d\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}"
    r"|3(?:0[0-5]|[68]\d)\d{11}|62\d{14,17}"
)
IBAN_LIKE = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}(?!\w)", re.I)
# How many signs an account of each country has (SWIFT's registry of IBAN formats).
IBAN_LENGTHS = {
    **dict.fromkeys(("NO",), 15), **dict.fromkeys(("BE",), 16),
    **dict.fromkeys(("DK", "FI", "FO", "GL", "NL"), 18), **dict.fromkeys(("MK", "SI"), 19),
    **dict.fromkeys(("AT", "BA", "EE", "KZ", "LT", "LU", "XK"), 20),
    **dict.fromkeys(("CH", "HR", "LI", "LV"), 21),
    **dict.fromkeys(("BG", "BH", "CR", "DE", "GB", "GE", "IE", "ME", "RS", "VA"), 22),
    **dict.fromkeys(("AE", "GI", "IL", "IQ", "TL"), 23),
    **dict.fromkeys(("AD", "CZ", "ES", "MD", "PK", "RO", "SA", "SE", "SK", "TN", "VG"), 24),
    **dict.fromkeys(("PT", "ST"), 25), **dict.fromkeys(("IS", "TR"), 26),
    **dict.fromkeys(("FR", "GR", "IT", "MC", "MR", "SM"), 27),
    **dict.fromkeys(("AL", "AZ", "BY", "CY", "DO", "GT", "HU", "LB", "PL", "SV"), 28),
    **dict.fromkeys(("BR", "EG", "PS", "QA", "UA"), 29), **dict.fromkeys(("JO", "KW", "MU"), 30),
    **dict.fromkeys(("MT", "SC"), 31), "LC": 32,
}  # fmt: skip
# What a long number that is no card is called where it stands.
PARCEL_BEFORE = re.compile(
    r"\b(?:track|parcel|shipment|consignment|waybill|serial|order)\w*\b.{0,30}$", re.I
)


def find_cards(text: str) -> list[tuple[int, int]]:
    """(start, end) of each card number: its length and start are a company's, Luhn holds."""
    return [m.span() for m in CARD_LIKE.finditer(text) if _is_card(m)]


def _is_card(match: re.Match[str]) -> bool:
    digits = re.sub(r"\D", "", match.group())
    sentence = re.split(r"[.!?]\s+(?=[A-Z])", match.string[: match.start()])[-1]
    called_other = PARCEL_BEFORE.search(sentence)
    return bool(CARD.fullmatch(digits)) and is_luhn(digits) and not called_other


def is_luhn(digits: str) -> bool:
    """Whether the last of these digits is the right check digit by Luhn's sum."""
    doubled = [2 * int(digit) for digit in digits[-2::-2]]
    return (sum(map(int, digits[::-2])) + sum(n - 9 * (n > 9) for n in doubled)) % 10 == 0


def find_ibans(text: str) -> list[tuple[int, int]]:
    """(start, end) of each bank account with right check digits, in fours or in one row."""
    found = []
    for match in IBAN_LIKE.finditer(text):
        end = _iban_end(match.group())
        if end:
            found.append((match.start(), match.start() + end))
    return found


def _iban_end(candidate: str) -> int:
    """Where the account ends: a word behind it may have been taken for a part; 0 for none."""
    ends = [m.end() for m in re.finditer(r"[A-Z0-9](?= |$)", candidate, re.I)]
    return next((end for end in reversed(ends) if is_iban(candidate[:end])), 0)


def is_iban(account: str) -> bool:
    """Whether letters and digits make an account of its country's length, check digits right."""
    plain = account.replace(" ", "").upper()
    if len(plain) != IBAN_LENGTHS.get(plain[:2]) or not plain.isascii() or not plain.isalnum():
        return False
    turned = plain[4:] + plain[:4]
    return int("".join(str(int(sign, 36)) for sign in turned)) % 97 == 1
