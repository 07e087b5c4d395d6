"""Turns one by one: empty ones, impossible roles, replies that loop."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

from course_lib.cleaning.changes import Change, StepResult, normalised, set_aside
from course_lib.dialogue import Dialogue, Message


def drop_empty_turns(dialogue: Dialogue) -> StepResult:
    """Takes out turns without text; sets aside a dialogue that lost a reply, or all its text."""
    step, messages = "drop_empty_turns", dialogue.messages
    empty = [number for number, message in enumerate(messages) if not message.content.strip()]
    if not empty:
        return dialogue, []
    if len(empty) == len(messages):
        return None, [set_aside(step, dialogue, "no turn has any text")]
    for number in empty:
        if _is_lost_reply(messages, number):
            return None, [
                set_aside(step, dialogue, f"the reply in message {number} is lost", number)
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


def merge_split_turns(dialogue: Dialogue) -> StepResult:
    """Joins messages that one customer sent in a row; spans and acts move along.

    What an agent says in two messages stays two: a customer may have waited in between.
    """
    messages: list[Message] = []
    changes = []
    for number, message in enumerate(dialogue.messages):
        if messages and message.role == "user" == messages[-1].role:
            before = messages[-1].content
            messages[-1] = _joined(messages[-1], message)
            reason = "the customer's message goes on in the next one"
            changes.append(
                Change(
                    "merge_split_turns", dialogue.id, number, reason, before, messages[-1].content
                )
            )
        else:
            messages.append(message)
    return (replace(dialogue, messages=messages), changes) if changes else (dialogue, [])


def _joined(first: Message, second: Message) -> Message:
    shift = len(first.content) + 1
    moved = [replace(e, start=e.start + shift, end=e.end + shift) for e in second.entities]
    return replace(
        first,
        content=f"{first.content} {second.content}",
        intent=first.intent or second.intent,
        entities=[*first.entities, *moved],
        acts=[*first.acts, *second.acts],
    )


def cut_open_end(dialogue: Dialogue) -> StepResult:
    """Cuts the customer's last words that nobody answers; there is no reply to learn there."""
    last = max((n for n, m in enumerate(dialogue.messages) if m.role == "assistant"), default=-1)
    tail = dialogue.messages[last + 1 :]
    if last < 0 or not any(message.role == "user" for message in tail):
        return dialogue, []
    reason = "nobody answers these last words"
    changes = [
        Change("cut_open_end", dialogue.id, last + 1 + n, reason, message.content, None)
        for n, message in enumerate(tail)
    ]
    return replace(dialogue, messages=dialogue.messages[: last + 1]), changes


def check_roles(dialogue: Dialogue) -> StepResult:
    """Sets aside what no conversation can be; an agent who opens and repeated speakers are fine."""
    fault = _impossible_roles([message.role for message in dialogue.messages])
    if fault:
        return None, [set_aside("check_roles", dialogue, fault)]
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
            return None, [set_aside("drop_loops", dialogue, reason, number)]
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
