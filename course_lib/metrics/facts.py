"""Exact facts: does a reply state the value that it should, and no other value of its kind?

The gold stands in the dialogues: an assistant turn that informs of a fact carries the act
["inform", slot] and an entity with the value. The question is put with the gold history before
it, so each answer is judged on its own.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from course_lib.dialogue import Dialogue, Message
from course_lib.generation import generate


@dataclass(frozen=True, slots=True)
class FactQuestion:
    """A history that asks for a fact, the values the reply must state, and their rivals.

    `required` holds (slot, value) pairs; `rivals` the other values of those slots.
    """

    dialogue_id: str
    history: tuple[dict[str, Any], ...]
    required: tuple[tuple[str, str], ...]
    rivals: frozenset[str]


def _informed(message: Message) -> tuple[tuple[str, str], ...]:
    slots = {slot for act, slot in message.acts if act == "inform"}
    pairs = [(e.slot, e.text) for e in message.entities if e.slot in slots]
    return tuple(dict.fromkeys(pairs))


def fact_questions(
    dialogues: Iterable[Dialogue], values: dict[str, set[str]] | None = None
) -> list[FactQuestion]:
    """One question for each assistant turn that informs of a fact.

    `values` gives every value of each slot; by default those that the dialogues themselves state.
    """
    asked = [
        (dialogue, turn, pairs)
        for dialogue in dialogues
        for turn, message in enumerate(dialogue.messages)
        if message.role == "assistant" and (pairs := _informed(message))
    ]
    known = values if values is not None else _values(pairs for _, _, pairs in asked)
    return [_question(dialogue, turn, pairs, known) for dialogue, turn, pairs in asked]


def _values(all_pairs: Iterable[tuple[tuple[str, str], ...]]) -> dict[str, set[str]]:
    known: dict[str, set[str]] = defaultdict(set)
    for pairs in all_pairs:
        for slot, value in pairs:
            known[slot].add(value)
    return known


def _question(
    dialogue: Dialogue,
    turn: int,
    pairs: tuple[tuple[str, str], ...],
    known: dict[str, set[str]],
) -> FactQuestion:
    history = tuple(dialogue.to_messages()[:turn])
    said = {_plain(value) for _, value in pairs}
    said |= {_plain(message["content"]) for message in history}
    rivals = {_plain(value) for slot, _ in pairs for value in known.get(slot, ())}
    # a value that is part of the right one, or that the customer brought up, is no rival
    wrong = {rival for rival in rivals if not any(_contains(text, rival) for text in said)}
    return FactQuestion(dialogue.id, history, pairs, frozenset(wrong))


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _contains(text: str, value: str) -> bool:
    """Whether `value` stands in `text` as whole words (2 years is not in 12 years)."""
    return re.search(rf"(?<![\w.,]){re.escape(value)}(?![\w]|[.,]\d)", text) is not None


def states_fact(reply: str, question: FactQuestion) -> bool:
    """Whether the reply states every required value and none of the rivals."""
    return states_values(reply, [value for _, value in question.required], question.rivals)


def states_values(reply: str, required: Iterable[str], rivals: Iterable[str]) -> bool:
    """Whether a text holds all required values and no rival, as whole words whatever the case."""
    text = _plain(reply)
    right = all(_contains(text, _plain(value)) for value in required)
    return right and not any(_contains(text, _plain(rival)) for rival in rivals)


def exact_facts(
    model: Any,
    tokenizer: Any,
    questions: Sequence[FactQuestion],
    max_new_tokens: int = 64,
    on_batch: Callable[[int], None] | None = None,
) -> tuple[float, list[str]]:
    """Share of questions whose greedy reply states the fact, and the replies themselves."""
    if not questions:
        raise ValueError("no fact questions: the dialogues have no ['inform', slot] with a value")
    histories = [question.history for question in questions]
    replies = generate(model, tokenizer, histories, max_new_tokens, on_batch=on_batch)
    right = [states_fact(r, q) for r, q in zip(replies, questions, strict=True)]
    return sum(right) / len(right), replies
