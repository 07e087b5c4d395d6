"""Full names of people: by what is said around them, or by a known first name.

A first name alone identifies nobody and stays. So does what only looks like a name: brands
("the Oscar Hearth mixer") have an article before them or a thing behind them.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

LEXICON = Path(__file__).parent / "lexicon"

_CAP = r"[A-ZÀ-Þ](?:[a-zß-ÿ]+|\.)(?:['’-][A-ZÀ-Þ]?[a-zß-ÿ]+)*"
_PARTICLES = r"(?:(?:van|von|de|del|della|di|da|der|den|la|le|al|bin|dos|du|ter|zu) ){0,2}"
_LAST = _PARTICLES + r"(?:[OD]['’]|Mc|Mac)?[A-ZÀ-Þ][a-zß-ÿ]+(?:[-'’][A-ZÀ-Þ]?[a-zß-ÿ]+)?"
FULL = re.compile(rf"(?<![\w'’-])(?P<first>{_CAP})(?: [A-ZÀ-Þ]\.)? (?P<last>{_LAST})(?![\w-])")
TITLED = re.compile(
    rf"\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Herr|Frau|Madame|Monsieur)\.? (?:{_CAP} )?{_LAST}"
)
# After these words two capitalised words are a person, whatever the first one is.
CUE = re.compile(
    r"(?:\b(?:[Mm]y (?:full |real |maiden |last |married )?name(?: is|'s| was|:)"
    r"|(?:name|account holder|contact|customer|recipient|passenger|attention|attn|signed)(?: is|:)"
    r"|(?:under|in|by) the name(?: of)?|(?:[Ii] am|I'm|[Tt]his is|[Ii] was) called"
    r"|[Ss]incerely|[Rr]egards|[Gg]reetings|[Ww]ishes|[Yy]ours truly|[Yy]ours faithfully),?)\s+$"
)
RELATION = re.compile(
    r"\b(?:son|daughter|wife|husband|partner|friend|neighbour|neighbor|colleague|flatmate|boss"
    r"|brother|sister|mother|father|mum|mom|dad|uncle|aunt|cousin|niece|nephew|landlord|assistant"
    r"|grandmother|grandfather|grandson|granddaughter|fiancée?|roommate|secretary),?\s+$",
    re.I,
)
NAME_ASKED = re.compile(r"\b(?:your|account|customer|full|last) (?:\w+ )?name\b[^.!]*\?", re.I)
BRAND_BEFORE = re.compile(
    r"\b(?:all|an?|the|my|our|your|his|her|their|this|that|old|new|own)\s+$", re.I
)
# Small words that may follow a person's name; any other small word is a thing called so.
_AFTER = re.compile(
    r" (?:is|was|has|had|will|would|can|could|may|and|or|but|in|on|at|by|for|from|to|with|who|whose"
    r"|here|speaking|writing|calling|now|as|signed|said|says|told|wants|asked|lives|called|ordered"
    r"|bought|paid|sent|wrote|if|when|because|so|then|again|please|too|also|instead|last|yesterday"
    r"|today|tomorrow|this|that|not|does|did)\b"
)


@cache
def first_names() -> frozenset[str]:
    """First names of many countries, as written in `lexicon/first_names.txt`."""
    text = (LEXICON / "first_names.txt").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return frozenset(name for line in lines for name in line.split())


def find_names(text: str, asked: str = "") -> list[tuple[int, int]]:
    """(start, end) of each full name, or of a title with a surname.

    `asked` is the turn before: where it asks for the name, the answer may be the name alone.
    """
    found = [match.span() for match in TITLED.finditer(text)]
    for match in FULL.finditer(text):
        taken = any(match.start() < end and start < match.end() for start, end in found)
        is_answer = match.start() == 0 and NAME_ASKED.search(asked)
        if not taken and (is_answer or _is_person(match)):
            found.append(match.span())
    return sorted(found)


def _is_person(match: re.Match[str]) -> bool:
    before, after = match.string[: match.start()], match.string[match.end() :]
    if CUE.search(before):
        return True
    if match["first"] not in first_names() or BRAND_BEFORE.search(before):
        return False
    if RELATION.search(before):
        return True
    return not re.match(r" [a-z]", after) or bool(_AFTER.match(after))
