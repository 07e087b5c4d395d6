"""Personal data: found by form and context, replaced by typed placeholders."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from course_lib.cleaning.accounts import find_cards, find_ibans
from course_lib.cleaning.addresses import find_addresses
from course_lib.cleaning.changes import (
    Change,
    StepResult,
    apply_edits,
    edit_message,
    with_messages,
)
from course_lib.cleaning.names import find_names
from course_lib.dialogue import Dialogue, Message

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
# Slots whose values are personal by themselves, wherever they are annotated.
NAME_SLOTS = frozenset(("name", "full_name", "customer_name"))
PERSONAL_SLOTS = NAME_SLOTS | {"email", "phone", "phone_number", "card_number", "iban"}
# A name or an address may as well be a restaurant's; only what is said around it tells.
IN_CONTEXT_ONLY = ("[NAME]", "[ADDRESS]")
OFFICE = re.compile(r"(?:help|info|support|service|contact|sales|orders?|returns|hello|no-?reply)@")


@dataclass(frozen=True, slots=True)
class PersonalItem:
    """Personal data found in a text: its place, its placeholder, and a key free of spelling."""

    start: int
    end: int
    placeholder: str
    key: str


def find_personal_data(text: str, asked: str = "") -> list[PersonalItem]:
    """Everything personal in a text, in order; `asked` is the turn before, as a hint for digits.

    E-mail addresses, telephone and card numbers, bank accounts, home addresses, full names. A bare
    row of digits counts as a telephone number only where the words say so: order numbers have ten
    digits too. Dates, prices and part numbers never do.
    """
    items = [_item(match, "[EMAIL]") for match in EMAIL.finditer(text)] if "@" in text else []
    if any(map(str.isdigit, text)):
        items += [_placed(text, span, "[IBAN]") for span in find_ibans(text)]
        items += [_placed(text, span, "[CARD]") for span in find_cards(text)]
        items += [_placed(text, span, "[ADDRESS]") for span in find_addresses(text)]
        items += [_item(m, "[PHONE]") for m in PHONE_LIKE.finditer(text) if _is_phone(m, asked)]
    items += [_placed(text, span, "[NAME]") for span in find_names(text, asked)]
    return _apart(items)


def _apart(items: Iterable[PersonalItem]) -> list[PersonalItem]:
    """In the order of the text; where two overlap, the one found first stays."""
    chosen: list[PersonalItem] = []
    for item in items:
        if all(item.end <= other.start or other.end <= item.start for other in chosen):
            chosen.append(item)
    return sorted(chosen, key=lambda item: item.start)


def _placed(text: str, span: tuple[int, int], placeholder: str) -> PersonalItem:
    key = re.sub(r"\W+", " ", text[slice(*span)]).casefold()
    return PersonalItem(*span, placeholder, key)


def _item(match: re.Match[str], placeholder: str) -> PersonalItem:
    return PersonalItem(match.start(), match.end(), placeholder, contact_key(match.group()))


def contact_key(contact: str) -> str:
    """One form for all spellings of an e-mail address or telephone number."""
    digits = re.sub(r"\D", "", contact)
    return contact.casefold() if "@" in contact or not digits else digits


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
    """Puts [EMAIL], [PHONE], [CARD], [IBAN], [ADDRESS] and [NAME] for what is the customer's own.

    The shop's contacts in `allow` stay. An agent's number is the customer's when the customer gave
    it or the words say so ("call you on ..."); any other is a public contact. A name or address
    that is annotated as the task's own stays. Spans move along, goal and entity values too.
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
    cleaned = with_messages(dialogue, changed)
    goal = _redacted_goal(cleaned.goal, allowed, given)
    if goal != cleaned.goal:
        before, after = (json.dumps(value, ensure_ascii=False) for value in (cleaned.goal, goal))
        reason = "personal data in the goal"
        changes.append(Change("redact_personal_data", dialogue.id, None, reason, before, after))
        cleaned = replace(cleaned, goal=goal)
    return cleaned, changes


def _personal_items(dialogue: Dialogue, number: int) -> list[PersonalItem]:
    """What is personal in a message; a name or address annotated as the task's own stays."""
    text = dialogue.messages[number].content
    entities = dialogue.messages[number].entities
    others = (m.content for m in reversed(dialogue.messages[:number]) if m.role == "assistant")
    asked = next(others, "") if dialogue.messages[number].role == "user" else ""
    task = [(e.start, e.end) for e in entities if e.slot not in PERSONAL_SLOTS]
    return [
        item
        for item in find_personal_data(text, asked)
        if item.placeholder not in IN_CONTEXT_ONLY
        or not any(start < item.end and item.start < end for start, end in task)
    ]


def _is_customers(text: str, item: PersonalItem) -> bool:
    if item.placeholder in IN_CONTEXT_ONLY:
        return False  # the agent's own, or the shop's
    if item.placeholder in ("[CARD]", "[IBAN]"):
        return True
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
    message, changes = edit_message(dialogue, number, edits, "redact_personal_data", reason)
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
            slots[name] = _placeholder_for(value)
    return goal | {"slots": slots}


def _placeholder_for(value: str) -> str:
    if "@" in value:
        return "[EMAIL]"
    return "[PHONE]" if any(map(str.isdigit, value)) else "[NAME]"


def _redacted_slot(name: str, value: Any, allowed: set[str]) -> Any:
    if not isinstance(value, str):
        return value
    if name in NAME_SLOTS:
        return "[NAME]"
    items = [item for item in find_personal_data(value, name) if item.key not in allowed]
    items = [item for item in items if item.placeholder not in IN_CONTEXT_ONLY]
    return apply_edits(value, [(item.start, item.end, item.placeholder) for item in items])
