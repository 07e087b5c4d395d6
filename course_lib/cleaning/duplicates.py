"""Copies and near copies of dialogues, and leaks of held-out ones."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol

from course_lib.cleaning.changes import Change, DataSetResult, Rejected, normalised
from course_lib.dialogue import Dialogue

NEAR = ("exact", "lsh")  # the ways to find near copies


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered of a dialogue: its id, each message's intent, and the facts in it.

    A fact is (kind, slot, value): an entity's value, an intent, or a number that is said.
    """

    id: str
    intents: tuple[str | None, ...]
    facts: frozenset[tuple[str, str, str]] = frozenset()


class Index(Protocol):
    """Texts by number: those that were added are compared with a new one."""

    def add(self, which: int) -> None: ...

    def nearest(self, which: int) -> tuple[int, float] | None: ...


def _key(dialogue: Dialogue) -> bytes:
    """16 bytes that dialogues of the same words by the same speakers share."""
    said = "\n".join(f"{m.role}: {normalised(m.content)}" for m in dialogue.messages)
    return blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def dialogue_text(dialogue: Dialogue) -> str:
    """All that is said, normalised, one message a line: what near copies are compared by."""
    return "\n".join(normalised(message.content) for message in dialogue.messages)


def shingles(text: str, size: int = 5) -> set[str]:
    """The set of character n-grams; a shorter text is its own one."""
    return {text[i : i + size] for i in range(max(1, len(text) - size + 1))}


def jaccard(one: set[Any], other: set[Any]) -> float:
    """Shared elements over all elements, 0 to 1; two empty sets are equal."""
    shared = len(one & other)
    union = len(one) + len(other) - shared
    return shared / union if union else 1.0


def checked_threshold(threshold: float) -> float:
    """The threshold; raises ValueError where it is none."""
    if not 0 < threshold <= 1:
        raise ValueError(f"the threshold must lie above 0 and at most at 1, not {threshold}")
    return threshold


class NearIndex:
    """Finds the earlier text most like a new one, exactly, without comparing all pairs.

    Two sets with a Jaccard index of at least t share an element among the first
    n - ceil(t n) + 1 of each, in any common order (Bayardo et al. 2007). With the rarest first,
    few texts share one; how many they share there bounds what they can share in all.
    """

    def __init__(self, texts: Sequence[str], threshold: float, size: int = 5) -> None:
        self.threshold = checked_threshold(threshold)
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


def near_index(texts: Sequence[str], threshold: float, near: str = "exact") -> Index:
    """An empty index over these texts: the "exact" one, or "lsh" where that takes too long."""
    if near == "exact":
        return NearIndex(texts, threshold)
    from course_lib.cleaning.lsh import LshIndex

    return LshIndex(texts, threshold)


def deduplicate(
    dialogues: Iterable[Dialogue], threshold: float = 0.6, near: str = "exact"
) -> DataSetResult:
    """Keeps the first of equal and of nearly equal dialogues (Jaccard of character 5-grams).

    A near copy whose numbers, entity values or intents differ is a minimal pair: flagged, kept.
    Turns that repeat, such as closings, are never touched. `near`: "exact" finds all near copies,
    "lsh" most of them (see `course_lib.cleaning.lsh`).
    """
    first: dict[bytes, Known] = {}
    unique, copies = drop_exact(dialogues, first.setdefault)
    index = near_index([dialogue_text(dialogue) for dialogue in unique], threshold, near)

    def nearest(number: int) -> tuple[Known, float] | None:
        hit = index.nearest(number)
        return (known_of(unique[hit[0]]), hit[1]) if hit else None

    kept, near_copies, flags = drop_near(unique, nearest, index.add)
    return kept, copies + near_copies, flags


def drop_exact(
    dialogues: Iterable[Dialogue], remember: Callable[[bytes, Known], Known]
) -> tuple[list[Dialogue], list[Rejected]]:
    """(what is kept, copies); `remember` returns what was first remembered under that key."""
    kept, rejected = [], []
    for dialogue in dialogues:
        known = Known(dialogue.id, _intents(dialogue))
        same = remember(_key(dialogue), known)
        if same is known or same.intents != known.intents:
            kept.append(dialogue)  # other labels: the near comparison flags it
        else:
            rejected.append(_copy(dialogue, same.id, "the same words"))
    return kept, rejected


def drop_near(
    dialogues: Sequence[Dialogue],
    nearest: Callable[[int], tuple[Known, float] | None],
    add: Callable[[int], None],
) -> DataSetResult:
    """What is kept, near copies of what `nearest` knows, and flags; what is kept is added."""
    kept, rejected, flags = [], [], []
    for number, dialogue in enumerate(dialogues):
        hit = nearest(number)
        if hit and not _differ(known_of(dialogue), hit[0]):
            rejected.append(_copy(dialogue, hit[0].id, f"nearly the same words ({hit[1]:.2f})"))
            continue
        if hit:
            reason = f"like {hit[0].id!r} ({hit[1]:.2f}), but values or intents differ"
            flags.append(Change("deduplicate", dialogue.id, None, reason, None, None))
        add(number)
        kept.append(dialogue)
    return kept, rejected, flags


def known_of(dialogue: Dialogue) -> Known:
    """What later dialogues are held against."""
    values = {("entity", e.slot, e.value) for m in dialogue.messages for e in m.entities}
    intents = _intents(dialogue)
    named = {("intent", "", intent) for intent in intents if intent}
    numbers = {("number", "", n) for n in re.findall(r"\d+", dialogue_text(dialogue))}
    return Known(dialogue.id, intents, frozenset(values | named | numbers))


def _intents(dialogue: Dialogue) -> tuple[str | None, ...]:
    return tuple(message.intent for message in dialogue.messages)


def _copy(dialogue: Dialogue, equal: str, how: str) -> Rejected:
    return Rejected(dialogue.id, "deduplicate", f"{how} as {equal!r}", equal, dialogue)


def _differ(one: Known, other: Known) -> bool:
    """Whether near copies are a minimal pair: each has a value or label that the other lacks.

    One that only says more than the other, such as a closing, is a copy.
    """
    return bool(one.facts - other.facts and other.facts - one.facts)


def remove_leaks(
    train: Iterable[Dialogue], held_out: Iterable[Dialogue], threshold: float = 0.8
) -> tuple[list[Dialogue], list[Rejected]]:
    """Takes out of `train` what stands in `held_out`: its family, its words, or nearly so."""
    train, held_out = list(train), list(held_out)
    families = {dialogue.family_id: dialogue.id for dialogue in held_out if dialogue.family_id}
    index = NearIndex([dialogue_text(d) for d in [*held_out, *train]], threshold)
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
