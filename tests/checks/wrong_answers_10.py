"""Typical wrong answers to the exercises of chapter 10: (function, the diagnosis it must get)."""

from __future__ import annotations

import math
from itertools import combinations
from statistics import mean, pstdev
from typing import Any

# ---- 10.1


def yes_before_number(needed: list, confirm: bool, known: dict, answer: Any) -> str:
    if confirm and not answer:
        return "confirm"
    for slot in needed:
        if slot not in known:
            return "ask " + slot
    return "leave" if answer == "deny" else "act"


def straight_on(needed: list, confirm: bool, known: dict, answer: Any) -> str:
    for slot in needed:
        if slot not in known:
            return "ask " + slot
    return "act"


def asks_for_every_yes(needed: list, confirm: bool, known: dict, answer: Any) -> str:
    for slot in needed:
        if slot not in known:
            return "ask " + slot
    if answer is None:
        return "confirm"
    return "leave" if answer == "deny" else "act"


def any_answer_will_do(needed: list, confirm: bool, known: dict, answer: Any) -> str:
    for slot in needed:
        if slot not in known:
            return "ask " + slot
    return "confirm" if confirm and answer is None else "act"


def never_content(needed: list, confirm: bool, known: dict, answer: Any) -> str:
    for slot in needed:
        if slot not in known:
            return "ask " + slot
    return "confirm" if confirm else "act"


def pops_the_last(needed: list, confirm: bool, known: dict, answer: Any) -> str:
    missing = [slot for slot in needed if slot not in known]
    if missing:
        return "ask " + missing.pop()
    if confirm and answer is None:
        return "confirm"
    return "leave" if answer == "deny" else "act"


def forgets(needed: list, confirm: bool, known: dict, answer: Any) -> str:
    if needed:
        return "ask " + needed[0]
    if confirm and answer is None:
        return "confirm"
    return "leave" if answer == "deny" else "act"


def act_alone(needed: list, confirm: bool, known: dict, answer: Any) -> Any:
    return ("ask", needed)


def always_acts(needed: list, confirm: bool, known: dict, answer: Any) -> str:
    return "act"


# ---- 10.2


def _counts(turns: list) -> tuple[int, int, int]:
    hits = len([1 for due, asked in turns if due and asked])
    return hits, len([1 for _, asked in turns if asked]), len([1 for due, _ in turns if due])


def recall_first(turns: list) -> tuple[float, float]:
    hits, asked, due = _counts(turns)
    return (hits / due if due else 0.0), (hits / asked if asked else 0.0)


def share_that_agrees(turns: list) -> tuple[float, float]:
    share = mean(float(due == asked) for due, asked in turns)
    return share, share


def hits_of_everything(turns: list) -> tuple[float, float]:
    share = _counts(turns)[0] / len(turns)
    return share, share


def how_often_it_asks(turns: list) -> tuple[float, float]:
    hits, asked, due = _counts(turns)
    return asked / len(turns), (hits / due if due else 0.0)


def generous(turns: list) -> tuple[float, float]:
    hits, asked, due = _counts(turns)
    return (hits / asked if asked else 1.0), (hits / due if due else 1.0)


def precision_alone(turns: list) -> Any:
    hits, asked, _ = _counts(turns)
    return hits / max(asked, 1)


def full_marks(turns: list) -> tuple[float, float]:
    return 1.0, 1.0


# ---- 10.3


def once_is_enough(tries: list, k: int) -> float:
    return mean(mean(float(any(some)) for some in combinations(row, k)) for row in tries)


def rate_to_the_k(tries: list, k: int) -> float:
    everything = [float(ok) for row in tries for ok in row]
    return mean(everything) ** k


def draws_with_return(tries: list, k: int) -> float:
    return mean(mean(map(float, row)) ** k for row in tries)


def cuts_the_list(tries: list, k: int) -> float:
    return mean(float(sum(row[:k]) == len(row[:k])) for row in tries)


def ignores_k(tries: list, k: int) -> float:
    return mean(mean(map(float, row)) for row in tries)


def a_list_of_shares(tries: list, k: int) -> Any:
    return [sum(row) for row in tries]


def never_passes(tries: list, k: int) -> float:
    return 0.0


# ---- 10.4


def takes_off_the_mean(rewards: list) -> list:
    return [[r - mean(group) for r in group] for group in rewards]


def takes_off_nothing(rewards: list) -> list:
    return rewards


def everyone_together(rewards: list) -> list:
    pool = [r for group in rewards for r in group]
    return [[r - (sum(pool) - r) / (len(pool) - 1) for r in group] for group in rewards]


def the_others_minus_mine(rewards: list) -> list:
    return [[(sum(g) - r) / (len(g) - 1) - r for r in g] for g in rewards]


def like_grpo(rewards: list) -> list:
    return [[(r - mean(g)) / (pstdev(g) or 1) for r in g] for g in rewards]


def one_long_list(rewards: list) -> Any:
    return [r for group in rewards for r in group]


def all_nought(rewards: list) -> list:
    return [[0.0 for _ in group] for group in rewards]


# ---- 10.5


def _loss(margin: float) -> float:
    return -math.log(1 / (1 + math.exp(-margin)))


def forgets_the_start(c: float, r: float, hc: float, hr: float, beta: float) -> float:
    return _loss(beta * (c - r))


def prefers_the_worse(c: float, r: float, hc: float, hr: float, beta: float) -> float:
    return _loss(beta * ((r - hr) - (c - hc)))


def crosses_over(c: float, r: float, hc: float, hr: float, beta: float) -> float:
    return _loss(beta * ((c - hr) - (r - hc)))


def beta_in_front(c: float, r: float, hc: float, hr: float, beta: float) -> float:
    return beta * _loss((c - hc) - (r - hr))


def no_beta(c: float, r: float, hc: float, hr: float, beta: float) -> float:
    return _loss((c - hc) - (r - hr))


def a_probability(c: float, r: float, hc: float, hr: float, beta: float) -> float:
    return 1 / (1 + math.exp(-beta * ((c - hc) - (r - hr))))


def loss_and_margin(c: float, r: float, hc: float, hr: float, beta: float) -> Any:
    return c - r, beta


def always_the_log_of_two(c: float, r: float, hc: float, hr: float, beta: float) -> float:
    return math.log(2)


CHAPTER_10 = {
    "10.1": [
        (yes_before_number, "confirmed before asked"),
        (straight_on, "never confirmed"),
        (asks_for_every_yes, "always confirmed"),
        (any_answer_will_do, "acts against a no"),
        (never_content, "confirmed twice"),
        (pops_the_last, "last slot first"),
        (forgets, "asked again"),
        (act_alone, "wrong shape"),
        (always_acts, "differs"),
    ],
    "10.2": [
        (recall_first, "swapped"),
        (share_that_agrees, "accuracy"),
        (hits_of_everything, "divided by all turns"),
        (how_often_it_asks, "asked counted as right"),
        (generous, "one for nothing"),
        (precision_alone, "wrong shape"),
        (full_marks, "differs"),
    ],
    "10.3": [
        (once_is_enough, "at least once"),
        (rate_to_the_k, "mean to the power"),
        (draws_with_return, "share to the power"),
        (cuts_the_list, "first k tries"),
        (ignores_k, "success rate"),
        (a_list_of_shares, "wrong shape"),
        (never_passes, "differs"),
    ],
    "10.4": [
        (takes_off_the_mean, "mean with itself"),
        (takes_off_nothing, "no baseline"),
        (everyone_together, "one baseline for all"),
        (the_others_minus_mine, "sign"),
        (like_grpo, "scaled"),
        (one_long_list, "wrong shape"),
        (all_nought, "differs"),
    ],
    "10.5": [
        (forgets_the_start, "no reference"),
        (prefers_the_worse, "sides swapped"),
        (crosses_over, "reference swapped"),
        (beta_in_front, "beta outside"),
        (no_beta, "beta forgotten"),
        (a_probability, "no logarithm"),
        (loss_and_margin, "wrong shape"),
        (always_the_log_of_two, "differs"),
    ],
}
