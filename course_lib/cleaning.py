"""Repair, filter, redact and deduplicate dialogues; each step says what it changed and why.

A step takes one dialogue and returns the cleaned one (or None, to set it aside) with a list of
`Change`. Steps never alter what they are given. `clean` runs them over a whole data set and its
`CleaningReport` accounts for every dialogue that was read.
"""

from __future__ import annotations

import difflib
import html
import json
import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from html.entities import html5
from typing import Any

import ftfy

from course_lib.dialogue import Dialogue, Entity, Message, Reject


@dataclass(frozen=True, slots=True)
class Change:
    """What a step did to one dialogue; `message` counts from 0 and is None for the whole of it.

    A flag leaves the text alone: `before == after`. A dialogue set aside has `after` None.
    """

    step: str
    dialogue_id: str
    message: int | None
    reason: str
    before: str | None
    after: str | None

    @property
    def is_flag(self) -> bool:
        return self.before == self.after


StepResult = tuple[Dialogue | None, list[Change]]
Step = Callable[[Dialogue], StepResult]


# --- spans move along with an edit ------------------------------------------------------------

Edit = tuple[int, int, str]  # text[start:end] becomes the new text; edits in order, no overlap


def edits_between(before: str, after: str) -> list[Edit]:
    """The edits that turn one text into the other, found by comparing them."""
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    changed = [code for code in matcher.get_opcodes() if code[0] != "equal"]
    return [(start, end, after[low:high]) for _, start, end, low, high in changed]


def apply_edits(text: str, edits: Sequence[Edit]) -> str:
    """The text after the edits."""
    pieces, position = [], 0
    for start, end, new in edits:
        pieces += [text[position:start], new]
        position = end
    return "".join([*pieces, text[position:]])


def move_span(start: int, end: int, edits: Sequence[Edit]) -> tuple[int, int] | None:
    """Where a span lies after the edits; None when an edit cuts through one of its ends."""
    new_start, new_end = start, end
    for low, high, new in edits:
        shift = len(new) - (high - low)
        if high <= start:
            new_start, new_end = new_start + shift, new_end + shift
        elif low >= end:
            break
        elif start <= low and high <= end:
            new_end += shift
        else:
            return None
    return (new_start, new_end) if new_start < new_end else None


def move_entities(
    entities: Iterable[Entity], edits: Sequence[Edit], after: str
) -> tuple[list[Entity], list[Entity]]:
    """(entities with their spans in the edited text, entities that have no place there)."""
    moved, lost = [], []
    for entity in entities:
        span = move_span(entity.start, entity.end, edits)
        if span is None:
            lost.append(entity)
        else:
            moved.append(replace(entity, start=span[0], end=span[1], text=after[slice(*span)]))
    return moved, lost


def _edit_message(
    dialogue: Dialogue, number: int, edits: Sequence[Edit], step: str, reason: str
) -> tuple[Message, list[Change]]:
    message = dialogue.messages[number]
    after = apply_edits(message.content, edits)
    entities, lost = move_entities(message.entities, edits, after)
    changes = [Change(step, dialogue.id, number, reason, message.content, after)]
    for entity in lost:
        why = f"the edit cuts through the {entity.slot!r} entity, which is dropped"
        changes.append(Change(step, dialogue.id, number, why, entity.text, None))
    return replace(message, content=after, entities=entities), changes


def _with_messages(dialogue: Dialogue, changed: dict[int, Message]) -> Dialogue:
    if not changed:
        return dialogue
    messages = [changed.get(number, old) for number, old in enumerate(dialogue.messages)]
    return replace(dialogue, messages=messages)


# --- repair_text ------------------------------------------------------------------------------

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
            new, made = _edit_message(dialogue, number, edits, "repair_text", _damage(message))
            for entity in new.entities:
                entity.value = repaired(entity.value, dialogue.lang)
            changed[number] = new
            changes += made
    return _with_messages(dialogue, changed), changes


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


# --- drop_empty_turns, check_roles, drop_loops ------------------------------------------------


def drop_empty_turns(dialogue: Dialogue) -> StepResult:
    """Takes out turns without text; sets aside a dialogue that lost a reply, or all its text."""
    step, messages = "drop_empty_turns", dialogue.messages
    empty = [number for number, message in enumerate(messages) if not message.content.strip()]
    if not empty:
        return dialogue, []
    if len(empty) == len(messages):
        return None, [_set_aside(step, dialogue, "no turn has any text")]
    for number in empty:
        if _is_lost_reply(messages, number):
            return None, [
                _set_aside(step, dialogue, f"the reply in message {number} is lost", number)
            ]
    full = [message for message in messages if message.content.strip()]
    changes = [
        Change(step, dialogue.id, n, "the turn has no text", messages[n].content, None)
        for n in empty
    ]
    return replace(dialogue, messages=full), changes


def _is_lost_reply(messages: list[Message], number: int) -> bool:
    """An empty agent's turn to a customer whom no other agent's turn answers."""
    before = [m.role for m in messages[:number] if m.content.strip()]
    after = [m.role for m in messages[number + 1 :] if m.content.strip()]
    is_reply = messages[number].role == "assistant" and before[-1:] == ["user"]
    return is_reply and after[:1] in ([], ["user"])


def check_roles(dialogue: Dialogue) -> StepResult:
    """Sets aside what no conversation can be; an agent who opens and repeated speakers are fine."""
    fault = _impossible_roles([message.role for message in dialogue.messages])
    if fault:
        return None, [_set_aside("check_roles", dialogue, fault)]
    return dialogue, []


def _impossible_roles(roles: list[str]) -> str | None:
    if "assistant" not in roles:
        return "no assistant turn: nothing to learn from"
    if "user" not in roles:
        return "no user turn: nobody is answered"
    if "system" in roles[1:]:
        return "a system turn inside the conversation"
    return None


def drop_loops(dialogue: Dialogue, times: int = 4) -> StepResult:
    """Sets a dialogue aside when a reply says one phrase `times` times (one word: twice that)."""
    for number, message in enumerate(dialogue.messages):
        phrase = _looped_phrase(message.content, times) if message.role == "assistant" else None
        if phrase:
            reason = f"message {number} repeats {phrase!r} at least {times} times"
            return None, [_set_aside("drop_loops", dialogue, reason, number)]
    return dialogue, []


def _looped_phrase(text: str, times: int) -> str | None:
    sentences = [normalised(sentence) for sentence in re.split(r"[.!?\n]+", text)]
    counts = Counter(sentence for sentence in sentences if re.search("[^\\W\\d]{2}", sentence))
    for sentence, count in counts.items():
        if count >= times:
            return sentence
    return _looped_words(normalised(text).split(), times)


def _looped_words(words: list[str], times: int) -> str | None:
    """The first run of words that follows itself often enough, e.g. "a b a b a b a b"."""
    for size in range(1, len(words) // times + 1):
        needed = size * (times - 1) if size > 1 else 2 * times - 1
        run = 0
        for place in range(size, len(words)):
            run = run + 1 if words[place] == words[place - size] else 0
            if run == needed:
                return " ".join(words[place - size + 1 : place + 1])
    return None


def _set_aside(step: str, dialogue: Dialogue, reason: str, number: int | None = None) -> Change:
    text = dialogue.messages[number or 0].content if dialogue.messages else ""
    return Change(step, dialogue.id, number, reason, text, None)


# --- redact_personal_data ---------------------------------------------------------------------

EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]+@[\w-]+(?:\.[\w-]+)+")
PHONE_LIKE = re.compile(
    r"(?<![\w@.,/#-])(?<!\d )(?:\+|\(\+?)?\d(?:(?:\)[ ]?|[ ]?\(|[ ]-[ ]|[ .\-/])?\d){6,14}"
    r"(?![\w@]|[.,/:\- ]\d)"
)
DATE = re.compile(r"\d{4}([-./ ])\d{1,2}\1\d{1,2}|\d{1,2}([-./ ])\d{1,2}\2(?:\d{4}|\d{2})")
THREE_THREE_FOUR = re.compile(r"\d{3}([-. ])\d{3}\1\d{4}")
# What stands right before a number that names a thing, not a person's telephone.
THING_BEFORE = re.compile(
    r"\b(?:order|invoice|account|ticket|tracking|reference|ref|serial|part|parcel|case|article"
    r"|item|model|customer|voucher|card|receipt|shipment|claim|return)s?"
    r"(?:[\s#:.,'’()-]|\b(?:numbers?|num|no|nr|ids?|codes?|is|was|it|s|its|my|the|and|for)\b)*$",
    re.I,
)
MONEY_OR_UNIT_AFTER = re.compile(r"\s?(?:€|\$|£|%|euros?|watts?|grams?|kg|ml|mah)\b", re.I)
PHONE_WORD = re.compile(
    r"\b(?:tele)?phone\b|\b(?:mobile|cell|tel|whatsapp)\b"
    r"|\b(?:call|ring|text|reach|contact)(?:ed|ing)? (?:me|us|you|him|her|them|back)\b",
    re.I,
)
ORDER_WORD = re.compile(r"\b(?:order|account|invoice|tracking|ticket|reference|serial)\b", re.I)
YOURS = re.compile(
    r"\byour (?:\w+ ){0,2}(?:phone|mobile|cell|number|contact)"
    r"|\b(?:call|ring|text|reach|contact|phone|dial)(?:ed|ing)? you\b",
    re.I,
)
OFFICE = re.compile(r"(?:help|info|support|service|contact|sales|orders?|returns|hello|no-?reply)@")


@dataclass(frozen=True, slots=True)
class PersonalItem:
    """Personal data found in a text: its place, its placeholder, and a key free of spelling."""

    start: int
    end: int
    placeholder: str
    key: str


def find_personal_data(text: str, asked: str = "") -> list[PersonalItem]:
    """E-mail addresses and telephone numbers; `asked` is the turn before, as a hint for digits.

    A bare row of digits counts as a telephone number only where the words say so: order numbers
    have ten digits too. Dates, prices and part numbers never do.
    """
    mails = [_item(match, "[EMAIL]") for match in EMAIL.finditer(text)] if "@" in text else []
    phones = [_item(m, "[PHONE]") for m in PHONE_LIKE.finditer(text) if _is_phone(m, asked)]
    return sorted(mails + phones, key=lambda item: item.start)


def _item(match: re.Match[str], placeholder: str) -> PersonalItem:
    return PersonalItem(match.start(), match.end(), placeholder, contact_key(match.group()))


def contact_key(contact: str) -> str:
    """One form for all spellings of an e-mail address or telephone number."""
    return contact.casefold() if "@" in contact else re.sub(r"\D", "", contact)


def _is_phone(match: re.Match[str], asked: str) -> bool:
    number, before = match.group(), match.string[: match.start()]
    if DATE.fullmatch(number.lstrip("(")) or THING_BEFORE.search(before[-60:]):
        return False
    if MONEY_OR_UNIT_AFTER.match(match.string, match.end()):
        return False
    return _has_phone_shape(number) or _is_called_phone(before, asked)


def _has_phone_shape(number: str) -> bool:
    digits = sum(character.isdigit() for character in number)
    if number.startswith(("+", "(+")) or "(" in number:
        return digits >= 8
    if not number.isdigit() and number.startswith("0"):
        return 9 <= digits <= 13
    return THREE_THREE_FOUR.fullmatch(number) is not None


def _is_called_phone(before: str, asked: str) -> bool:
    sentence = re.split(r"[.?!]\s", before)[-1]
    spoken = _last_end(PHONE_WORD, sentence)
    if spoken:
        return spoken > _last_end(ORDER_WORD, sentence)  # the nearer word names the number
    return bool(PHONE_WORD.search(asked)) and not ORDER_WORD.search(f"{asked} {before}")


def _last_end(words: re.Pattern[str], text: str) -> int:
    return max((match.end() for match in words.finditer(text)), default=0)


def redact_personal_data(dialogue: Dialogue, allow: Iterable[str] = ()) -> StepResult:
    """Puts [EMAIL] and [PHONE] for the customer's own; the shop's contacts in `allow` stay.

    An agent's number is the customer's when the customer gave it or the words say so ("call you
    on ..."); any other is a public contact. Spans move along, goal and entity values too.
    """
    allowed = {contact_key(contact) for contact in allow}
    found = [_personal_items(dialogue, number) for number in range(len(dialogue.messages))]
    given = {
        item.key
        for message, items in zip(dialogue.messages, found, strict=True)
        for item in items
        if message.role == "user"
    } - allowed
    changed, changes = {}, []
    for number, message in enumerate(dialogue.messages):
        items = [item for item in found[number] if item.key not in allowed]
        if message.role != "user":
            items = [i for i in items if i.key in given or _is_customers(message.content, i)]
        if items:
            changed[number], made = _redacted(dialogue, number, items)
            changes += made
    cleaned = _with_messages(dialogue, changed)
    goal = _redacted_goal(cleaned.goal, allowed, given)
    if goal != cleaned.goal:
        before, after = (json.dumps(value, ensure_ascii=False) for value in (cleaned.goal, goal))
        reason = "personal data in the goal"
        changes.append(Change("redact_personal_data", dialogue.id, None, reason, before, after))
        cleaned = replace(cleaned, goal=goal)
    return cleaned, changes


def _personal_items(dialogue: Dialogue, number: int) -> list[PersonalItem]:
    text = dialogue.messages[number].content
    if "@" not in text and not any(map(str.isdigit, text)):
        return []
    others = (m.content for m in reversed(dialogue.messages[:number]) if m.role == "assistant")
    asked = next(others, "") if dialogue.messages[number].role == "user" else ""
    return find_personal_data(text, asked)


def _is_customers(text: str, item: PersonalItem) -> bool:
    if item.placeholder == "[EMAIL]":
        return OFFICE.match(item.key) is None
    sentence = re.split(r"[.?!]\s", text[: item.start])[-1]
    return YOURS.search(sentence) is not None


def _redacted(
    dialogue: Dialogue, number: int, items: list[PersonalItem]
) -> tuple[Message, list[Change]]:
    kinds = ", ".join(sorted({item.placeholder.strip("[]").lower() for item in items}))
    edits = [(item.start, item.end, item.placeholder) for item in items]
    reason = f"personal data: {kinds}"
    message, changes = _edit_message(dialogue, number, edits, "redact_personal_data", reason)
    for entity in message.entities:
        if any(item.placeholder in entity.text for item in items):
            entity.value = entity.text  # the canonical value would give the secret away
    return message, changes


def _redacted_goal(
    goal: dict[str, Any] | None, allowed: set[str], given: set[str]
) -> dict[str, Any] | None:
    if not goal or not isinstance(goal.get("slots"), dict):
        return goal
    slots = {name: _redacted_slot(name, value, allowed) for name, value in goal["slots"].items()}
    for name, value in slots.items():
        if isinstance(value, str) and contact_key(value) in given:
            slots[name] = "[EMAIL]" if "@" in value else "[PHONE]"
    return goal | {"slots": slots}


def _redacted_slot(name: str, value: Any, allowed: set[str]) -> Any:
    if not isinstance(value, str):
        return value
    items = [item for item in find_personal_data(value, name) if item.key not in allowed]
    return apply_edits(value, [(item.start, item.end, item.placeholder) for item in items])


# --- deduplicate, remove_leaks ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rejected:
    """A dialogue set aside: by which step, why, and for a copy which dialogue it equals.

    `line` is its place in the input: the line for one that could not be read, else None.
    """

    dialogue_id: str | None
    step: str
    reason: str
    equals: str | None = None
    dialogue: Dialogue | None = None
    line: int | None = None
    text: str = ""

    def to_dict(self) -> dict[str, Any]:
        """One line of a rejects file."""
        record = {
            "id": self.dialogue_id,
            "line": self.line,
            "step": self.step,
            "reason": self.reason,
            "equals": self.equals,
        }
        return record | {"dialogue": self.dialogue and self.dialogue.to_dict(), "text": self.text}


DataSetResult = tuple[list[Dialogue], list[Rejected], list[Change]]


def normalised(text: str) -> str:
    """Lower case, every run of spaces and punctuation as one space."""
    return re.sub(r"[\W_]+", " ", text.casefold()).strip()


def _dialogue_key(dialogue: Dialogue) -> str:
    return "\n".join(f"{m.role}: {normalised(m.content)}" for m in dialogue.messages)


def _dialogue_text(dialogue: Dialogue) -> str:
    return "\n".join(normalised(message.content) for message in dialogue.messages)


def shingles(text: str, size: int = 5) -> set[str]:
    """The set of character n-grams; a shorter text is its own one."""
    return {text[i : i + size] for i in range(max(1, len(text) - size + 1))}


def jaccard(one: set[Any], other: set[Any]) -> float:
    """Shared elements over all elements, 0 to 1; two empty sets are equal."""
    shared = len(one & other)
    union = len(one) + len(other) - shared
    return shared / union if union else 1.0


class NearIndex:
    """Finds the earlier text most like a new one, exactly, without comparing all pairs.

    Two sets with a Jaccard index of at least t share an element among the first
    n - ceil(t n) + 1 of each, in any common order (Bayardo et al. 2007). With the rarest first,
    few texts share one; how many they share there bounds what they can share in all.
    """

    def __init__(self, texts: Sequence[str], threshold: float, size: int = 5) -> None:
        if not 0 < threshold <= 1:
            raise ValueError(f"the threshold must lie above 0 and at most at 1, not {threshold}")
        self.threshold = threshold
        grams = [shingles(text, size) for text in texts]
        count = Counter(gram for one in grams for gram in one)
        rank = {
            gram: place for place, gram in enumerate(sorted(count, key=lambda g: (count[g], g)))
        }
        self.sets = [{rank[gram] for gram in one} for one in grams]
        self._prefixes = [self._prefix(one) for one in self.sets]
        self._last = [prefix[-1] for prefix in self._prefixes]
        self._sizes = [len(one) for one in self.sets]
        self._beyond = [
            size - len(prefix) for size, prefix in zip(self._sizes, self._prefixes, strict=True)
        ]
        self._holders: dict[int, list[int]] = defaultdict(list)

    def _prefix(self, ranks: set[int]) -> list[int]:
        return sorted(ranks)[: len(ranks) - math.ceil(self.threshold * len(ranks) - 1e-9) + 1]

    def add(self, which: int) -> None:
        """Makes text `which` one that later texts are compared with."""
        for rank in self._prefixes[which]:
            self._holders[rank].append(which)

    def nearest(self, which: int) -> tuple[int, float] | None:
        """(number, similarity) of the most similar added text at or above the threshold."""
        best: tuple[int, float] | None = None
        for other in self._candidates(which):
            similarity = jaccard(self.sets[which], self.sets[other])
            if similarity >= self.threshold and (best is None or similarity > best[1]):
                best = (other, similarity)
        return best

    def _candidates(self, which: int) -> list[int]:
        """The added texts whose shared prefix can still grow to the threshold."""
        prefix, last, beyond, sizes = self._prefixes[which], self._last, self._beyond, self._sizes
        share = self.threshold / (1 + self.threshold)
        shared = Counter(holder for rank in prefix for holder in self._holders.get(rank, ()))
        return sorted(
            other
            for other, seen in shared.items()
            # whichever prefix ends first, all further shared elements lie beyond it
            if seen + beyond[which if last[which] < last[other] else other]
            >= share * (sizes[which] + sizes[other]) - 1e-9
        )


def deduplicate(dialogues: Iterable[Dialogue], threshold: float = 0.7) -> DataSetResult:
    """Keeps the first of equal and of nearly equal dialogues (Jaccard of character 5-grams).

    A near copy whose numbers, entity values or intents differ is a minimal pair: flagged, kept.
    Turns that repeat, such as closings, are never touched.
    """
    kept, rejected = [], []
    first: dict[str, str] = {}
    for dialogue in dialogues:
        key = _dialogue_key(dialogue)
        if key in first:
            rejected.append(_copy(dialogue, first[key], "the same words"))
        else:
            first[key] = dialogue.id
            kept.append(dialogue)
    kept, near, flags = _drop_near(kept, threshold)
    return kept, rejected + near, flags


def _drop_near(dialogues: list[Dialogue], threshold: float) -> DataSetResult:
    index = NearIndex([_dialogue_text(dialogue) for dialogue in dialogues], threshold)
    kept, rejected, flags = [], [], []
    for number, dialogue in enumerate(dialogues):
        hit = index.nearest(number)
        if hit and not _differ(dialogue, dialogues[hit[0]]):
            equal = dialogues[hit[0]].id
            rejected.append(_copy(dialogue, equal, f"nearly the same words ({hit[1]:.2f})"))
            continue
        if hit:
            reason = f"like {dialogues[hit[0]].id!r} ({hit[1]:.2f}), but values or intents differ"
            flags.append(Change("deduplicate", dialogue.id, None, reason, None, None))
        index.add(number)
        kept.append(dialogue)
    return kept, rejected, flags


def _copy(dialogue: Dialogue, equal: str, how: str) -> Rejected:
    return Rejected(dialogue.id, "deduplicate", f"{how} as {equal!r}", equal, dialogue)


def _differ(one: Dialogue, other: Dialogue) -> bool:
    """Whether near copies are a minimal pair: each has a value or label that the other lacks.

    One that only says more than the other, such as a closing, is a copy.
    """
    facts, others = _facts(one), _facts(other)
    return bool(facts - others and others - facts)


def _facts(dialogue: Dialogue) -> set[Any]:
    """Numbers said, entity values and intents."""
    values = {(e.slot, e.value) for m in dialogue.messages for e in m.entities}
    intents = {("", m.intent) for m in dialogue.messages if m.intent}
    return values | intents | set(re.findall(r"\d+", _dialogue_text(dialogue)))


def remove_leaks(
    train: Iterable[Dialogue], held_out: Iterable[Dialogue], threshold: float = 0.8
) -> tuple[list[Dialogue], list[Rejected]]:
    """Takes out of `train` what stands in `held_out`: its family, its words, or nearly so."""
    train, held_out = list(train), list(held_out)
    families = {dialogue.family_id: dialogue.id for dialogue in held_out if dialogue.family_id}
    index = NearIndex([_dialogue_text(d) for d in [*held_out, *train]], threshold)
    for number in range(len(held_out)):
        index.add(number)
    kept, rejected = [], []
    for number, dialogue in enumerate(train, start=len(held_out)):
        hit = index.nearest(number)
        same = families.get(dialogue.family_id or "")
        equal = same or (held_out[hit[0]].id if hit else None)
        reason = "family of" if same else f"words ({hit[1]:.2f}) of" if hit else ""
        if equal is None:
            kept.append(dialogue)
        else:
            why = f"shares the {reason} the held-out {equal!r}"
            rejected.append(Rejected(dialogue.id, "remove_leaks", why, equal, dialogue))
    return kept, rejected


# --- find_swapped_roles, find_cut_replies: what only the whole data set shows ----------------

FINAL_MARK = re.compile(r"[^\w\s,][\s]*$")


def find_swapped_roles(
    dialogues: Iterable[Dialogue], margin: float = 5.0, clear: float = 0.9
) -> DataSetResult:
    """Sets aside dialogues whose agent talks like the customers and the other way round.

    A naive Bayes model of both roles' words and word pairs, learned from the same dialogues
    (each message left out of its own judgement), must favour the swap by e to the `margin`.
    Only where the share `clear` of all dialogues is as sure of the roles as they stand:
    elsewhere both sides talk alike and it means nothing.
    """
    dialogues = list(dialogues)
    judged = role_odds(dialogues)
    if sum(odds > margin for odds in judged) < clear * len(dialogues):
        return dialogues, [], []
    kept, rejected = [], []
    for dialogue, odds in zip(dialogues, judged, strict=True):
        if odds < -margin:
            reason = f"the roles are swapped (log odds {-odds:.0f})"
            rejected.append(Rejected(dialogue.id, "find_swapped_roles", reason, None, dialogue))
        else:
            kept.append(dialogue)
    return kept, rejected, []


def role_odds(dialogues: Sequence[Dialogue], at_least: int = 5) -> list[float]:
    """For each dialogue the log odds that its roles are as they stand rather than swapped."""
    sides = ("user", "assistant")
    spoken = [
        [(m.role, _word_features(m.content)) for m in dialogue.messages if m.role in sides]
        for dialogue in dialogues
    ]
    counts = {side: Counter[str]() for side in sides}
    turns = Counter(side for messages in spoken for side, _ in messages)
    for messages in spoken:
        for side, features in messages:
            counts[side].update(features)

    def odds(side: str, feature: str) -> float:
        other = sides[side == "user"]
        own, their = counts[side][feature] - 1, counts[other][feature]
        if own + their < at_least:
            return 0.0
        return math.log((own + 0.5) / (turns[side] + 1) * (turns[other] + 1) / (their + 0.5))

    return [
        sum(odds(side, feature) for side, features in messages for feature in features)
        for messages in spoken
    ]


def _word_features(text: str) -> set[str]:
    words = ["<", *normalised(text).split(), ">"]
    return {*words[1:-1], *(f"{one} {two}" for one, two in zip(words, words[1:], strict=False))}


def find_cut_replies(dialogues: Iterable[Dialogue], habit: float = 0.98) -> DataSetResult:
    """Sets aside dialogues with a reply that breaks off: it ends without any final mark.

    Only where at least the share `habit` of all replies has one: elsewhere it means nothing.
    """
    dialogues = list(dialogues)
    cut = [
        [n for n, m in enumerate(d.messages) if m.role == "assistant" and _breaks_off(m.content)]
        for d in dialogues
    ]
    replies = sum(m.role == "assistant" for d in dialogues for m in d.messages)
    if sum(map(len, cut)) > (1 - habit) * replies:
        return dialogues, [], []
    kept = [dialogue for dialogue, numbers in zip(dialogues, cut, strict=True) if not numbers]
    rejected = [
        Rejected(d.id, "find_cut_replies", f"message {numbers[0]} breaks off", None, d)
        for d, numbers in zip(dialogues, cut, strict=True)
        if numbers
    ]
    return kept, rejected, []


def _breaks_off(text: str) -> bool:
    return FINAL_MARK.search(text) is None


# --- the whole --------------------------------------------------------------------------------

STEPS = (
    "repair_text",
    "drop_empty_turns",
    "check_roles",
    "drop_loops",
    "redact_personal_data",
    "find_swapped_roles",
    "find_cut_replies",
    "deduplicate",
)


@dataclass(frozen=True, slots=True)
class CleaningConfig:
    """Which steps run (in the order of `STEPS`) and with what settings.

    `allow`: contacts that are no personal data, such as the shop's own hotline.
    `duplicate_threshold`: Jaccard index of 5-grams from which two dialogues are near copies.
    """

    steps: tuple[str, ...] = STEPS
    loop_times: int = 4
    allow: tuple[str, ...] = ()
    duplicate_threshold: float = 0.7

    def __post_init__(self) -> None:
        unknown = sorted(set(self.steps) - set(STEPS))
        if unknown:
            raise ValueError(f"unknown cleaning steps {unknown}; known are {', '.join(STEPS)}")

    def dialogue_steps(self) -> list[Step]:
        """The steps that look at one dialogue at a time, ready to call."""
        ready: dict[str, Step] = {
            "repair_text": repair_text,
            "drop_empty_turns": drop_empty_turns,
            "check_roles": check_roles,
            "drop_loops": lambda dialogue: drop_loops(dialogue, self.loop_times),
            "redact_personal_data": lambda dialogue: redact_personal_data(dialogue, self.allow),
        }
        return [ready[name] for name in STEPS if name in ready and name in self.steps]

    def data_set_steps(self) -> list[Callable[[list[Dialogue]], DataSetResult]]:
        """The steps that look at all dialogues together, ready to call."""
        ready: dict[str, Callable[[list[Dialogue]], DataSetResult]] = {
            "find_swapped_roles": find_swapped_roles,
            "find_cut_replies": find_cut_replies,
            "deduplicate": lambda dialogues: deduplicate(dialogues, self.duplicate_threshold),
        }
        return [ready[name] for name in STEPS if name in ready and name in self.steps]


def config_for(source: str) -> CleaningConfig:
    """The default settings; for our own shop with its public contacts allowed."""
    if source != "shop":
        return CleaningConfig()
    from course_lib.world.catalogue import load_catalogue

    policies = load_catalogue().policies
    return CleaningConfig(allow=(policies["hotline"], policies["email"]))


@dataclass(slots=True)
class CleaningReport:
    """Where every dialogue went: `read == len(kept) + len(rejected)`."""

    kept: list[Dialogue] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    read: int = 0

    @property
    def altered(self) -> set[str]:
        """Ids of kept dialogues whose text or annotation was changed."""
        changed = {c.dialogue_id for c in self.changes if not c.is_flag}
        return changed & {dialogue.id for dialogue in self.kept}

    @property
    def counts(self) -> dict[str, int]:
        """read, kept, rejected, altered, flags, and the rejections of each step."""
        by_step = Counter(f"rejected by {rejected.step}" for rejected in self.rejected)
        return {
            "read": self.read,
            "kept": len(self.kept),
            "rejected": len(self.rejected),
            "altered": len(self.altered),
            "flags": sum(change.is_flag for change in self.changes),
        } | dict(sorted(by_step.items()))

    def table(self) -> str:
        """The counts and, for each step, its reasons with one example, as readable text."""
        lines = [f"{name:<34}{count:>7,}" for name, count in self.counts.items()]
        kept = {dialogue.id for dialogue in self.kept}
        groups: dict[tuple[str, str], list[str]] = defaultdict(list)
        for change in self.changes:
            if change.dialogue_id in kept:
                groups[change.step, _kind(change.reason)].append(change.dialogue_id)
        for rejected in self.rejected:
            groups[rejected.step, f"{_kind(rejected.reason)} (set aside)"].append(
                str(rejected.dialogue_id or f"line {rejected.line}")
            )
        lines += ["", f"{'step':<22}{'reason':<58}{'times':>6}  example"]
        for (step, reason), names in sorted(groups.items()):
            lines.append(f"{step:<22}{reason[:57]:<58}{len(names):>6,}  {names[0]}")
        return "\n".join(lines)


def _kind(reason: str) -> str:
    """A reason without what differs from one dialogue to the next."""
    return re.sub(r"'[^']*'|\"[^\"]*\"", "…", re.sub(r"0x[0-9a-f]+|\d+(?:\.\d+)?", "…", reason))


def clean(
    dialogues: Iterable[Dialogue],
    config: CleaningConfig | None = None,
    unreadable: list[Reject] | None = None,
) -> CleaningReport:
    """Runs the steps over all dialogues and accounts for each.

    `unreadable`: the list that the reader of `dialogues` fills; its lines count as rejected.
    """
    config = config or CleaningConfig()
    steps, report = config.dialogue_steps(), CleaningReport()
    for dialogue in dialogues:
        report.read += 1
        cleaned, changes = _run_steps(dialogue, steps)
        report.changes += changes
        if cleaned is None:
            why = changes[-1]
            report.rejected.append(Rejected(dialogue.id, why.step, why.reason, None, dialogue))
        else:
            report.kept.append(cleaned)
    for whole_step in config.data_set_steps():
        report.kept, rejected, flags = whole_step(report.kept)
        report.rejected += rejected
        report.changes += flags
    _count_unreadable(report, unreadable or [])
    return report


def _run_steps(dialogue: Dialogue, steps: Iterable[Step]) -> StepResult:
    changes: list[Change] = []
    current: Dialogue | None = dialogue
    for step in steps:
        if current is not None:
            current, made = step(current)
            changes += made
    return current, changes


def _count_unreadable(report: CleaningReport, unreadable: Iterable[Reject]) -> None:
    for bad in unreadable:
        report.read += 1
        report.rejected.append(
            Rejected(bad.dialogue_id, "read", bad.reason, line=bad.line, text=bad.text)
        )
