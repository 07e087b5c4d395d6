"""Typical wrong answers to each exercise, and the diagnosis each must get.

Written as a learner would write them, without a look at the check. An exercise has at least two.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.checks.wrong_answers_03 import CHAPTER_03
from tests.checks.wrong_answers_04 import CHAPTER_04
from tests.checks.wrong_answers_05 import CHAPTER_05
from tests.checks.wrong_answers_06 import CHAPTER_06
from tests.checks.wrong_answers_07 import CHAPTER_07
from tests.checks.wrong_answers_08 import CHAPTER_08
from tests.checks.wrong_answers_09 import CHAPTER_09
from tests.checks.wrong_answers_10 import CHAPTER_10
from tests.checks.wrong_answers_11 import CHAPTER_11
from tests.checks.wrong_answers_12 import CHAPTER_12
from tests.checks.wrong_answers_13 import CHAPTER_13

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


# ---- chapter 02


def doubles_from_the_left(number: str) -> bool:
    digits = [int(c) for c in number if c.isdigit()]
    total = 0
    for i, d in enumerate(digits):
        total += d if i % 2 == 0 else sum(map(int, str(2 * d)))
    return total % 10 == 0


def doubles_the_last(number: str) -> bool:
    digits = [int(c) for c in reversed(number) if c.isdigit()]
    return sum(sum(divmod(2 * d, 10)) if i % 2 == 0 else d for i, d in enumerate(digits)) % 10 == 0


def keeps_the_tens(number: str) -> bool:
    digits = [int(c) for c in reversed(number) if c.isdigit()]
    return sum(2 * d if i % 2 else d for i, d in enumerate(digits)) % 10 == 0


def adds_the_digits(number: str) -> bool:
    return sum(int(c) for c in number if c.isdigit()) % 10 == 0


def walks_over_spaces(number: str) -> bool:
    total = 0
    for i, c in enumerate(number[::-1]):
        if c.isdigit():
            total += sum(divmod(2 * int(c), 10)) if i % 2 else int(c)
    return total % 10 == 0


def looks_at_the_length(number: str) -> bool:
    return 13 <= sum(c.isdigit() for c in number) <= 19


def right_luhn(number: str) -> bool:
    digits = [int(c) for c in reversed(number) if c.isdigit()]
    return sum(sum(divmod(2 * d, 10)) if i % 2 else d for i, d in enumerate(digits)) % 10 == 0


def true_when_it_fails(number: str) -> bool:
    return not right_luhn(number)


def remainder_alone(number: str) -> Any:
    return 7


def always_a_card(number: str) -> bool:
    return True


Turns = list[tuple[str, str]]


def joins(turns: Turns, roles: tuple[str, ...], glue: str = " ", drop: bool = True) -> Turns:
    made: Turns = []
    for role, text in turns:
        if drop and not text.strip():
            continue
        if made and made[-1][0] == role and role in roles:
            made[-1] = (role, made[-1][1] + glue + text)
        else:
            made.append((role, text))
    return made


def joins_both_sides(turns: Turns) -> Turns:
    return joins(turns, ("user", "assistant"))


def keeps_the_empty(turns: Turns) -> Turns:
    return joins(turns, ("user",), drop=False)


def drops_at_the_end(turns: Turns) -> Turns:
    return [turn for turn in joins(turns, ("user",), drop=False) if turn[1].strip()]


def glues_words(turns: Turns) -> Turns:
    return joins(turns, ("user",), glue="")


def keeps_the_first(turns: Turns) -> Turns:
    made: Turns = []
    for role, text in turns:
        if text.strip() and not (made and role == "user" == made[-1][0]):
            made.append((role, text))
    return made


def keeps_the_last(turns: Turns) -> Turns:
    made: Turns = []
    for role, text in turns:
        if not text.strip():
            continue
        if made and role == "user" == made[-1][0]:
            made[-1] = (role, text)
        else:
            made.append((role, text))
    return made


def joins_pairs(turns: Turns) -> Turns:
    full = [turn for turn in turns if turn[1].strip()]
    made: Turns = []
    i = 0
    while i < len(full):
        if i + 1 < len(full) and full[i][0] == "user" == full[i + 1][0]:
            made.append(("user", full[i][1] + " " + full[i + 1][1]))
            i += 2
        else:
            made.append(full[i])
            i += 1
    return made


def only_drops(turns: Turns) -> Turns:
    return [turn for turn in turns if turn[1].strip()]


def texts_alone(turns: Turns) -> Any:
    return [text for _, text in turns if text.strip()]


def lowers_everything(turns: Turns) -> Turns:
    return [(role, text.lower()) for role, text in joins(turns, ("user",))]


def stays(start: int, end: int, low: int, high: int, new: str) -> tuple[int, ...]:
    return start, end


def always_moves(start: int, end: int, low: int, high: int, new: str) -> tuple[int, ...]:
    by = len(new) - (high - low)
    return start + by, end + by


def span_by(start: int, end: int, low: int, high: int, by: int) -> tuple[int, ...]:
    if high <= start:
        return start + by, end + by
    if low >= end:
        return start, end
    if start <= low and high <= end and end + by > start:
        return start, end + by
    return ()


def moves_from_behind(start: int, end: int, low: int, high: int, new: str) -> tuple[int, ...]:
    by = len(new) - (high - low)
    return (start + by, end + by) if low >= end else span_by(start, end, low, high, by)


def adds_the_new(start: int, end: int, low: int, high: int, new: str) -> tuple[int, ...]:
    return span_by(start, end, low, high, len(new))


def takes_off_the_old(start: int, end: int, low: int, high: int, new: str) -> tuple[int, ...]:
    return span_by(start, end, low, high, low - high)


def shifts_backwards(start: int, end: int, low: int, high: int, new: str) -> tuple[int, ...]:
    return span_by(start, end, low, high, high - low - len(new))


def moves_both_ends(start: int, end: int, low: int, high: int, new: str) -> tuple[int, ...]:
    by = len(new) - (high - low)
    found = span_by(start, end, low, high, by)
    inside = start <= low and high <= end and high > start and low < end
    return (start + by, end + by) if inside and found else found


def leaves_the_end(start: int, end: int, low: int, high: int, new: str) -> tuple[int, ...]:
    found = span_by(start, end, low, high, len(new) - (high - low))
    inside = start <= low and high <= end and high > start and low < end
    return (start, end) if inside and found else found


def saves_the_rest(start: int, end: int, low: int, high: int, new: str) -> tuple[int, ...]:
    by = len(new) - (high - low)
    found = span_by(start, end, low, high, by)
    if found or (start <= low and high <= end):
        return found
    return (start, low) if low > start else (low + len(new), end + by)


def length_alone(start: int, end: int, low: int, high: int, new: str) -> Any:
    return end - start


def always_lost(start: int, end: int, low: int, high: int, new: str) -> tuple[int, ...]:
    return ()


def takes_the_first(families: list[str], wanted: int) -> list[bool]:
    return [True] * wanted + [False] * (len(families) - wanted)


def looks_at_the_neighbour(families: list[str], wanted: int) -> list[bool]:
    flags = [False] * len(families)
    for i, family in enumerate(families):
        flags[i] = i < wanted or (flags[i - 1] and families[i - 1] == family)
    return flags


def counts_families(families: list[str], wanted: int) -> list[bool]:
    return [family in list(dict.fromkeys(families))[:wanted] for family in families]


def families_while(families: list[str], more: Callable[[int, int], bool]) -> list[bool]:
    chosen: set[str] = set()
    count = 0
    for family in dict.fromkeys(families):
        size = families.count(family)
        if not more(count, size):
            break
        chosen.add(family)
        count += size
    return [family in chosen for family in families]


def stays_below(families: list[str], wanted: int) -> list[bool]:
    return families_while(families, lambda count, size: count + size <= wanted)


def takes_one_more(families: list[str], wanted: int) -> list[bool]:
    return families_while(families, lambda count, size: count <= wanted)


def flags_the_training(families: list[str], wanted: int) -> list[bool]:
    return [not flag for flag in families_while(families, lambda count, _: count < wanted)]


def names_the_families(families: list[str], wanted: int) -> Any:
    return sorted(set(families))[:wanted]


def holds_out_all(families: list[str], wanted: int) -> list[bool]:
    return [True] * len(families)


Ledger = dict[int, tuple[str, str]]


def kind_by(
    kind: str, ledger: Ledger, dropped: set[int], alarms: set[int], mine: set[int] | None = None
) -> tuple[float, float]:
    planted = {line for line, (name, _) in ledger.items() if name == kind}
    right = len(planted & dropped)
    whole = len(planted if mine is None else mine)
    return right / whole if whole else 0.0, right / (right + len(alarms)) if right else 0.0


def unnamed(ledger: Ledger, dropped: set[int]) -> set[int]:
    return {line for line in dropped if line not in ledger}


def to_keep(ledger: Ledger, dropped: set[int]) -> set[int]:
    return {line for line in dropped if line in ledger and ledger[line][1] == "keep"}


def precision_first(kind: str, ledger: Ledger, dropped: set[int]) -> tuple[float, float]:
    alarms = unnamed(ledger, dropped) | to_keep(ledger, dropped)
    recall, precision = kind_by(kind, ledger, dropped, alarms)
    return precision, recall


def blames_every_other_line(kind: str, ledger: Ledger, dropped: set[int]) -> tuple[float, float]:
    alarms = {line for line in dropped if ledger.get(line, ("", ""))[0] != kind}
    return kind_by(kind, ledger, dropped, alarms)


def trusts_the_ledgers_lines(kind: str, ledger: Ledger, dropped: set[int]) -> tuple[float, float]:
    return kind_by(kind, ledger, dropped, unnamed(ledger, dropped))


def asks_the_ledger_only(kind: str, ledger: Ledger, dropped: set[int]) -> tuple[float, float]:
    return kind_by(kind, ledger, dropped, to_keep(ledger, dropped))


def recall_of_all(kind: str, ledger: Ledger, dropped: set[int]) -> tuple[float, float]:
    alarms = unnamed(ledger, dropped) | to_keep(ledger, dropped)
    everything = {line for line, (_, action) in ledger.items() if action == "drop"}
    return kind_by(kind, ledger, dropped, alarms, everything)


def recall_alone(kind: str, ledger: Ledger, dropped: set[int]) -> Any:
    return kind_by(kind, ledger, dropped, set())[0]


def always_perfect(kind: str, ledger: Ledger, dropped: set[int]) -> tuple[float, float]:
    return 1.0, 1.0


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
    "2.1": [
        WrongAnswer(doubles_from_the_left, "from the left"),
        WrongAnswer(doubles_the_last, "the other digits doubled"),
        WrongAnswer(keeps_the_tens, "nine not taken off"),
        WrongAnswer(adds_the_digits, "nothing doubled"),
        WrongAnswer(walks_over_spaces, "spaces counted"),
        WrongAnswer(looks_at_the_length, "length alone"),
        WrongAnswer(true_when_it_fails, "the wrong way round"),
        WrongAnswer(remainder_alone, "wrong shape"),
        WrongAnswer(always_a_card, "differs"),
    ],
    "2.2": [
        WrongAnswer(joins_both_sides, "agent joined too"),
        WrongAnswer(keeps_the_empty, "empty turns kept"),
        WrongAnswer(drops_at_the_end, "joined before dropping"),
        WrongAnswer(glues_words, "no space"),
        WrongAnswer(keeps_the_first, "first message only"),
        WrongAnswer(keeps_the_last, "last message only"),
        WrongAnswer(joins_pairs, "only two joined"),
        WrongAnswer(only_drops, "nothing joined"),
        WrongAnswer(texts_alone, "wrong shape"),
        WrongAnswer(lowers_everything, "differs"),
    ],
    "2.3": [
        WrongAnswer(stays, "not moved"),
        WrongAnswer(always_moves, "always moved"),
        WrongAnswer(moves_from_behind, "moved from behind"),
        WrongAnswer(adds_the_new, "old text forgotten"),
        WrongAnswer(takes_off_the_old, "new text forgotten"),
        WrongAnswer(shifts_backwards, "sign"),
        WrongAnswer(moves_both_ends, "start moved by an edit inside"),
        WrongAnswer(leaves_the_end, "end not moved by an edit inside"),
        WrongAnswer(saves_the_rest, "cut spans kept"),
        WrongAnswer(length_alone, "wrong shape"),
        WrongAnswer(always_lost, "differs"),
    ],
    "2.4": [
        WrongAnswer(takes_the_first, "family torn apart"),
        WrongAnswer(looks_at_the_neighbour, "only neighbours kept together"),
        WrongAnswer(counts_families, "families counted"),
        WrongAnswer(stays_below, "too few"),
        WrongAnswer(takes_one_more, "one family too many"),
        WrongAnswer(flags_the_training, "the wrong way round"),
        WrongAnswer(names_the_families, "wrong shape"),
        WrongAnswer(holds_out_all, "differs"),
    ],
    "2.5": [
        WrongAnswer(precision_first, "swapped"),
        WrongAnswer(blames_every_other_line, "other defects as false alarms"),
        WrongAnswer(trusts_the_ledgers_lines, "hard negatives forgiven"),
        WrongAnswer(asks_the_ledger_only, "clean lines forgiven"),
        WrongAnswer(recall_of_all, "recall of everything"),
        WrongAnswer(recall_alone, "wrong shape"),
        WrongAnswer(always_perfect, "differs"),
    ],
}
for chapter in (
    CHAPTER_03,
    CHAPTER_04,
    CHAPTER_05,
    CHAPTER_06,
    CHAPTER_07,
    CHAPTER_08,
    CHAPTER_09,
    CHAPTER_10,
    CHAPTER_11,
    CHAPTER_12,
    CHAPTER_13,
):
    WRONG_ANSWERS |= {n: [WrongAnswer(*pair) for pair in pairs] for n, pairs in chapter.items()}
