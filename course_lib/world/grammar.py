"""Small English grammar for filled sentences: articles, agreement, sentence capitals."""

from __future__ import annotations

import re
from functools import cache

_SLOT = re.compile(r"\{([^{}]*)\}")
_SENTENCE_START = re.compile(r"""(^|[.?!:]\n|[.?!]\s+|\n)(["(*-]?\s?)([a-z])""")
_VOWEL_SOUND = re.compile(r"(?i)(?!uni|use|usu|eu|one\b|once\b|uk)[aeiou]|hour|honest|8|11\b|18\b")

_SINGULAR = {
    "is": "is", "was": "was", "has": "has", "does": "does", "isnt": "isn't", "doesnt": "doesn't",
    "s": "s", "es": "es", "ies": "ies", "it": "it", "its": "its", "them": "it", "this": "this",
    "that": "that", "itself": "itself", "one": "one",
}  # fmt: skip
_PLURAL = {
    "is": "are", "was": "were", "has": "have", "does": "do", "isnt": "aren't", "doesnt": "don't",
    "s": "", "es": "", "ies": "y", "it": "they", "its": "their", "them": "them", "this": "these",
    "that": "those", "itself": "themselves", "one": "pair",
}  # fmt: skip


class GrammarError(ValueError):
    """A template that cannot be filled; names the slot and the template."""


def article(noun: str) -> str:
    """The indefinite article for `noun`: "a kettle", "an air purifier" give "a" and "an"."""
    return "an" if _VOWEL_SOUND.match(noun) else "a"


@cache
def _parts(template: str) -> tuple[tuple[str, str | None], ...]:
    """Literal text and slot name in turn; raises on a brace that is no slot."""
    parts: list[tuple[str, str | None]] = []
    position = 0
    for match in _SLOT.finditer(template):
        parts.append((template[position : match.start()], match.group(1)))
        position = match.end()
    parts.append((template[position:], None))
    if any("{" in text or "}" in text for text, _ in parts):
        raise GrammarError(f"unbalanced brace in template {template!r}: close or remove it")
    return tuple(parts)


def slot_names(template: str) -> set[str]:
    """The names between braces in `template`."""
    return {name for _, name in _parts(template) if name is not None}


def fill(template: str, **slots: str) -> str:
    """`template` with each {slot} replaced; slots that it does not use are ignored.

    Raises GrammarError on a slot without a value and on an unbalanced brace.
    """
    pieces = []
    for text, name in _parts(template):
        pieces.append(text)
        if name is None:
            continue
        if name not in slots:
            raise GrammarError(f"slot {{{name}}} has no value in template {template!r}: pass it")
        pieces.append(slots[name])
    return "".join(pieces)


def sentence_case(text: str) -> str:
    """`text` with a capital letter at its start and after each full stop, `?` or `!`."""
    return _SENTENCE_START.sub(lambda m: m[1] + m[2] + m[3].upper(), text)


def agreement(plural: bool) -> dict[str, str]:
    """Slots that agree with the number of the product.

    `is was has does isnt doesnt` (verbs), `s es ies` (endings: "run{s}", "carr{ies}"), `it`
    (subject), `them` (object), `its`, `this`, `that`, `itself`, `one` ("one" / "pair").
    """
    return dict(_PLURAL if plural else _SINGULAR)
