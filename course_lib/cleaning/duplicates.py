"""Copies and near copies of dialogues, and leaks of held-out ones."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from typing import Any, Protocol, TypeVar

from course_lib.cleaning.changes import Change, DataSetResult, Rejected, normalised
from course_lib.dialogue import Dialogue

NEAR = ("auto", "exact", "lsh")  # the ways to find near copies
EXACT_UP_TO = 1_000  # dialogues; above it "auto" takes LSH, as the exact index is quadratic
# A question with its stock answer is soon like another's: a shorter dialogue must be nearer.
SHORT, SHORT_THRESHOLD = 4, 0.8  # messages; Jaccard index
COMMON = 8_192  # n-grams that many texts hold: kept as bits, which are compared at once

Item = TypeVar("Item")


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

    def near(self, which: int) -> list[tuple[int, float]]: ...


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
        sets = [{rank[gram] for gram in one} for one in grams]
        self._rare, self._common = _halves(sets, len(count) - COMMON)
        self._prefixes = [self._prefix(one) for one in sets]
        self._last = [prefix[-1] for prefix in self._prefixes]
        self._sizes = [len(one) for one in sets]
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
        return next(iter(self.near(which)), None)

    def near(self, which: int) -> list[tuple[int, float]]:
        """(number, similarity) of all added texts at or above the threshold, the nearest first."""
        alike = ((other, self._jaccard(which, other)) for other in self._candidates(which))
        return best_first(alike, self.threshold)

    def _jaccard(self, one: int, other: int) -> float:
        shared = (self._common[one] & self._common[other]).bit_count()
        shared += len(self._rare[one] & self._rare[other])
        return shared / (self._sizes[one] + self._sizes[other] - shared)

    def _candidates(self, which: int) -> list[int]:
        """The added texts whose shared prefix can still grow to the threshold."""
        prefix, last, beyond, sizes = self._prefixes[which], self._last, self._beyond, self._sizes
        share = self.threshold / (1 + self.threshold)
        held = [self._holders[rank] for rank in prefix if rank in self._holders]
        end, own, rest = last[which], share * sizes[which] - 1e-9, beyond[which]
        return sorted(
            other
            for other, seen in Counter(chain.from_iterable(held)).items()
            # whichever prefix ends first, all further shared elements lie beyond it
            if seen + (rest if end < last[other] else beyond[other]) >= own + share * sizes[other]
        )


def _halves(sets: Iterable[set[int]], first: int) -> tuple[list[set[int]], list[int]]:
    """Of each set of ranks those below `first`, and the others as the bits of a number."""
    rare, common = [], []
    for ranks in sets:
        few = {rank for rank in ranks if rank < first}
        bits = bytearray(COMMON // 8)
        for rank in ranks - few:
            place = rank - first
            bits[place >> 3] |= 1 << (place & 7)
        rare.append(few)
        common.append(int.from_bytes(bits, "little"))
    return rare, common


def best_first(alike: Iterable[tuple[Item, float]], threshold: float) -> list[tuple[Item, float]]:
    """Those at or above the threshold by falling similarity; equal ones stay in order."""
    found = [hit for hit in alike if hit[1] >= threshold]
    return sorted(found, key=lambda hit: -hit[1])


def near_index(texts: Sequence[str], threshold: float, near: str = "auto") -> Index:
    """An empty index over these texts: "exact", "lsh", or "auto", which goes by their number."""
    if near == "exact" or (near == "auto" and len(texts) <= EXACT_UP_TO):
        return NearIndex(texts, threshold)
    from course_lib.cleaning.lsh import LshIndex

    return LshIndex(texts, threshold)


def deduplicate(
    dialogues: Iterable[Dialogue], threshold: float = 0.6, near: str = "auto"
) -> DataSetResult:
    """Keeps the first of equal and of nearly equal dialogues (Jaccard of character 5-grams).

    Below `SHORT` messages they must be as near as `SHORT_THRESHOLD`. A near copy with a number or
    entity value that the first lacks, or where the intents differ, is a minimal pair: flagged,
    kept. Turns that repeat, such as closings, are never touched. `near`: "exact" finds all near
    copies, "lsh" most of them (see `course_lib.cleaning.lsh`); "auto" takes LSH for many dialogues.
    """
    first: dict[bytes, Known] = {}
    unique, copies = drop_exact(dialogues, first.setdefault)
    index = near_index([dialogue_text(dialogue) for dialogue in unique], threshold, near)

    def likes(number: int) -> list[tuple[Known, float]]:
        return [(known_of(unique[other]), alike) for other, alike in index.near(number)]

    kept, near_copies, flags = drop_near(unique, likes, index.add)
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
            rejected.append(_copy(dialogue, same.id, 1.0))
    return kept, rejected


def drop_near(
    dialogues: Sequence[Dialogue],
    likes: Callable[[int], list[tuple[Known, float]]],
    add: Callable[[int], None],
) -> DataSetResult:
    """What is kept, near copies of what `likes` knows, and flags; what is kept is added."""
    kept, rejected, flags = [], [], []
    for number, dialogue in enumerate(dialogues):
        known, hits = known_of(dialogue), likes(number)
        hits = [(other, alike) for other, alike in hits if alike >= _needed(known, other)]
        first = next(((o, alike) for o, alike in hits if not _differ(known, o)), None)
        if first:
            rejected.append(_copy(dialogue, first[0].id, first[1]))
            continue
        if hits:
            reason = f"like {hits[0][0].id!r} ({hits[0][1]:.2f}), but values or intents differ"
            flags.append(Change("deduplicate", dialogue.id, None, reason, None, None))
        add(number)
        kept.append(dialogue)
    return kept, rejected, flags


def _needed(one: Known, other: Known) -> float:
    """The similarity from which two dialogues are near copies, on top of the index's own."""
    return SHORT_THRESHOLD if min(len(one.intents), len(other.intents)) < SHORT else 0.0


def known_of(dialogue: Dialogue) -> Known:
    """What later dialogues are held against."""
    values = {("entity", e.slot, e.value) for m in dialogue.messages for e in m.entities}
    intents = _intents(dialogue)
    named = {("intent", "", intent) for intent in intents if intent}
    numbers = {("number", "", n) for n in re.findall(r"\d+", dialogue_text(dialogue))}
    return Known(dialogue.id, intents, frozenset(values | named | numbers))


def _intents(dialogue: Dialogue) -> tuple[str | None, ...]:
    return tuple(message.intent for message in dialogue.messages)


def _copy(dialogue: Dialogue, equal: str, similarity: float) -> Rejected:
    how = "the same words" if similarity == 1 else f"nearly the same words ({similarity:.2f})"
    reason = f"{how} as {equal!r}"
    return Rejected(dialogue.id, "deduplicate", reason, equal, dialogue, similarity=similarity)


def _differ(new: Known, old: Known) -> bool:
    """Whether near copies are a minimal pair: the new one has values, or each its own intents.

    One that only says more than the other, such as a closing, is a copy.
    """
    pairs = zip(new.intents, old.intents, strict=False)
    if len(new.intents) == len(old.intents) and any(a and b and a != b for a, b in pairs):
        return True
    more, less = new.facts - old.facts, old.facts - new.facts
    return any(kind != "intent" for kind, _, _ in more) or bool(more and less)


def remove_leaks(
    train: Iterable[Dialogue], held_out: Iterable[Dialogue], threshold: float = 0.7
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
