"""Typical wrong answers to the exercises of chapter 11: (function, the diagnosis it must get)."""

from __future__ import annotations

import math
import re
from typing import Any

# ---- 11.1

Rivals = list[str]


def whole(text: str, value: str) -> bool:
    return bool(re.search(r"(?<!\w)" + re.escape(value) + r"(?!\w)", text))


def with_in(reply: str, value: str, rivals: Rivals, ended: bool) -> str:
    if not ended:
        return "no end"
    for rival in rivals:
        if rival in reply:
            return "wrong value"
    return "right" if value in reply else "value missing"


def forgives(reply: str, value: str, rivals: Rivals, ended: bool) -> str:
    if not ended:
        return "no end"
    if whole(reply, value):
        return "right"
    return "wrong value" if any(whole(reply, r) for r in rivals) else "value missing"


def right_or_wrong(reply: str, value: str, rivals: Rivals, ended: bool) -> str:
    if not ended:
        return "no end"
    told = whole(reply, value) and not any(whole(reply, r) for r in rivals)
    return "right" if told else "wrong value"


def end_at_the_end(reply: str, value: str, rivals: Rivals, ended: bool) -> str:
    if any(whole(reply, r) for r in rivals):
        return "wrong value"
    if not whole(reply, value):
        return "value missing"
    return "right" if ended else "no end"


def never_looks_at_the_end(reply: str, value: str, rivals: Rivals, ended: bool) -> str:
    if any(whole(reply, r) for r in rivals):
        return "wrong value"
    return "right" if whole(reply, value) else "value missing"


def always_right(reply: str, value: str, rivals: Rivals, ended: bool) -> str:
    return "right"


def is_right(reply: str, value: str, rivals: Rivals, ended: bool) -> Any:
    return ended and whole(reply, value)


# ---- 11.2

Marks = list[bool]


def gains_and_losses(before: Marks, after: Marks) -> tuple[int, int]:
    better = sum(a and not b for b, a in zip(before, after, strict=True))
    return better, sum(b and not a for b, a in zip(before, after, strict=True))


def at_least(k: int, n: int) -> float:
    return sum(math.comb(n, i) for i in range(k, n + 1)) * 0.5**n


def one_side(before: Marks, after: Marks) -> float:
    better, worse = gains_and_losses(before, after)
    return at_least(max(better, worse), better + worse)


def so_many_gains(before: Marks, after: Marks) -> float:
    better, worse = gains_and_losses(before, after)
    return at_least(better, better + worse)


def all_questions(before: Marks, after: Marks) -> float:
    return min(1.0, 2 * at_least(max(gains_and_losses(before, after)), len(before)))


def just_this(before: Marks, after: Marks) -> float:
    better, worse = gains_and_losses(before, after)
    n = better + worse
    return min(1.0, 2 * math.comb(n, better) * 0.5**n)


def more_than_sure(before: Marks, after: Marks) -> float:
    better, worse = gains_and_losses(before, after)
    return 2 * at_least(max(better, worse), better + worse)


def gain_alone(before: Marks, after: Marks) -> float:
    return sum(after) / len(after) - sum(before) / len(before)


def a_pair(before: Marks, after: Marks) -> Any:
    return gains_and_losses(before, after)


# ---- 11.3

Ps = list[float]


def uncorrected(ps: Ps, level: float) -> list[bool]:
    return [p <= level for p in ps]


def divided_by_all(ps: Ps, level: float) -> list[bool]:
    return [p * len(ps) <= level for p in ps]


def every_rank_by_itself(ps: Ps, level: float) -> list[bool]:
    ranks = {i: rank for rank, i in enumerate(sorted(range(len(ps)), key=ps.__getitem__))}
    return [p <= level / (len(ps) - ranks[i]) for i, p in enumerate(ps)]


def discoveries(ps: Ps, level: float) -> list[bool]:
    border = 0.0
    for rank, p in enumerate(sorted(ps), 1):
        if p <= level * rank / len(ps):
            border = max(border, p)
    return [p <= border for p in ps]


def as_they_come(ps: Ps, level: float) -> list[bool]:
    out, going = [], True
    for i, p in enumerate(ps):
        going = going and p <= level / (len(ps) - i)
        out.append(going)
    return out


def smallest_first(ps: Ps, level: float) -> list[bool]:
    return as_they_come(sorted(ps), level)


def how_many(ps: Ps, level: float) -> Any:
    return sum(p <= level for p in ps)


def nothing_holds(ps: Ps, level: float) -> list[bool]:
    return [False for _ in ps]


# ---- 11.4

Weights = dict[str, list[float]]


def by_number(start: Weights, tuned: Weights, mixed: Any) -> Weights:
    made = {}
    for name, numbers in tuned.items():
        first = start[name]
        made[name] = [mixed(first[i], b) if i < len(first) else b for i, b in enumerate(numbers)]
    return made


def towards_the_start(start: Weights, tuned: Weights, share: float) -> Weights:
    return by_number(start, tuned, lambda a, b: share * a + (1 - share) * b)


def beyond(start: Weights, tuned: Weights, share: float) -> Weights:
    return by_number(start, tuned, lambda a, b: b + share * (b - a))


def scaled(start: Weights, tuned: Weights, share: float) -> Weights:
    return by_number(start, tuned, lambda a, b: share * b)


def summed(start: Weights, tuned: Weights, share: float) -> Weights:
    return by_number(start, tuned, lambda a, b: a + share * b)


def mixed_with_nothing(start: Weights, tuned: Weights, share: float) -> Weights:
    made = {}
    for name, numbers in tuned.items():
        first = start[name] + [0.0] * (len(numbers) - len(start[name]))
        made[name] = [a + share * (b - a) for a, b in zip(first, numbers, strict=True)]
    return made


def zipped(start: Weights, tuned: Weights, share: float) -> Weights:
    return {
        n: [a + share * (b - a) for a, b in zip(start[n], tuned[n], strict=False)] for n in tuned
    }


def a_list(start: Weights, tuned: Weights, share: float) -> Any:
    return [b for numbers in tuned.values() for b in numbers]


def tuned_alone(start: Weights, tuned: Weights, share: float) -> Weights:
    return tuned


# ---- 11.5


def one_too_few(flips: float, gain: float) -> int:
    return int(1.96**2 * (flips - gain**2) / gain**2)


def flips_alone(flips: float, gain: float) -> int:
    return math.ceil(1.96**2 * flips / gain**2)


def root(flips: float, gain: float) -> int:
    return math.ceil(1.96 * math.sqrt(flips - gain * gain) / gain)


def one_error(flips: float, gain: float) -> int:
    return math.ceil((flips - gain * gain) / (gain * gain))


def one_in_gain(flips: float, gain: float) -> int:
    return math.ceil(1 / gain)


def in_words(flips: float, gain: float) -> Any:
    return "many"


CHAPTER_11 = {
    "11.1": [
        (with_in, "parts of words"),
        (forgives, "right value wins"),
        (right_or_wrong, "two kinds in one"),
        (end_at_the_end, "end asked too late"),
        (never_looks_at_the_end, "end ignored"),
        (always_right, "differs"),
        (is_right, "wrong shape"),
    ],
    "11.2": [
        (one_side, "one-sided"),
        (so_many_gains, "gains only"),
        (all_questions, "ties counted"),
        (just_this, "this outcome only"),
        (more_than_sure, "above 1"),
        (gain_alone, "differs"),
        (a_pair, "wrong shape"),
    ],
    "11.3": [
        (uncorrected, "not corrected"),
        (divided_by_all, "Bonferroni"),
        (every_rank_by_itself, "does not stop"),
        (discoveries, "false discovery rate"),
        (as_they_come, "in the given order"),
        (smallest_first, "sorted"),
        (nothing_holds, "differs"),
        (how_many, "wrong shape"),
    ],
    "11.4": [
        (towards_the_start, "the wrong way round"),
        (beyond, "too far"),
        (scaled, "only the tuned part"),
        (summed, "a plain sum"),
        (mixed_with_nothing, "new rows scaled"),
        (zipped, "new rows lost"),
        (tuned_alone, "differs"),
        (a_list, "wrong shape"),
    ],
    "11.5": [
        (one_too_few, "rounded down"),
        (flips_alone, "mean not taken off"),
        (root, "not squared"),
        (one_error, "z forgotten"),
        (one_in_gain, "differs"),
        (in_words, "wrong shape"),
    ],
}
