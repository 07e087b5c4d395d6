"""Typical wrong answers to each exercise, and the diagnosis each must get.

Written as a learner would write them, without a look at the check. An exercise has at least two.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.checks.wrong_answers_03 import CHAPTER_03

Pieces = list[tuple[str, list[int]]]
Marked = tuple[list[int], list[Any]]


class WrongAnswer(NamedTuple):
    answer: Callable[..., Any]
    mistake: str


def end_token_forgotten(pieces: Pieces) -> Marked:
    ids, mask = [], []
    for role, piece in pieces:
        for token in piece:
            ids.append(token)
            mask.append(role == "assistant" and token != piece[-1])
    return ids, mask


def user_trained_too(pieces: Pieces) -> Marked:
    ids, mask = [], []
    for role, piece in pieces:
        ids += piece
        mask += [role != "system"] * len(piece)
    return ids, mask


def last_assistant_turn_only(pieces: Pieces) -> Marked:
    ids, mask = [], []
    for role, piece in pieces:
        if role == "assistant":
            mask = [False] * len(ids)
        ids += piece
        mask += [role == "assistant"] * len(piece)
    return ids, mask


def stops_after_first_reply(pieces: Pieces) -> Marked:
    ids: list[int] = []
    mask: list[bool] = []
    for role, piece in pieces:
        mask += [role == "assistant" and True not in mask] * len(piece)
        ids += piece
    return ids, mask


def shifted_right(pieces: Pieces) -> Marked:
    ids, mask = [], [False]
    for role, piece in pieces:
        ids += piece
        mask += [role == "assistant"] * len(piece)
    return ids, mask[:-1]


def shifted_left(pieces: Pieces) -> Marked:
    ids, mask = [], []
    for role, piece in pieces:
        ids += piece
        mask += [role == "assistant"] * len(piece)
    return ids, mask[1:] + [False]


def all_ones(pieces: Pieces) -> Marked:
    ids = [token for _, piece in pieces for token in piece]
    return ids, [1] * len(ids)


def all_zero(pieces: Pieces) -> Marked:
    ids = [token for _, piece in pieces for token in piece]
    return ids, [0] * len(ids)


def the_other_way_round(pieces: Pieces) -> Marked:
    ids, mask = [], []
    for role, piece in pieces:
        ids += piece
        mask += [role != "assistant"] * len(piece)
    return ids, mask


def one_value_a_turn(pieces: Pieces) -> Marked:
    return [t for _, piece in pieces for t in piece], [role == "assistant" for role, _ in pieces]


def replies_only(pieces: Pieces) -> Marked:
    ids = [token for role, piece in pieces if role == "assistant" for token in piece]
    return ids, [True] * len(ids)


def mask_alone(pieces: Pieces) -> Any:
    return [role == "assistant" for role, piece in pieces for _ in piece]


def searched_by_token(pieces: Pieces) -> Marked:
    """Marks the tokens of the replies wherever they stand, as a search afterwards would."""
    replies = {t for role, piece in pieces if role == "assistant" for t in piece}
    ids = [token for _, piece in pieces for token in piece]
    return ids, [token in replies for token in ids]


# ---- chapter 01


def log_probability(log_probs: list[float], trained: list[bool]) -> float:
    kept = [p for p, on in zip(log_probs, trained, strict=True) if on]
    return sum(kept) / len(kept)


def prompt_counted(log_probs: list[float], trained: list[bool]) -> float:
    return -sum(log_probs) / len(log_probs)


def divides_by_length(log_probs: list[float], trained: list[bool]) -> float:
    return -sum(p * on for p, on in zip(log_probs, trained, strict=True)) / len(log_probs)


def only_sums(log_probs: list[float], trained: list[bool]) -> float:
    return -sum(p for p, on in zip(log_probs, trained, strict=True) if on)


def prompt_only(log_probs: list[float], trained: list[bool]) -> float:
    kept = [-p for p, on in zip(log_probs, trained, strict=True) if not on]
    return sum(kept) / len(kept)


def exponential(log_probs: list[float], trained: list[bool]) -> float:
    return math.exp(-log_probability(log_probs, trained))


def in_bits(log_probs: list[float], trained: list[bool]) -> float:
    return -log_probability(log_probs, trained) / math.log(2)


def averages_probabilities(log_probs: list[float], trained: list[bool]) -> float:
    kept = [math.exp(p) for p, on in zip(log_probs, trained, strict=True) if on]
    return -math.log(sum(kept) / len(kept))


def trained_count(log_probs: list[float], trained: list[bool]) -> float:
    return float(sum(trained))


def a_list_of_losses(log_probs: list[float], trained: list[bool]) -> Any:
    return [-p for p, on in zip(log_probs, trained, strict=True) if on]


def textbook_interval(right: int, asked: int) -> tuple[float, float]:
    p = right / asked
    half = 1.96 * math.sqrt(p * (1 - p) / asked)
    return p - half, p + half


def textbook_interval_cut(right: int, asked: int) -> tuple[float, float]:
    low, high = textbook_interval(right, asked)
    return max(low, 0.0), min(high, 1.0)


def wilson_with(
    right: int, asked: int, z: float = 1.96, divide: bool = True
) -> tuple[float, float]:
    p = right / asked
    by = 1 + z**2 / asked if divide else 1.0
    middle = p + z**2 / (2 * asked)
    half = z * math.sqrt(p * (1 - p) / asked + z**2 / (4 * asked**2))
    return (middle - half) / by, (middle + half) / by


def wilson_undivided(right: int, asked: int) -> tuple[float, float]:
    return wilson_with(right, asked, divide=False)


def wilson_undivided_cut(right: int, asked: int) -> tuple[float, float]:
    low, high = wilson_undivided(right, asked)
    return max(low, 0.0), min(high, 1.0)


def wilson_of_one_z(right: int, asked: int) -> tuple[float, float]:
    return wilson_with(right, asked, z=1.0)


def wilson_about_the_share(right: int, asked: int) -> tuple[float, float]:
    low, high = wilson_with(right, asked)
    p = right / asked
    return p - (high - low) / 2, p + (high - low) / 2


def high_first(right: int, asked: int) -> tuple[float, float]:
    low, high = wilson_with(right, asked)
    return high, low


def share_alone(right: int, asked: int) -> float:
    return right / asked


def zero_to_one(right: int, asked: int) -> tuple[float, float]:
    return 0.0, 1.0


def named(is_read: bool, is_told: bool) -> str:
    if is_read:
        return "both" if is_told else "pretraining only"
    return "SFT only" if is_told else "neither"


def mixed_up(name: str, value: str, read: list[str], told: list[str]) -> str:
    return named(
        any(name in s and value in s for s in told), any(name in s and value in s for s in read)
    )


def looks_for_the_name(name: str, value: str, read: list[str], told: list[str]) -> str:
    return named(any(name in s for s in read), any(name in s for s in told))


def looks_for_the_value(name: str, value: str, read: list[str], told: list[str]) -> str:
    return named(any(value in s for s in read), any(value in s for s in told))


def looks_for_either(name: str, value: str, read: list[str], told: list[str]) -> str:
    return named(
        any(name in s or value in s for s in read), any(name in s or value in s for s in told)
    )


def joins_the_text(name: str, value: str, read: list[str], told: list[str]) -> str:
    texts = " ".join(read), " ".join(told)
    return named(*(name in text and value in text for text in texts))


def forgets_both(name: str, value: str, read: list[str], told: list[str]) -> str:
    if any(name in s and value in s for s in read):
        return "pretraining only"
    if any(name in s and value in s for s in told):
        return "SFT only"
    return "neither"


def gives_truth_values(name: str, value: str, read: list[str], told: list[str]) -> Any:
    return any(name in s and value in s for s in read), any(name in s for s in told)


def never_neither(name: str, value: str, read: list[str], told: list[str]) -> str:
    found = named(
        any(name in s and value in s for s in read), any(name in s and value in s for s in told)
    )
    return "SFT only" if found == "neither" else found


Points = list[tuple[int, float]]


def crossing(curve: Points, target: float, log: bool = True, never: float = math.inf) -> float:
    if curve[0][1] >= target:
        return curve[0][0]
    for i in range(1, len(curve)):
        (a, low), (b, high) = curve[i - 1], curve[i]
        if low < target <= high:
            part = (target - low) / (high - low)
            return a * (b / a) ** part if log else a + part * (b - a)
    return never


def straight_line(curve: Points, target: float) -> float:
    return crossing(sorted(curve), target, log=False)


def takes_them_as_they_come(curve: Points, target: float) -> float:
    return crossing(curve, target)


def says_the_largest(curve: Points, target: float) -> float:
    return crossing(sorted(curve), target, never=max(curve)[0])


def first_that_reaches(curve: Points, target: float) -> float:
    return min((size for size, share in curve if share >= target), default=math.inf)


def last_that_misses(curve: Points, target: float) -> float:
    return max((size for size, share in curve if share < target), default=math.inf)


def the_share_itself(curve: Points, target: float) -> float:
    return target


def a_text(curve: Points, target: float) -> Any:
    return "about 120"


WRONG_ANSWERS: dict[str, list[WrongAnswer]] = {
    "0.1": [
        WrongAnswer(end_token_forgotten, "end token lost"),
        WrongAnswer(user_trained_too, "user turns trained"),
        WrongAnswer(last_assistant_turn_only, "last reply only"),
        WrongAnswer(stops_after_first_reply, "first reply only"),
        WrongAnswer(shifted_right, "one position late"),
        WrongAnswer(shifted_left, "one position early"),
        WrongAnswer(all_ones, "everything trained"),
        WrongAnswer(all_zero, "nothing trained"),
        WrongAnswer(the_other_way_round, "roles swapped"),
        WrongAnswer(one_value_a_turn, "wrong shape"),
        WrongAnswer(replies_only, "ids changed"),
        WrongAnswer(mask_alone, "wrong shape"),
        WrongAnswer(searched_by_token, "mask differs"),
    ],
    "1.1": [
        WrongAnswer(log_probability, "sign"),
        WrongAnswer(prompt_counted, "everything trained"),
        WrongAnswer(divides_by_length, "divided by all positions"),
        WrongAnswer(only_sums, "not divided"),
        WrongAnswer(prompt_only, "mask the wrong way round"),
        WrongAnswer(exponential, "perplexity"),
        WrongAnswer(in_bits, "base 2"),
        WrongAnswer(averages_probabilities, "mean of probabilities"),
        WrongAnswer(trained_count, "differs"),
        WrongAnswer(a_list_of_losses, "wrong shape"),
    ],
    "1.2": [
        WrongAnswer(textbook_interval, "normal approximation"),
        WrongAnswer(textbook_interval_cut, "normal approximation, clipped"),
        WrongAnswer(wilson_undivided, "no division"),
        WrongAnswer(wilson_undivided_cut, "no division, clipped"),
        WrongAnswer(wilson_of_one_z, "z forgotten"),
        WrongAnswer(wilson_about_the_share, "around the share"),
        WrongAnswer(high_first, "ends swapped"),
        WrongAnswer(share_alone, "wrong shape"),
        WrongAnswer(zero_to_one, "differs"),
    ],
    "1.3": [
        WrongAnswer(mixed_up, "swapped"),
        WrongAnswer(looks_for_the_name, "name alone"),
        WrongAnswer(looks_for_the_value, "value alone"),
        WrongAnswer(looks_for_either, "either of the two"),
        WrongAnswer(joins_the_text, "two sentences"),
        WrongAnswer(forgets_both, "never both"),
        WrongAnswer(gives_truth_values, "wrong shape"),
        WrongAnswer(never_neither, "differs"),
    ],
    "1.4": [
        WrongAnswer(straight_line, "linear axis"),
        WrongAnswer(takes_them_as_they_come, "not sorted"),
        WrongAnswer(says_the_largest, "largest when never reached"),
        WrongAnswer(first_that_reaches, "next measured size"),
        WrongAnswer(last_that_misses, "last size below"),
        WrongAnswer(the_share_itself, "differs"),
        WrongAnswer(a_text, "wrong shape"),
    ],
}
WRONG_ANSWERS |= {n: [WrongAnswer(*pair) for pair in pairs] for n, pairs in CHAPTER_03.items()}
