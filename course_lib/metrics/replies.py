"""What replies look like by themselves: do they end, repeat themselves, vary, parse; how long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib.annotation.scores import Interval
from course_lib.generation import Reply
from course_lib.metrics.intervals import Groups, by_dialogue
from course_lib.metrics.score import Score, score_of, texts_of

NGrams = list[tuple[str, ...]]


def stop_rate(replies: Sequence[Reply]) -> Score:
    """Share of replies that ended by their end token, and not because the room ran out."""
    return score_of([float(reply.stopped) for reply in replies], "stop rate")


def lengths(replies: Sequence[str | Reply]) -> Score:
    """Mean length in words; of `Reply` objects in tokens."""
    tokens = [float(len(reply.tokens)) for reply in replies if isinstance(reply, Reply)]
    if tokens and len(tokens) == len(replies):
        return score_of(tokens, "length|tokens")
    return score_of([float(len(text.split())) for text in _texts(replies)], "length|words")


def repetition(replies: Sequence[str | Reply], n: int = 4) -> Score:
    """Share of a reply's n-grams that stood in it before; 0 for a reply of under n words.

    The share is of all replies' n-grams together. Source: Welleck et al. (2020), Neural text
    generation with unlikelihood training (seq-rep-n).
    """
    grams = [_n_grams(text, n) for text in _texts(replies)]
    again = [len(found) - len(set(found)) for found in grams]
    rows = np.asarray([(a, len(found)) for a, found in zip(again, grams, strict=True)], float)
    values = [a / len(found) if found else 0.0 for a, found in zip(again, grams, strict=True)]
    return score_of(values, f"repetition|{n}-grams", rows)


def parse_failures(replies: Sequence[str | Reply], parse: Callable[[str], Any]) -> Score:
    """Share of replies that `parse` refuses with a ValueError or answers with None."""
    return score_of([float(not _parses(text, parse)) for text in _texts(replies)], "parse failures")


def _parses(text: str, parse: Callable[[str], Any]) -> bool:
    try:
        return parse(text) is not None
    except ValueError:  # json.JSONDecodeError is one
        return False


@dataclass(frozen=True, slots=True)
class Distinct:
    """Different n-grams over all n-grams of all replies; longer texts score lower by nature."""

    value: float
    signature: str
    grams: tuple[NGrams, ...]

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.signature}]"

    def interval(self, groups: Groups | None = None, resamples: int = 0, seed: int = 0) -> Interval:
        """The figure with its interval by the jackknife over dialogues.

        A bootstrap would draw dialogues twice, whose n-grams then count as repeated, and fall too
        low. `resamples` and `seed` are there for the likeness to `Score.interval` and do nothing.
        Source: Efron and Tibshirani (1993), An introduction to the bootstrap, chapter 11.
        """
        without = self._without_each(groups)
        size = len(without)
        spread = np.sqrt((size - 1) / size * np.sum((without - without.mean()) ** 2))
        return Interval(
            self.value, max(0.0, self.value - 1.96 * spread), min(1.0, self.value + 1.96 * spread)
        )

    def _without_each(self, groups: Groups | None) -> np.ndarray:
        """(D,) the figure with one dialogue left out."""
        names = list(range(len(self.grams))) if groups is None else list(groups)
        totals = by_dialogue(np.asarray([len(found) for found in self.grams]), names)
        owners: dict[tuple[str, ...], set[Any]] = {}
        for name, found in zip(names, self.grams, strict=True):
            for gram in found:
                owners.setdefault(gram, set()).add(name)
        own = Counter(next(iter(who)) for who in owners.values() if len(who) == 1)
        alone = np.asarray([own[name] for name in dict.fromkeys(names)])
        return (len(owners) - alone) / np.maximum(totals.sum() - totals, 1)


def distinct_n(replies: Sequence[str | Reply], n: int = 2) -> Distinct:
    """Distinct-n of all replies together.

    Compare only sets of as many replies to the same histories. Source: Li et al. (2016), A
    diversity-promoting objective function for neural conversation models.
    """
    grams = tuple(_n_grams(text, n) for text in _texts(replies))
    count = sum(len(found) for found in grams)
    different = len({gram for found in grams for gram in found})
    return Distinct(different / max(count, 1), f"distinct|{n}-grams", grams)


def _n_grams(text: str, n: int) -> NGrams:
    if n < 1:
        raise ValueError(f"n={n}: n-grams have at least one word")
    words = text.casefold().split()
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def _texts(replies: Iterable[str | Reply]) -> list[str]:
    if isinstance(replies, str):
        raise TypeError(f"replies: one text, {replies[:40]!r}; give a list of texts")
    return texts_of([r.text if isinstance(r, Reply) else r for r in replies])
