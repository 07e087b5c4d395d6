"""Entities: strict precision, recall and F1; a span counts with its slot and both borders right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from course_lib.annotation.scores import (
    RIGHT,
    SAID,
    TRUE,
    macro_f1,
    micro_f1,
    micro_precision,
    micro_recall,
)
from course_lib.dialogue import Entity
from course_lib.metrics.score import Score, score_of

Spans = Sequence[Iterable[Entity | tuple[str, int, int]]]
Tags = Sequence[Sequence[str]]
MEASURES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "f1": micro_f1,
    "precision": micro_precision,
    "recall": micro_recall,
    "macro_f1": macro_f1,
}


def entity_f1(true: Spans, said: Spans, measure: str = "f1") -> Score:
    """Strict F1 over all spans, of `Entity` objects or (slot, start, end); true ones come first.

    `measure`: "f1", "precision", "recall" (all pooled) or "macro_f1" (mean over slots).
    """
    if measure not in MEASURES:
        raise ValueError(f"measure {measure!r}: choose from {', '.join(MEASURES)}")
    if len(said) != len(true) or not len(said):
        raise ValueError(f"{len(true)} texts with true spans and {len(said)} with said ones")
    pairs = [(_keys(t), _keys(s)) for t, s in zip(true, said, strict=True)]
    # a slot that is said but never true counts in the pooled figures only
    slots = sorted({slot for true_ones, _ in pairs for slot, _, _ in true_ones})
    if measure != "macro_f1":
        slots = [""]
    rows = np.asarray([[_counted(slot, *pair) for slot in slots] for pair in pairs], dtype=float)
    rows = rows.reshape(len(pairs), len(slots), 3)
    values = [float(t == s) for t, s in pairs]
    return score_of(values, f"entities|strict|{measure}", rows, MEASURES[measure])


def tag_f1(true: Tags, said: Tags, measure: str = "f1") -> Score:
    """`entity_f1` of BIO tags, one list a text (what seqeval gives with mode="strict", IOB2).

    An I- tag without its B- opens no entity.
    """
    for number, (t, s) in enumerate(zip(true, said, strict=False)):
        if len(t) != len(s):
            raise ValueError(f"text {number}: {len(t)} true tags and {len(s)} said ones")
    return entity_f1([tag_spans(t) for t in true], [tag_spans(s) for s in said], measure)


def tag_spans(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """(slot, first tag, behind the last tag) of each entity in BIO tags, strictly read."""
    found: list[tuple[str, int, int]] = []
    slot, start = "", 0
    for place, tag in enumerate([*tags, "O"]):
        kind, _, name = tag.partition("-")
        if slot and not (kind == "I" and name == slot):
            found.append((slot, start, place))
            slot = ""
        if kind == "B":
            slot, start = name, place
        elif kind not in ("I", "O"):
            raise ValueError(f"tag {tag!r} at {place}: give B-slot, I-slot or O")
    return found


def _keys(spans: Iterable[Any]) -> frozenset[tuple[str, int, int]]:
    return frozenset(
        (s.slot, s.start, s.end) if isinstance(s, Entity) else (s[0], s[1], s[2]) for s in spans
    )


def _counted(
    slot: str, true: frozenset[tuple[str, int, int]], said: frozenset[tuple[str, int, int]]
) -> list[int]:
    t, s = ({span for span in spans if slot in ("", span[0])} for spans in (true, said))
    found = [0, 0, 0]
    found[RIGHT], found[SAID], found[TRUE] = len(s & t), len(s), len(t)
    return found
