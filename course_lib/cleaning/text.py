"""Characters and markup: mojibake, HTML, invisible and full-width characters."""

from __future__ import annotations

import html
import re
import unicodedata
from html.entities import html5

import ftfy

from course_lib.cleaning.changes import StepResult, edit_message, edits_between, with_messages
from course_lib.dialogue import Dialogue, Message

BLOCK_TAG = re.compile(r"\s*</?(?:br|p|div|li|ul|ol|tr|td|table|h[1-6])\b[^<>]*>\s*", re.I)
INLINE_TAG = re.compile(r"</?(?:b|i|u|em|strong|span|a|font|small|code|img)(?:\s[^<>]*)?/?>", re.I)
HTML_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
# Soft hyphen, zero-width space, direction marks, word joiner, byte order mark.
INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
# Joiners hold emoji and some scripts together; between plain Latin letters they are dirt.
STRAY_JOINER = re.compile("(?<![^\u0000-\u024f])[\u200c\u200d]|[\u200c\u200d](?![^\u0000-\u024f])")
SPACE_LIKE = re.compile("[\u00a0\u2000-\u200a\u202f\u205f]")
WIDE_SCRIPTS = ("zh", "ja", "ko")  # where full-width letters and marks are the normal ones


def repaired(text: str, lang: str = "en") -> str:
    """The text without mojibake, tags, HTML entities, invisible and full-width characters.

    A lone & or <, emoji, accents and curly quotes stay as they are.
    """
    if text.isascii() and text.isprintable() and "&" not in text and "<" not in text:
        return text
    fixed = ftfy.fix_text(
        text,
        unescape_html=False,  # ours leaves what only looks like an entity
        uncurl_quotes=False,
        fix_latin_ligatures=False,
        fix_character_width=lang[:2] not in WIDE_SCRIPTS,
    )
    fixed = _without_html(fixed)
    fixed = STRAY_JOINER.sub("", INVISIBLE.sub("", SPACE_LIKE.sub(" ", fixed)))
    return fixed if fixed == text else fixed.strip()


def _without_html(text: str) -> str:
    for _ in range(3):  # logs that were escaped twice
        plain = INLINE_TAG.sub("", BLOCK_TAG.sub(" ", text))
        plain = HTML_ENTITY.sub(_unescaped, plain)
        if plain == text:
            break
        text = plain
    return text


def _unescaped(match: re.Match[str]) -> str:
    entity = match.group()
    known = entity[1] == "#" or entity[1:] in html5
    return html.unescape(entity) if known else entity


def repair_text(dialogue: Dialogue) -> StepResult:
    """Repairs each message's characters and markup; entity spans and values move along."""
    changed, changes = {}, []
    for number, message in enumerate(dialogue.messages):
        after = repaired(message.content, dialogue.lang)
        if after != message.content:
            edits = edits_between(message.content, after)
            new, made = edit_message(dialogue, number, edits, "repair_text", _damage(message))
            for entity in new.entities:
                entity.value = repaired(entity.value, dialogue.lang)
            changed[number] = new
            changes += made
    return with_messages(dialogue, changed), changes


def _damage(message: Message) -> str:
    text = message.content
    signs = {
        "HTML": BLOCK_TAG.search(text) or INLINE_TAG.search(text) or HTML_ENTITY.search(text),
        "invisible characters": INVISIBLE.search(text) or STRAY_JOINER.search(text),
        "control characters": any(unicodedata.category(c) == "Cc" and c != "\n" for c in text),
        "full-width characters": any(unicodedata.east_asian_width(c) == "F" for c in text),
        "a broken encoding": ftfy.fix_encoding(text) != text,
    }
    found = [name for name, sign in signs.items() if sign]
    return ", ".join(found) or "odd spaces or composed characters"
