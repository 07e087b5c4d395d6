"""Checks of chapter 11."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from course_lib.checks.exercises import Wrong, exercise
from course_lib.checks.judging import SHAPE, Case, Mistake, judge, number

# ---- 11.1 the kind of an error

_KINDS = ("right", "wrong value", "value missing", "no end")


def _stands(text: str, value: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text) is not None


def _anywhere(text: str, value: str) -> bool:
    return value in text


def _kind(
    reply: str,
    value: str,
    rivals: list[str],
    ended: bool,
    stands: Callable[[str, str], bool] = _stands,
) -> str:
    if not ended:
        return "no end"
    if any(stands(reply, rival) for rival in rivals):
        return "wrong value"
    return "right" if stands(reply, value) else "value missing"


def _right_value_wins(reply: str, value: str, rivals: list[str], ended: bool) -> str:
    return "right" if ended and _stands(reply, value) else _kind(reply, value, rivals, ended)


def _wrong_or_right(reply: str, value: str, rivals: list[str], ended: bool) -> str:
    found = _kind(reply, value, rivals, ended)
    return "wrong value" if found == "value missing" else found


def _end_last(reply: str, value: str, rivals: list[str], ended: bool) -> str:
    found = _kind(reply, value, rivals, True)
    return "no end" if found == "right" and not ended else found


_KIND_CASES: list[Case] = [
    ("it has a warranty of 2 years.", "2 years", ["12 years", "5 years"], True),
    ("it has a warranty of 12 years.", "2 years", ["12 years", "5 years"], True),
    ("it has a warranty of 12 years.", "12 years", ["2 years"], True),
    ("is it 2 years or 5 years?", "2 years", ["5 years"], True),
    ("let me look that up.", "2 years", ["5 years"], True),
    ("2 years, and 2 years, and 2 years, and", "2 years", ["5 years"], False),
    ("5 years, and 5 years, and 5 years, and", "2 years", ["5 years"], False),
    ("the battery lasts for 32 years.", "2 years", ["5 years"], True),
]
_KIND_MISTAKES: dict[str, Mistake] = {
    "parts of words": (
        lambda reply, value, rivals, ended: _kind(reply, value, rivals, ended, _anywhere),
        "you find '2 years' in '12 years'. A value must stand in the reply as whole words: no "
        "letter or digit right before it or right after it.",
    ),
    "right value wins": (
        _right_value_wins,
        "a reply with the right value and a rival counts as right for you. Whoever says both has "
        "not answered: look for rivals first.",
    ),
    "two kinds in one": (
        _wrong_or_right,
        "a reply without any value is called 'wrong value'. The two have different causes: the one "
        "states something untrue, the other does not answer.",
    ),
    "end asked too late": (
        _end_last,
        "a reply that never ended is called by another kind. Ask for the end first, since what "
        "stands in half a reply says little.",
    ),
    "end ignored": (
        lambda reply, value, rivals, ended: _kind(reply, value, rivals, True),
        "`ended` makes no difference in your function.",
    ),
}


def _as_kind(value: Any) -> str:
    if value not in _KINDS:
        raise Wrong(SHAPE, f"return one of {', '.join(map(repr, _KINDS))}, not {value!r}.")
    return str(value)


@exercise(
    "11.1",
    "What kind of error is it?",
    answer_name="kind_of_reply",
    difficulty=1,
    minutes=8,
    hints=(
        "four questions in this order: did it end, is there a rival, is there the value, else?",
        "whole words: re.search(rf'(?<!\\w){re.escape(value)}(?!\\w)', reply) is not None",
        "any(stands(reply, rival) for rival in rivals) comes before stands(reply, value).",
    ),
)
def check_kind_of_reply(answer: Callable[..., Any]) -> None:
    """Judges kind_of_reply(reply, value, rivals, ended): the kind of a reply's error."""
    judge(answer, _kind, _KIND_CASES, _KIND_MISTAKES, _as_kind)


# ---- 11.2 a paired test by hand

Marks = list[bool]


def _moves(before: Marks, after: Marks) -> tuple[int, int]:
    pairs = list(zip(before, after, strict=True))
    return pairs.count((False, True)), pairs.count((True, False))


def _tail(most: int, count: int) -> float:
    """The chance that a fair coin shows heads `most` times or more often in `count` throws."""
    ways = sum(math.comb(count, k) for k in range(most, count + 1))
    return float(ways / 2**count)


def _sign_test(before: Marks, after: Marks) -> float:
    better, worse = _moves(before, after)
    return min(1.0, 2 * _tail(max(better, worse), better + worse))


def _uncapped(before: Marks, after: Marks) -> float:
    better, worse = _moves(before, after)
    return 2 * _tail(max(better, worse), better + worse)


def _one_sided(before: Marks, after: Marks) -> float:
    better, worse = _moves(before, after)
    return _tail(max(better, worse), better + worse)


def _gains_only(before: Marks, after: Marks) -> float:
    better, worse = _moves(before, after)
    return _tail(better, better + worse)


def _with_ties(before: Marks, after: Marks) -> float:
    better, worse = _moves(before, after)
    return min(1.0, 2 * _tail(max(better, worse), len(before)))


def _exactly(before: Marks, after: Marks) -> float:
    better, worse = _moves(before, after)
    count = better + worse
    return min(1.0, 2 * math.comb(count, max(better, worse)) / 2**count)


def _as_marks(text: str) -> Marks:
    return [letter == "x" for letter in text]


_SIGN_CASES: list[Case] = [
    (_as_marks("xxxx....xx"), _as_marks("xxxxxxx.x.")),
    (_as_marks("........"), _as_marks("xxxxxx..")),
    (_as_marks("xxxxxxx..."), _as_marks("x........x")),
    (_as_marks("x.x.xx"), _as_marks(".xx.xx")),
    (_as_marks("xx.."), _as_marks("xx..")),
    (_as_marks("xxx......"), _as_marks("..xxxxxx.")),
]
_SIGN_MISTAKES: dict[str, Mistake] = {
    "one-sided": (
        _one_sided,
        "that is the chance of one side only. A change could have hurt as well: double it, and let "
        "it be 1 at most.",
    ),
    "gains only": (
        _gains_only,
        "that is the chance of so many gains. Take the greater of gains and losses, and both sides "
        "of the coin.",
    ),
    "ties counted": (
        _with_ties,
        "you throw the coin once for every question. Those that both runs got right, or both "
        "wrong, say nothing about which is better: leave them out.",
    ),
    "this outcome only": (
        _exactly,
        "that is the chance of exactly this outcome. More extreme outcomes count as well: sum "
        "from the greater number up to all.",
    ),
    "above 1": (
        _uncapped,
        "twice the tail can be more than 1, as when gains and losses are equal. A chance is 1 at "
        "most.",
    ),
}


@exercise(
    "11.2",
    "Better, worse, or a coin?",
    answer_name="sign_test",
    difficulty=2,
    minutes=12,
    hints=(
        "count better (wrong before, right after) and worse (right before, wrong after).",
        "the chance of k heads in n throws is math.comb(n, k) / 2**n; n = better + worse.",
        "sum it for k from max(better, worse) to n, double it, and take min(1.0, …).",
    ),
)
def check_sign_test(answer: Callable[..., Any]) -> None:
    """Judges sign_test(before, after): the two-sided exact p-value of paired right and wrong."""
    judge(answer, _sign_test, _SIGN_CASES, _SIGN_MISTAKES)


# ---- 11.3 many comparisons


def _holm(ps: list[float], level: float) -> list[bool]:
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    holds = [False] * len(ps)
    for rank, place in enumerate(order):
        if ps[place] > level / (len(ps) - rank):
            break
        holds[place] = True
    return holds


def _each_rank(ps: list[float], level: float) -> list[bool]:
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    holds = [False] * len(ps)
    for rank, place in enumerate(order):
        holds[place] = ps[place] <= level / (len(ps) - rank)
    return holds


def _benjamini_hochberg(ps: list[float], level: float) -> list[bool]:
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    passing = [r for r, place in enumerate(order, 1) if ps[place] <= level * r / len(ps)]
    kept = order[: max(passing, default=0)]
    return [place in kept for place in range(len(ps))]


def _given_order(ps: list[float], level: float) -> list[bool]:
    holds = [False] * len(ps)
    for rank, p in enumerate(ps):
        if p > level / (len(ps) - rank):
            break
        holds[rank] = True
    return holds


_HOLM_CASES: list[Case] = [
    ([0.04, 0.001, 0.03, 0.012], 0.05),
    ([0.2, 0.013, 0.011, 0.5], 0.05),
    ([0.02, 0.2, 0.024], 0.05),
    ([0.03, 0.04, 0.045], 0.05),
    ([0.04], 0.05),
    ([0.0, 1.0, 0.026, 0.6], 0.1),
    ([0.5, 0.9], 0.05),
    ([0.04, 0.6, 0.3], 0.05),
    ([0.0124, 0.0126, 0.03, 0.04], 0.05),
]
_HOLM_MISTAKES: dict[str, Mistake] = {
    "not corrected": (
        lambda ps, level: [p <= level for p in ps],
        "each p is compared with the level itself. With ten changes that do nothing, one or "
        "more get through in two rounds of five.",
    ),
    "Bonferroni": (
        lambda ps, level: [p <= level / len(ps) for p in ps],
        "every p is compared with level / m. That is safe, and stricter than need be: once the "
        "smallest has passed, m - 1 are left.",
    ),
    "does not stop": (
        _each_rank,
        "a p may pass for you after a smaller one has failed. Stop at the first that fails: all "
        "the greater ones fail too.",
    ),
    "false discovery rate": (
        _benjamini_hochberg,
        "that is Benjamini and Hochberg's rule: it bounds the share of false finds among the "
        "finds. Here not even one should be false.",
    ),
    "in the given order": (
        _given_order,
        "you go through the list as it comes. Begin with the smallest p.",
    ),
    "sorted": (
        lambda ps, level: [_holm(ps, level)[i] for i in sorted(range(len(ps)), key=ps.__getitem__)],
        "the answers come in the order of the sorted list. Put each back where its p stood.",
    ),
}


def _as_flags(value: Any) -> tuple[bool, ...]:
    value = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(value, (list, tuple)):
        raise Wrong(SHAPE, f"expected a list, found {type(value).__name__}.")
    flags = [one.item() if hasattr(one, "item") else one for one in value]
    if not all(isinstance(flag, bool) for flag in flags):
        raise Wrong(SHAPE, "the list should hold True or False, one for each p.")
    return tuple(flags)


def _in_tuples(function: Callable[..., list[bool]]) -> Callable[..., tuple[bool, ...]]:
    return lambda *case: tuple(function(*case))


@exercise(
    "11.3",
    "Ten changes, one level",
    answer_name="holm",
    difficulty=2,
    minutes=12,
    hints=(
        "sort the places by their p: sorted(range(len(ps)), key=lambda i: ps[i]).",
        "the smallest p must be at most level / m, the next at most level / (m - 1), and so on.",
        "at the first that is greater: break. The answers go to holds[place], not to holds[rank].",
    ),
)
def check_holm(answer: Callable[..., Any]) -> None:
    """Judges holm(ps, level): which of many changes hold when all are judged together."""
    mistakes = {name: (_in_tuples(f), words) for name, (f, words) in _HOLM_MISTAKES.items()}
    judge(answer, _in_tuples(_holm), _HOLM_CASES, mistakes, _as_flags)


# ---- 11.4 weights in between

Weights = dict[str, list[float]]


def _blend(start: Weights, tuned: Weights, share: float, back: float | None = None) -> Weights:
    back = 1 - share if back is None else back
    made = {}
    for name, numbers in tuned.items():
        old = start[name]
        mixed = [back * a + share * b for a, b in zip(old, numbers, strict=False)]
        made[name] = mixed + numbers[len(old) :]
    return made


def _new_rows_scaled(start: Weights, tuned: Weights, share: float) -> Weights:
    longer = {n: w + [0.0] * (len(tuned[n]) - len(w)) for n, w in start.items()}
    return _blend(longer, tuned, share)


def _added(start: Weights, tuned: Weights, share: float) -> Weights:
    return {
        n: [b + share * (b - a) for a, b in zip(start[n], w, strict=False)] + w[len(start[n]) :]
        for n, w in tuned.items()
    }


def _cut(start: Weights, tuned: Weights, share: float) -> Weights:
    return {n: w[: len(start[n])] for n, w in _blend(start, tuned, share).items()}


_BLEND_CASES: list[Case] = [
    ({"a": [0.0, 2.0], "b": [1.0]}, {"a": [1.0, 4.0], "b": [-1.0]}, 0.5),
    ({"a": [0.0, 2.0]}, {"a": [1.0, 4.0]}, 0.75),
    ({"a": [1.0, 3.0]}, {"a": [5.0, 3.0, 8.0]}, 0.25),
    ({"a": [1.0, 3.0]}, {"a": [5.0, 7.0, 8.0]}, 0.0),
    ({"a": [1.0, 3.0]}, {"a": [5.0, 7.0, 8.0]}, 1.0),
]
_BLEND_MISTAKES: dict[str, Mistake] = {
    "the wrong way round": (
        lambda s, t, share: _blend(s, t, 1 - share),
        "share 1 gives the start and share 0 the tuned weights. It is the other way round: the "
        "share says how far to go.",
    ),
    "too far": (
        _added,
        "you go on from the tuned weights. Begin at the start: start + share * (tuned - start).",
    ),
    "only the tuned part": (
        lambda s, t, share: _blend(s, t, share, 0.0),
        "the tuned weights are scaled, and the start is left out: start + share * (tuned - start).",
    ),
    "a plain sum": (
        lambda s, t, share: _blend(s, t, share, 1.0),
        "you add a share of the tuned weights to the start. Add a share of the difference.",
    ),
    "new rows scaled": (
        _new_rows_scaled,
        "numbers that only the tuned weights have are mixed with zeros. There is nothing to go "
        "back to: keep them as they are.",
    ),
    "new rows lost": (
        _cut,
        "the lists end where the start's end. What only the tuned weights have (the rows of new "
        "chat tokens) belongs in the result too.",
    ),
}


def _as_weights(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, Mapping):
        raise Wrong(SHAPE, f"expected a dictionary, found {type(value).__name__}.")
    lists = {name: w.tolist() if hasattr(w, "tolist") else w for name, w in value.items()}
    if not all(isinstance(numbers, (list, tuple)) for numbers in lists.values()):
        raise Wrong(SHAPE, "every value should be a list of numbers.")
    return tuple((str(n), tuple(map(number, w))) for n, w in sorted(lists.items()))


def _in_weights(function: Callable[..., Weights]) -> Callable[..., tuple[Any, ...]]:
    return lambda *case: _as_weights(function(*case))


@exercise(
    "11.4",
    "Part of the way back to the base",
    answer_name="blend_weights",
    difficulty=2,
    minutes=10,
    hints=(
        "number by number: a + share * (b - a), with a from start and b from tuned.",
        "zip stops at the shorter list; what is left of tuned is tuned[name][len(start[name]):].",
        "join the two: [a + share * (b - a) for a, b in zip(...)] + the rest.",
    ),
)
def check_blend_weights(answer: Callable[..., Any]) -> None:
    """Judges blend_weights(start, tuned, share): the weights a share of the way to the tuned."""
    mistakes = {name: (_in_weights(f), words) for name, (f, words) in _BLEND_MISTAKES.items()}
    judge(answer, _in_weights(_blend), _BLEND_CASES, mistakes, _as_weights)


# ---- 11.5 how many questions

_Z = 1.96


def _needed(flips: float, gain: float) -> int:
    return math.ceil(_Z**2 * (flips - gain**2) / gain**2)


_NEEDED_CASES: list[Case] = [
    (0.08, 0.03),
    (0.08, 0.01),
    (0.2, 0.05),
    (0.5, 0.1),
    (0.05, 0.04),
    (0.9, 0.6),
]
_NEEDED_MISTAKES: dict[str, Mistake] = {
    "rounded down": (
        lambda flips, gain: math.floor(_Z**2 * (flips - gain**2) / gain**2),
        "with a question less the interval still reaches 0: round up (math.ceil).",
    ),
    "mean not taken off": (
        lambda flips, gain: math.ceil(_Z**2 * flips / gain**2),
        "the variance is the mean of the squares (flips) minus the square of the mean (gain**2).",
    ),
    "not squared": (
        lambda flips, gain: math.ceil(_Z * math.sqrt(flips - gain**2) / gain),
        "that is the square root of the answer: to see half the gain takes four times as many.",
    ),
    "z forgotten": (
        lambda flips, gain: math.ceil((flips - gain**2) / gain**2),
        "so the gain is one standard error above 0. An interval of 95% reaches 1.96 of them.",
    ),
}


@exercise(
    "11.5",
    "How many questions does it take?",
    answer_name="questions_needed",
    difficulty=3,
    minutes=12,
    hints=(
        "a step is +1, 0 or -1: its mean is gain, the mean of its squares is flips.",
        "the standard error of the mean of n steps is sqrt((flips - gain**2) / n).",
        "solve gain >= 1.96 * sqrt((flips - gain**2) / n) for n, and round up.",
    ),
)
def check_questions_needed(answer: Callable[..., Any]) -> None:
    """Judges questions_needed(flips, gain): how many questions make a gain visible."""
    judge(answer, _needed, _NEEDED_CASES, _NEEDED_MISTAKES)
