"""Home addresses: a house number with a street, in the English and in the German order."""

from __future__ import annotations

import re

_WORD = r"[A-ZÀ-Þ][\w'’À-ÿ-]+"
_KIND = (
    r"(?:Street|St|Road|Rd|Lane|Ln|Avenue|Ave|Way|Drive|Dr|Close|Court|Ct|Hill|Row|Terrace"
    r"|Parade|Square|Sq|Place|Pl|Crescent|Gardens?|Grove|Boulevard|Blvd|Mews|Walk|Quay|Green"
    r"|Yard|Rise|View|Path|Park|Gate|Wharf|Alley|Circle|Parkway|Highway|Wood|Fields?|Bank|Mount)"
)
_HOUSE = r"\d{1,5}(?:[ -]?[a-zA-Z])?"
# A town, said after a comma or "in", and now and then with its code.
_TOWN = rf"(?:(?:,? in |, ?)(?:\d{{4,5}} )?{_WORD}(?: {_WORD})?(?:,? [A-Z]{{2}} \d{{5}})?)?"
ENGLISH = re.compile(rf"(?<![\w.-]){_HOUSE} (?:{_WORD} ){{1,3}}{_KIND}\b\.?(?! \d){_TOWN}")
_STRASSE = (
    r"(?:[Ss]tra(?:ß|ss)e|[Ss]tr\.|[Ww]eg|[Gg]asse|[Pp]latz|[Aa]llee|[Rr]ing|[Uu]fer|[Dd]amm"
    r"|[Gg]raben|[Mm]arkt|[Hh]of|[Gg]rund|[Ss]teig|[Bb]erg|[Bb]ruch|[Hh]öhe|[Ww]inkel|[Hh]ain"
    r"|[Tt]or|[Bb]ach|[Hh]ang|[Ww]iesen?|[Ff]eld|[Bb]rücke|[Pp]ark|[Ss]ee|[Tt]al|[Pp]fad|[Aa]cker"
    r"|[Gg]arten|[Gg]ärten|[Cc]haussee|[Pp]romenade|[Kk]ai|[Rr]ain|[Ss]iedlung|[Mm]ühle|[Ww]all"
    r"|[Zz]eile|[Ss]tieg|[Ll]eite|[Aa]nger|[Aa]ue?|[Tt]wiete|[Ww]erder|[Kk]amp)"
)
_AT = r"(?:Am|An der|An den|Auf der|Auf dem|Im|In der|In den|Zum|Zur|Unter den|Hinter der)"
_CODE = rf",? \d{{4,5}} {_WORD}"
GERMAN = re.compile(
    rf"(?<!\w)(?:{_AT} )?"
    rf"(?:{_WORD}[ -])?(?=[A-ZÀ-Þ])[\w'À-ÿ-]*{_STRASSE} {_HOUSE}(?!\w)(?:{_CODE})?"
)
# Any street where "Am" and the like stand before it, or the town's code behind it.
GERMAN_SAID = re.compile(
    rf"(?<!\w){_AT} {_WORD} {_HOUSE}(?!\w| (?:years?|euros?|percent))(?:{_CODE})?"
    rf"|(?<!\w)(?:{_AT} )?{_WORD} {_HOUSE},? \d{{5}} {_WORD}"
)


def find_addresses(text: str) -> list[tuple[int, int]]:
    """(start, end) of each street with its house number, the town and its code included."""
    if not any(character.isdigit() for character in text):
        return []
    patterns = (ENGLISH, GERMAN, GERMAN_SAID)
    spans = [_trimmed(match) for pattern in patterns for match in pattern.finditer(text)]
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        if text[start].isalnum() and (not found or found[-1][1] <= start):
            found.append((start, end))
    return found


def _trimmed(match: re.Match[str]) -> tuple[int, int]:
    """Without the full stop that ends the sentence."""
    said = match.group()
    whole = said.rstrip(" ,") if re.search(r"\b(?:[Ss]tr)\.$", said) else said.rstrip(" ,.")
    return match.start(), match.start() + len(whole)
