"""Replies in another language than the dialogue's, told by the small words of each language."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from course_lib.cleaning.changes import StepResult, set_aside
from course_lib.cleaning.names import LEXICON
from course_lib.dialogue import Dialogue

FEWEST_WORDS = 3
FEWEST_SMALL_WORDS = 2


@cache
def small_words() -> dict[str, frozenset[str]]:
    """By language the words that hold its sentences together, from `lexicon/small_words.txt`."""
    text = (LEXICON / "small_words.txt").read_text(encoding="utf-8")
    rows = (line.split(": ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {lang: frozenset(words.split()) for lang, words in rows}


def language_of(text: str) -> str | None:
    """The language whose small words stand out in a text; None where no one does."""
    words = re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)?", text.casefold())
    if len(words) < FEWEST_WORDS:
        return None
    parts = [part for word in words for part in (word, *re.split("['’]", word)[:-1])]
    counts = {lang: sum(part in known for part in parts) for lang, known in small_words().items()}
    best, second = sorted(counts, key=lambda lang: counts[lang], reverse=True)[:2]
    clear = counts[best] >= FEWEST_SMALL_WORDS and counts[best] > counts[second]
    return best if clear else None


def script_of(text: str) -> str | None:
    """ "latin", "cyrillic", "cjk" ...: the script of most letters; None without letters."""
    names = [unicodedata.name(c, "?").split()[0] for c in text if c.isalpha()]
    common = max(set(names), key=names.count) if names else None
    return common.lower() if common else None


def check_language(dialogue: Dialogue) -> StepResult:
    """Sets a dialogue aside when an agent answers in another language than the dialogue's.

    A foreign word in a sentence is no foreign sentence. Languages without a list are left alone.
    """
    lang = dialogue.lang[:2]
    if lang not in small_words():
        return dialogue, []
    for number, message in enumerate(dialogue.messages):
        if message.role != "assistant":
            continue
        found, script = language_of(message.content), script_of(message.content)
        if script not in (None, "latin") or found not in (None, lang):
            what = found if script in (None, "latin") else script
            reason = f"the reply in message {number} is in another language ({what})"
            return None, [set_aside("check_language", dialogue, reason, number)]
    return dialogue, []
