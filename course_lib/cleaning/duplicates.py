"""Copies and near copies of dialogues, and leaks of held-out ones."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from course_lib.cleaning.changes import Change, DataSetResult, Rejected, normalised
from course_lib.dialogue import Dialogue


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


def deduplicate(dialogues: Iterable[Dialogue], threshold: float = 0.6) -> DataSetResult:
    """Keeps the first of equal and of nearly equal dialogues (Jaccard of character 5-grams).

    A near copy whose numbers, entity values or intents differ is a minimal pair: flagged, kept.
    Turns that repeat, such as closings, are never touched.
    """
    kept, rejected = [], []
    first: dict[str, Dialogue] = {}
    for dialogue in dialogues:
        same = first.setdefault(_dialogue_key(dialogue), dialogue)
        if same is dialogue or _intents(same) != _intents(dialogue):
            kept.append(dialogue)  # other labels: the near comparison below flags it
        else:
            rejected.append(_copy(dialogue, same.id, "the same words"))
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


def _intents(dialogue: Dialogue) -> list[str | None]:
    return [message.intent for message in dialogue.messages]


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
