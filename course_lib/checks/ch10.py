"""Checks of chapter 10."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import pstdev
from typing import Any

from course_lib.checks.exercises import Wrong, exercise
from course_lib.checks.judging import SHAPE, Case, Mistake, judge, number

# ---- 10.1 the next act


def _next_act(needed: list[str], confirm: bool, known: dict[str, str], answer: str | None) -> str:
    missing = [slot for slot in needed if slot not in known]
    if missing:
        return f"ask {missing[0]}"
    if confirm and answer is None:
        return "confirm"
    return "leave" if confirm and answer == "deny" else "act"


def _confirms_first(needed: list[str], confirm: bool, known: Any, answer: str | None) -> str:
    if confirm and answer is None:
        return "confirm"
    return _next_act(needed, confirm, known, answer)


def _asks_the_last(needed: list[str], confirm: bool, known: Any, answer: str | None) -> str:
    return _next_act(needed[::-1], confirm, known, answer)


def _asks_again(needed: list[str], confirm: bool, known: Any, answer: str | None) -> str:
    return _next_act(needed, confirm, {}, answer)


_ACT_CASES: list[Case] = [
    (["order_number"], True, {}, None),
    (["order_number"], True, {"order_number": "4471902385"}, None),
    (["order_number"], True, {"order_number": "4471902385"}, "affirm"),
    (["order_number"], True, {"order_number": "4471902385"}, "deny"),
    (["order_number"], False, {"order_number": "4471902385"}, None),
    (["product", "order_number"], True, {"order_number": "4471902385"}, None),
    (["order_number", "address"], True, {}, None),
    ([], False, {}, None),
    (["product"], False, {"address": "3 Mill Road, Oxbury"}, None),
]
_ACT_MISTAKES: dict[str, Mistake] = {
    "confirmed before asked": (
        _confirms_first,
        "you ask for a yes before the needed slots are known. Nobody can agree to the cancelling "
        "of an order that has no number yet: ask first, confirm then.",
    ),
    "never confirmed": (
        lambda n, c, k, a: _next_act(n, False, k, a),
        "the wish is served without a yes, also where `confirm` is True. Then one misheard digit "
        "cancels somebody else's order.",
    ),
    "always confirmed": (
        lambda n, c, k, a: _next_act(n, True, k, a),
        "you confirm everything, also where `confirm` is False. A needless question costs a turn.",
    ),
    "acts against a no": (
        lambda n, c, k, a: _next_act(n, c, k, "affirm" if a else None),
        "any answer counts as a yes. After 'deny' nothing is done: return 'leave'.",
    ),
    "confirmed twice": (
        lambda n, c, k, a: _next_act(n, c, k, None),
        "you confirm again after the customer has answered. Look at `answer`.",
    ),
    "last slot first": (
        _asks_the_last,
        "of several missing slots you ask for the last. Ask for the first one in `needed`.",
    ),
    "asked again": (
        _asks_again,
        "you ask for what is known already. Leave out the slots that stand in `known`.",
    ),
}


def _as_text(value: Any) -> str:
    if not isinstance(value, str):
        raise Wrong(SHAPE, f"return a text such as 'ask product', not {type(value).__name__}.")
    return value


@exercise(
    "10.1",
    "The next act",
    answer_name="next_act",
    difficulty=1,
    minutes=8,
    hints=(
        "three questions in this order: is something missing, is a yes missing, what was the yes?",
        "missing = [slot for slot in needed if slot not in known]; ask for the first of them.",
        "then: confirm and answer is None -> 'confirm'; confirm and answer == 'deny' -> 'leave'; "
        "else 'act'.",
    ),
)
def check_next_act(answer: Callable[..., Any]) -> None:
    """Judges next_act(needed, confirm, known, answer): 'ask …', 'confirm', 'act' or 'leave'."""
    judge(answer, _next_act, _ACT_CASES, _ACT_MISTAKES, _as_text)


# ---- 10.2 precision and recall of asking

Turns = list[tuple[bool, bool]]


def _part(hits: int, of: int) -> float:
    return hits / of if of else 0.0


def _ask_scores(turns: Turns) -> tuple[float, float]:
    hits = sum(due and did for due, did in turns)
    return _part(hits, sum(did for _, did in turns)), _part(hits, sum(due for due, _ in turns))


def _accuracy_twice(turns: Turns) -> tuple[float, float]:
    same = _part(sum(due == did for due, did in turns), len(turns))
    return same, same


_SCORE_CASES: list[Case] = [
    ([(True, True), (True, False), (True, True), (False, True), (False, False), (False, False)],),
    ([(True, True), (True, True), (True, False), (True, False), (True, False)],),
    ([(False, True), (True, True), (False, True), (False, True)],),
    ([(True, False), (False, False), (False, False)],),
    ([(False, True), (False, False)],),
]
_SCORE_MISTAKES: dict[str, Mistake] = {
    "swapped": (
        lambda t: _ask_scores(t)[::-1],
        "recall comes first. Return precision (of what was asked, how much was due), then recall.",
    ),
    "accuracy": (
        _accuracy_twice,
        "that is the share of turns where due and done agree. Turns where nothing was due and "
        "nothing asked are many and easy: they count neither for precision nor for recall.",
    ),
    "divided by all turns": (
        lambda t: (_part(sum(a and b for a, b in t), len(t)),) * 2,
        "you divide by the number of all turns. Divide by those asked, and by those due.",
    ),
    "asked counted as right": (
        lambda t: (_part(sum(b for _, b in t), len(t)), _ask_scores(t)[1]),
        "your precision counts every question as right. Only one that was due is a hit.",
    ),
    "one for nothing": (
        lambda t: (
            _ask_scores(t)[0] if any(b for _, b in t) else 1.0,
            _ask_scores(t)[1] if any(a for a, _ in t) else 1.0,
        ),
        "where there is nothing to divide by you return 1. An agent that never asks would get "
        "full marks for precision: return 0.",
    ),
}


def _pair(value: Any) -> tuple[float, float]:
    value = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise Wrong(SHAPE, "return two numbers: return precision, recall.")
    return number(value[0]), number(value[1])


@exercise(
    "10.2",
    "Asked when it was due?",
    answer_name="ask_scores",
    difficulty=1,
    minutes=8,
    hints=(
        "three counts: questions that were due and asked, questions asked, questions due.",
        "hits = sum(due and asked for due, asked in turns)",
        "precision is hits / asked, recall is hits / due; 0.0 where the lower number is 0.",
    ),
)
def check_ask_scores(answer: Callable[..., Any]) -> None:
    """Judges ask_scores(turns) -> (precision, recall), from pairs (due, asked)."""
    judge(answer, _ask_scores, _SCORE_CASES, _SCORE_MISTAKES, _pair)


# ---- 10.3 pass^k

Tries = list[list[bool]]


def _pass_hat_k(tries: Tries, k: int) -> float:
    parts = [math.comb(sum(row), k) / math.comb(len(row), k) for row in tries]
    return sum(parts) / len(parts)


def _pass_at_k(tries: Tries, k: int) -> float:
    parts = [1 - math.comb(len(row) - sum(row), k) / math.comb(len(row), k) for row in tries]
    return sum(parts) / len(parts)


def _pooled_power(tries: Tries, k: int) -> float:
    flat = [ok for row in tries for ok in row]
    return float((sum(flat) / len(flat)) ** k)


def _mean_of_powers(tries: Tries, k: int) -> float:
    return float(sum((sum(row) / len(row)) ** k for row in tries) / len(tries))


def _first_k(tries: Tries, k: int) -> float:
    return sum(all(row[:k]) for row in tries) / len(tries)


_PASS_CASES: list[Case] = [
    ([[True, True, False, True], [False, True, False, False]], 2),
    ([[True, True, True, True], [True, False, True, True], [False, False, False, False]], 3),
    ([[True, False, True, True, True], [True, True, False, True, False]], 1),
    ([[False, True, True], [True, True, True]], 3),
    ([[True, True], [True, False], [False, True, True]], 2),
]
_PASS_MISTAKES: dict[str, Mistake] = {
    "at least once": (
        _pass_at_k,
        "that is pass@k: at least one of k tries succeeds. It grows with k. Customers come k times "
        "and want to be served k times: all k must succeed.",
    ),
    "mean to the power": (
        _pooled_power,
        "you take the mean over everything to the power k. That would be right if all scenarios "
        "were equally hard. Work out each scenario on its own, then take the mean.",
    ),
    "share to the power": (
        _mean_of_powers,
        "c/n to the power k draws the same try more than once. Draw k different tries: "
        "C(c, k) / C(n, k).",
    ),
    "first k tries": (
        _first_k,
        "you look at the first k tries only and throw the others away. All choices of k tries "
        "count: C(c, k) of C(n, k) of them succeed throughout.",
    ),
    "success rate": (
        lambda t, k: _pass_hat_k(t, 1),
        "that is the success rate, whatever k is.",
    ),
}


@exercise(
    "10.3",
    "Served k times in a row",
    answer_name="pass_hat_k",
    difficulty=2,
    minutes=10,
    hints=(
        "one scenario: n tries, c of them succeeded. How many ways are there to choose k tries, "
        "and how many of these choices hold successes only?",
        "math.comb(n, k) is the number of ways to choose k of n; it is 0 where k is above n.",
        "mean over the scenarios of math.comb(sum(row), k) / math.comb(len(row), k)",
    ),
)
def check_pass_hat_k(answer: Callable[..., Any]) -> None:
    """Judges pass_hat_k(tries, k): mean over scenarios of C(c, k) / C(n, k)."""
    judge(answer, _pass_hat_k, _PASS_CASES, _PASS_MISTAKES)


# ---- 10.4 the advantage

Groups = list[list[float]]


def _advantages(rewards: Groups) -> Groups:
    return [[r - (sum(g) - r) / (len(g) - 1) for r in g] for g in rewards]


def _with_itself(rewards: Groups) -> Groups:
    return [[r - sum(g) / len(g) for r in g] for g in rewards]


def _over_all(rewards: Groups) -> Groups:
    flat = [r for g in rewards for r in g]
    return [[r - (sum(flat) - r) / (len(flat) - 1) for r in g] for g in rewards]


def _scaled(rewards: Groups) -> Groups:
    return [[(r - sum(g) / len(g)) / (pstdev(g) or 1.0) for r in g] for g in rewards]


def _negated(groups: Groups) -> Groups:
    return [[-value for value in group] for group in groups]


_GAIN_CASES: list[Case] = [
    ([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 1.0]],),
    ([[0.5, -1.0, 1.0], [0.0, 0.0, 0.0]],),
    ([[1.0, 0.0], [0.0, 0.25, 1.0]],),
]
_GAIN_MISTAKES: dict[str, Mistake] = {
    "mean with itself": (
        _with_itself,
        "the baseline holds the try itself. Then part of its own reward is taken off, and every "
        "advantage comes out too small, by the factor (n − 1)/n. Take the mean of the others.",
    ),
    "no baseline": (
        lambda g: [list(map(float, group)) for group in g],
        "those are the rewards. Where all rewards are positive every reply would be pushed up, "
        "the poor ones as well: take off the mean of the others in the group.",
    ),
    "one baseline for all": (
        _over_all,
        "you compare with the tries of all groups. Then replies to easy customers look good and "
        "replies to hard ones bad, whatever the agent did. Compare within the group.",
    ),
    "sign": (
        lambda g: _negated(_advantages(g)),
        "the sign is the wrong way round: a reward above the others' mean is an advantage above 0.",
    ),
    "scaled": (
        _scaled,
        "you divide by the standard deviation, as GRPO does. Here only the mean of the others is "
        "taken off.",
    ),
}


def _as_groups(value: Any) -> tuple[tuple[float, ...], ...]:
    value = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(value, (list, tuple)) or not all(
        isinstance(group, (list, tuple)) for group in value
    ):
        raise Wrong(SHAPE, "return a list of lists, one advantage for each reward.")
    return tuple(tuple(number(v) for v in group) for group in value)


def _in_tuples(function: Callable[[Groups], Groups]) -> Callable[[Groups], Any]:
    return lambda rewards: _as_groups(function(rewards))


_GAIN_MISTAKES = {name: (_in_tuples(f), words) for name, (f, words) in _GAIN_MISTAKES.items()}
_gain = _in_tuples(_advantages)


@exercise(
    "10.4",
    "Better than the others",
    answer_name="advantages",
    difficulty=2,
    minutes=10,
    hints=(
        "work on one group at a time; a group's sum is enough for all its baselines.",
        "the mean of the others is (sum(group) - r) / (len(group) - 1).",
        "[[r - (sum(g) - r) / (len(g) - 1) for r in g] for g in rewards]",
    ),
)
def check_advantages(answer: Callable[..., Any]) -> None:
    """Judges advantages(rewards): each reward minus the mean of the others of its group."""
    judge(answer, _gain, _GAIN_CASES, _GAIN_MISTAKES, _as_groups)


# ---- 10.5 the loss of a preference


def _minus_log_sigmoid(x: float) -> float:
    return math.log1p(math.exp(-x))


def _pair_loss(c: float, r: float, held_c: float, held_r: float, beta: float) -> float:
    return _minus_log_sigmoid(beta * ((c - held_c) - (r - held_r)))


def _without_log(c: float, r: float, held_c: float, held_r: float, beta: float) -> float:
    return 1 / (1 + math.exp(-beta * ((c - held_c) - (r - held_r))))


_PAIR_CASES: list[Case] = [
    (-4.0, -6.0, -5.0, -5.0, 0.5),
    (-8.0, -3.0, -7.5, -3.5, 0.1),
    (-2.0, -9.0, -2.0, -9.0, 0.3),
    (-20.0, -12.0, -16.0, -15.0, 0.2),
]
_PAIR_MISTAKES: dict[str, Mistake] = {
    "no reference": (
        lambda c, r, hc, hr, b: _minus_log_sigmoid(b * (c - r)),
        "the model it started from is missing. What counts is how far each reply has moved from "
        "there: (good − good_start) − (bad − bad_start).",
    ),
    "sides swapped": (
        lambda c, r, hc, hr, b: _pair_loss(r, c, hr, hc, b),
        "good and bad are swapped: this loss would teach the worse reply.",
    ),
    "reference swapped": (
        lambda c, r, hc, hr, b: _pair_loss(c, r, hr, hc, b),
        "the other reply's start is taken off. `good` goes with `good_start`.",
    ),
    "beta outside": (
        lambda c, r, hc, hr, b: b * _pair_loss(c, r, hc, hr, 1.0),
        "beta stands before the loss. It belongs inside, before the difference: it sets how far "
        "the model may move before the loss is content.",
    ),
    "beta forgotten": (
        lambda c, r, hc, hr, b: _pair_loss(c, r, hc, hr, 1.0),
        "beta is not used.",
    ),
    "no logarithm": (
        _without_log,
        "that is the sigmoid itself, a probability. The loss is minus its logarithm.",
    ),
}


@exercise(
    "10.5",
    "The loss of a preference",
    answer_name="pair_loss",
    difficulty=2,
    minutes=10,
    hints=(
        "first the two gains: how much likelier has each reply become since the start?",
        "margin = beta * (gain of good - gain of bad)",
        "-math.log(1 / (1 + math.exp(-margin)))",
    ),
)
def check_pair_loss(answer: Callable[..., Any]) -> None:
    """Judges pair_loss(good, bad, good_start, bad_start, beta): the DPO loss of one pair."""
    judge(answer, _pair_loss, _PAIR_CASES, _PAIR_MISTAKES)
