"""Label sets read from annotated dialogues, and the messages that classifiers learn from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from course_lib.dialogue import Dialogue, Entity, Message


@dataclass(slots=True)
class LabelSets:
    """How often each intent, slot and act occurs; the commonest first in `names` and `table`."""

    intents: Counter[str] = field(default_factory=Counter)
    slots: Counter[str] = field(default_factory=Counter)
    acts: Counter[str] = field(default_factory=Counter)

    def add(self, message: Message) -> None:
        """Counts the labels of one message."""
        if message.intent:
            self.intents[message.intent] += 1
        self.slots.update(entity.slot for entity in message.entities)
        self.acts.update(str(act) for act, _ in message.acts)

    def names(self, kind: str) -> list[str]:
        """The labels of a kind ("intents", "slots" or "acts"), the commonest first."""
        return [label for label, _ in _by_count(getattr(self, kind))]

    def table(self, ends: int | None = None) -> str:
        """The three sets with counts as readable text, one label a line.

        With `ends` so many of the commonest and of the rarest stand for a long list.
        """
        lines = []
        for kind in ("intents", "slots", "acts"):
            counts: Counter[str] = getattr(self, kind)
            lines.append(f"{kind}: {len(counts)} labels, {counts.total():,} times")
            rows = [f"  {label:<22}{count:>8,}" for label, count in _by_count(counts)]
            if ends and len(rows) > 4 * ends:
                rows = [*rows[:ends], "  …", *rows[-ends:]]
            lines += rows
        return "\n".join(lines)


def _by_count(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def label_sets(dialogues: Iterable[Dialogue], roles: tuple[str, ...] | None = None) -> LabelSets:
    """Counts the labels of all messages, or of those by `roles`; reads lazily."""
    sets = LabelSets()
    for message in (message for dialogue in dialogues for message in dialogue.messages):
        if roles is None or message.role in roles:
            sets.add(message)
    return sets


def unknown_labels(dialogues: Iterable[Dialogue], known: LabelSets) -> list[str]:
    """What a model trained on `known` cannot say: one line per unseen label and its place."""
    found = []
    for dialogue in dialogues:
        for number, message in enumerate(dialogue.messages):
            here = label_sets([Dialogue(dialogue.id, [message])])
            for kind in ("intents", "slots", "acts"):
                unseen = sorted(set(getattr(here, kind)) - set(getattr(known, kind)))
                found += [f"dialogue {dialogue.id!r}, message {number}: {u!r}" for u in unseen]
    return found


@dataclass(frozen=True, slots=True)
class Example:
    """A labelled message: its text, intent, spans, and the messages before it."""

    dialogue_id: str
    turn: int
    text: str
    intent: str | None
    entities: tuple[Entity, ...]
    history: tuple[Message, ...]

    def text_after(self, turns: int) -> str:
        """The text with the last `turns` messages before it, one a line, oldest first."""
        before = self.history[len(self.history) - turns :] if turns else ()
        return "\n".join([*(message.content for message in before), self.text])


def examples(
    dialogues: Iterable[Dialogue],
    roles: tuple[str, ...] = ("user",),
    with_intent: bool = True,
) -> Iterator[Example]:
    """Yields the messages of `roles`; with `with_intent` only those that have an intent."""
    for dialogue in dialogues:
        for turn, message in enumerate(dialogue.messages):
            if message.role in roles and (message.intent or not with_intent):
                yield Example(
                    dialogue.id,
                    turn,
                    message.content,
                    message.intent,
                    tuple(message.entities),
                    tuple(dialogue.messages[:turn]),
                )


def intent_pairs(found: Iterable[Example]) -> list[tuple[str, str]]:
    """(text, intent) of every example that has an intent: what classifiers learn from."""
    return [(example.text, example.intent) for example in found if example.intent]


def entity_pairs(found: Iterable[Example]) -> list[tuple[str, tuple[Entity, ...]]]:
    """(text, spans) of every example: what gazetteers and taggers learn from."""
    return [(example.text, example.entities) for example in found]


class Finder(Protocol):
    """What finds spans in texts: a gazetteer as well as a tagger."""

    def predict(self, texts: Iterable[str]) -> Sequence[Sequence[Entity]]: ...


def with_spans(
    dialogues: Sequence[Dialogue], finder: Finder, roles: tuple[str, ...] = ("user",)
) -> list[Dialogue]:
    """Copies of the dialogues in which the spans of `roles` are those that `finder` finds."""
    texts = [m.content for d in dialogues for m in d.messages if m.role in roles]
    found = iter(finder.predict(texts))
    return [
        replace(
            dialogue,
            messages=[
                replace(m, entities=list(next(found))) if m.role in roles else m
                for m in dialogue.messages
            ],
        )
        for dialogue in dialogues
    ]
