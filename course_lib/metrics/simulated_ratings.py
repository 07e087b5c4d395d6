"""Simulated raters, where no people are at hand: they know the quality, and see it through noise.

They show what the measures of agreement and preference do. They say nothing about how people judge
replies; every line that they write carries `"simulated": true`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from course_lib.annotation.log import Click
from course_lib.metrics.ratings import (
    FORM,
    SIDES,
    Form,
    Item,
    RatingLog,
    Scale,
    sides_of,
)

Quality = Callable[[Item, str, str], float]
_TIE_WITHIN = 0.5  # points of quality that a rater does not tell apart


@dataclass(frozen=True, slots=True)
class Rater:
    """A made-up rater, in points of a scale: how kind, how unsteady, how fond of the left side."""

    name: str
    kindness: float = 0.0
    noise: float = 0.5
    leans_left: float = 0.0


RATERS = (
    Rater("simulated-1", 0.0, 0.4),
    Rater("simulated-2", -0.4, 0.5),
    Rater("simulated-3", 0.2, 0.7, leans_left=0.4),
)


def write_simulated(
    folder: str | Path,
    items: Sequence[Item],
    quality: Quality,
    raters: Sequence[Rater] = RATERS,
    form: Form = FORM,
    seed: int = 0,
) -> list[Path]:
    """Writes a file of ratings for each made-up rater into a folder; returns the paths.

    `quality(item, system, question)` is what an unerring rater would say: a point of the scale, or
    the probability of a yes. The side by side follows the sum over the scales. Equal seeds write
    equal bytes.
    """
    paths = []
    for rater in raters:
        path = Path(folder) / f"ratings-{rater.name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        clicks = _clicks(items, quality, rater, form, seed)
        path.write_bytes(b"".join(RatingLog.line(click) for click in clicks))
        paths.append(path)
    return paths


def _clicks(
    items: Sequence[Item], quality: Quality, rater: Rater, form: Form, seed: int
) -> Iterator[Click]:
    rng, number = random.Random(f"{seed}/{rater.name}"), 0
    for item in items:
        sides = sides_of(item, rater.name, seed)
        for action, fields in _said_of(item, sides, quality, rater, form, rng):
            number += 1
            place = {"rater": rater.name, "item": item.id}
            shown = {"sides": sides, "shown": item.shown, "simulated": True}
            yield {"click": number, "action": action, **place, **fields, **shown}


def _said_of(
    item: Item,
    sides: Sequence[str],
    quality: Quality,
    rater: Rater,
    form: Form,
    rng: random.Random,
) -> Iterator[tuple[str, dict[str, object]]]:
    for side, system in zip(SIDES, sides, strict=False):
        for scale in form.scales:
            value = _point(scale, quality(item, system, scale.name), rater, rng)
            yield "score", {"side": side, "question": scale.name, "value": value}
        for behaviour in form.behaviours:
            yes = rng.random() < quality(item, system, behaviour.name)
            yield "answer", {"side": side, "question": behaviour.name, "value": yes}
    if len(sides) == len(SIDES):
        left, right = (sum(quality(item, s, scale.name) for scale in form.scales) for s in sides)
        gap = left - right + rater.leans_left + rng.gauss(0, rater.noise)
        tie = abs(gap) < _TIE_WITHIN
        yield "prefer", {"choice": "tie" if tie else SIDES[gap < 0]}


def _point(scale: Scale, quality: float, rater: Rater, rng: random.Random) -> int:
    seen = round(quality + rater.kindness + rng.gauss(0, rater.noise))
    return min(max(seen, 1), len(scale.points))
