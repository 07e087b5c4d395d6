"""Checks of chapter 09."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import combinations, product
from typing import Any

from course_lib.checks.exercises import Wrong, exercise
from course_lib.checks.judging import SHAPE, Case, Mistake, judge, number

# ---- 9.1 bits per byte

_LN2 = math.log(2)


def _bits_per_byte(losses: list[float], sizes: list[int]) -> float:
    return sum(losses) / _LN2 / sum(sizes)


_BITS_CASES: list[Case] = [
    ([2.0, 0.5, 1.5], [4, 1, 3]),
    ([0.1, 3.0], [7, 2]),
    ([1.0, 1.0, 0.25, 6.0], [1, 5, 2, 9]),
]
_BITS_MISTAKES: dict[str, Mistake] = {
    "nats": (
        lambda losses, sizes: sum(losses) / sum(sizes),
        "that is in nats per byte. A bit is ln 2 nats, so divide by math.log(2).",
    ),
    "times ln 2": (
        lambda losses, sizes: sum(losses) * _LN2 / sum(sizes),
        "you multiplied by ln 2. A loss of ln 2 nats is one bit: divide.",
    ),
    "per token": (
        lambda losses, sizes: sum(losses) / _LN2 / len(losses),
        "that is in bits per token. Another tokenizer makes other tokens of the same text; divide "
        "by the number of bytes.",
    ),
    "mean of ratios": (
        lambda losses, sizes: (
            sum(x / n for x, n in zip(losses, sizes, strict=True)) / _LN2 / len(losses)
        ),
        "you divided each token's loss by its bytes and took the mean. Then a token of one byte "
        "counts as much as one of nine: add both up first, divide once.",
    ),
    "perplexity": (
        lambda losses, sizes: math.exp(sum(losses) / sum(sizes)),
        "that is the perplexity per byte, e to the power of the nats per byte.",
    ),
    "upside down": (
        lambda losses, sizes: sum(sizes) / (sum(losses) / _LN2),
        "that is in bytes per bit: the fraction is upside down.",
    ),
}


@exercise(
    "9.1",
    "Bits per byte",
    answer_name="bits_per_byte",
    difficulty=1,
    minutes=6,
    hints=(
        "three steps: add the losses up, turn nats into bits, divide by all bytes.",
        "one bit is math.log(2) nats, so bits = nats / math.log(2).",
        "return sum(losses) / math.log(2) / sum(sizes)",
    ),
)
def check_bits_per_byte(answer: Callable[..., Any]) -> None:
    """Judges bits_per_byte(losses, sizes): nats by token and bytes by token -> bits per byte."""
    judge(answer, _bits_per_byte, _BITS_CASES, _BITS_MISTAKES)


# ---- 9.2 precision, recall and F1

Labels = list[str]
Three = tuple[float, float, float]


def _share(part: float, whole: float, empty: float = 0.0) -> float:
    return part / whole if whole else empty


def _counts(true: Labels, said: Labels, label: str) -> tuple[int, int, int]:
    right = sum(t == s == label for t, s in zip(true, said, strict=True))
    return right, said.count(label), true.count(label)


def _three(right: float, said: float, true: float, empty: float = 0.0) -> Three:
    precision, recall = _share(right, said, empty), _share(right, true, empty)
    return precision, recall, _share(2 * right, said + true, empty)


def _scores_of(true: Labels, said: Labels, label: str) -> Three:
    return _three(*_counts(true, said, label))


def _arithmetic(true: Labels, said: Labels, label: str) -> Three:
    precision, recall, _ = _scores_of(true, said, label)
    return precision, recall, (precision + recall) / 2


def _swapped(true: Labels, said: Labels, label: str) -> Three:
    precision, recall, f1 = _scores_of(true, said, label)
    return recall, precision, f1


def _all_labels(true: Labels, said: Labels, label: str) -> Three:
    right = sum(t == s for t, s in zip(true, said, strict=True))
    return _three(right, len(said), len(true))


def _agreements(true: Labels, said: Labels, label: str) -> Three:
    right = sum((t == label) == (s == label) for t, s in zip(true, said, strict=True))
    return _three(right, len(true), len(true))


def _said_counts_as_right(true: Labels, said: Labels, label: str) -> Three:
    _, claimed, there = _counts(true, said, label)
    return _three(min(claimed, there), claimed, there)


_CLASS_CASES: list[Case] = [
    (["ask", "ask", "tell", "tell", "ask", "bye"], ["ask", "tell", "ask", "tell", "ask", "ask"], x)
    for x in ("ask", "tell")
] + [
    (["tell", "tell", "ask", "bye"], ["tell", "tell", "tell", "bye"], "ask"),
    (["tell", "tell", "bye"], ["tell", "ask", "ask"], "ask"),
    (["tell", "bye"], ["tell", "tell"], "ask"),
]
_CLASS_MISTAKES: dict[str, Mistake] = {
    "swapped": (
        _swapped,
        "precision and recall are swapped. Precision asks how much of what was said is right, "
        "recall how much of what is true was found.",
    ),
    "arithmetic mean": (
        _arithmetic,
        "F1 is your mean of precision and recall. It is their harmonic mean, 2pr / (p + r), "
        "which is low as soon as one of them is low.",
    ),
    "all labels": (
        _all_labels,
        "you count every item that is right. Count only those of the label that was asked for.",
    ),
    "absences counted": (
        _agreements,
        "you count it as right when both sides agree that an item is not of this label. Such items "
        "stand in none of the three.",
    ),
    "places ignored": (
        _said_counts_as_right,
        "you compare how often the label was said and how often it is true. Go through the items: "
        "right is where both have the label at one place.",
    ),
    "1 for nothing": (
        lambda true, said, label: _three(*_counts(true, said, label), empty=1.0),
        "where there is nothing to count it returns 1. Return 0 there, as the statement says.",
    ),
}


def _numbers(value: Any, count: int, words: str) -> tuple[float, ...]:
    value = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(value, (tuple, list)) or len(value) != count:
        raise Wrong(SHAPE, f"return {words}.")
    return tuple(number(x) for x in value)


@exercise(
    "9.2",
    "Precision, recall and F1",
    answer_name="scores_of",
    difficulty=2,
    minutes=10,
    hints=(
        "three counts are enough: right (both have the label), said, and true.",
        "precision is right / said, recall right / true; guard both against 0.",
        "F1 is 2 * right / (said + true), and 0 where that sum is 0.",
    ),
)
def check_scores_of(answer: Callable[..., Any]) -> None:
    """Judges scores_of(true, said, label) -> (precision, recall, F1) of one label."""
    judge(
        answer,
        _scores_of,
        _CLASS_CASES,
        _CLASS_MISTAKES,
        lambda value: _numbers(value, 3, "three numbers: precision, recall, F1"),
    )


# ---- 9.3 a resample of dialogues

Values = list[float]


def _turns_of(values: Values, dialogues: Labels, drawn: Iterable[str]) -> Values:
    return [v for name in drawn for v, d in zip(values, dialogues, strict=True) if d == name]


def _mean(values: Values) -> float:
    return sum(values) / len(values)


def _resampled_mean(values: Values, dialogues: Labels, drawn: Labels) -> float:
    return _mean(_turns_of(values, dialogues, drawn))


def _mean_of_means(values: Values, dialogues: Labels, drawn: Labels) -> float:
    return _mean([_mean(_turns_of(values, dialogues, [name])) for name in drawn])


def _first_turns(values: Values, dialogues: Labels, drawn: Labels) -> float:
    return _mean([_turns_of(values, dialogues, [name])[0] for name in drawn])


_RESAMPLE_CASES: list[Case] = [
    ([1.0, 0.0, 1.0, 0.5, 0.25, 1.0], ["a", "a", "b", "c", "c", "c"], ["a", "a", "c"]),
    ([0.5, 1.0, 0.0, 0.25, 0.75], ["x", "y", "y", "x", "z"], ["z", "x", "z"]),
    ([0.0, 1.0, 0.25], ["p", "p", "q"], ["p", "q"]),
]
_RESAMPLE_MISTAKES: dict[str, Mistake] = {
    "drawn twice, counted once": (
        lambda v, d, drawn: _mean(_turns_of(v, d, set(drawn))),
        "a dialogue that was drawn twice counts once for you. Drawing with replacement means that "
        "it counts twice; otherwise the resample is only a smaller set.",
    ),
    "mean of means": (
        _mean_of_means,
        "you took the mean of each dialogue, and then the mean of those. A dialogue of one turn "
        "would weigh as much as one of six: put all turns together, then take one mean.",
    ),
    "nothing drawn": (
        lambda v, d, drawn: _mean(v),
        "that is the mean over all turns: what was drawn makes no difference.",
    ),
    "divided by all turns": (
        lambda v, d, drawn: sum(_turns_of(v, d, drawn)) / len(v),
        "the sum is right, but it is divided by the number of all turns. The resample has a number "
        "of turns of its own.",
    ),
    "divided by dialogues": (
        lambda v, d, drawn: sum(_turns_of(v, d, drawn)) / len(drawn),
        "the sum is right, but it is divided by the number of dialogues drawn. Divide by the "
        "number of their turns.",
    ),
    "one turn a dialogue": (
        _first_turns,
        "you took one turn of each dialogue. A dialogue that is drawn brings all of its turns.",
    ),
}


@exercise(
    "9.3",
    "A resample of dialogues",
    answer_name="resampled_mean",
    difficulty=2,
    minutes=10,
    hints=(
        "collect the values of each dialogue first, then walk over what was drawn.",
        "by_dialogue = {}; by_dialogue.setdefault(name, []).append(value) for each turn.",
        "chosen = [v for name in drawn for v in by_dialogue[name]]; then one mean.",
    ),
)
def check_resampled_mean(answer: Callable[..., Any]) -> None:
    """Judges resampled_mean(values, dialogues, drawn): the mean over the drawn dialogues' turns."""
    judge(answer, _resampled_mean, _RESAMPLE_CASES, _RESAMPLE_MISTAKES)


# ---- 9.4 the win rate

Votes = list[tuple[str, str, str]]


def _results(votes: Votes, system: str) -> list[str]:
    """For each comparison of the system: "won", "tie" or "lost"."""
    found = []
    for left, right, choice in votes:
        if system in (left, right):
            winner = {"left": left, "right": right}.get(choice)
            found.append("tie" if winner is None else "won" if winner == system else "lost")
    return found


def _rate(votes: Votes, system: str, tie: float = 0.5) -> float:
    results = _results(votes, system)
    return (results.count("won") + tie * results.count("tie")) / len(results)


def _without_ties(votes: Votes, system: str) -> float:
    results = _results(votes, system)
    return results.count("won") / (results.count("won") + results.count("lost"))


def _left_side(votes: Votes, system: str) -> float:
    mine = [choice for left, right, choice in votes if system in (left, right)]
    return (mine.count("left") + 0.5 * mine.count("tie")) / len(mine)


def _over_all(votes: Votes, system: str) -> float:
    return _rate(votes, system) * len(_results(votes, system)) / len(votes)


def _only_left(votes: Votes, system: str) -> float:
    return _rate([vote for vote in votes if vote[0] == system], system)


_WIN_CASES: list[Case] = [
    (
        [
            ("a", "b", "left"),
            ("b", "a", "left"),
            ("b", "a", "right"),
            ("a", "b", "tie"),
            ("b", "a", "right"),
            ("c", "b", "left"),
        ],
        "a",
    ),
    (
        [
            ("a", "b", "left"),
            ("b", "a", "right"),
            ("b", "a", "left"),
            ("c", "a", "left"),
            ("b", "c", "right"),
            ("b", "c", "tie"),
            ("c", "b", "left"),
        ],
        "b",
    ),
]
_WIN_MISTAKES: dict[str, Mistake] = {
    "left counted": (
        _left_side,
        "that is how often the left side won. The systems changed sides: look up which of them "
        "stood on the side that was chosen.",
    ),
    "ties left out": (
        _without_ties,
        "the ties are left out. Each of them counts as half a win, or a system that is nearly "
        "always equal seems to win or lose by a lot.",
    ),
    "ties lost": (
        lambda votes, system: _rate(votes, system, 0.0),
        "a tie counts as lost for you. Then both systems can have a rate under one half.",
    ),
    "ties won": (
        lambda votes, system: _rate(votes, system, 1.0),
        "a tie counts as won for you. Then both systems can have a rate above one half.",
    ),
    "the other's": (
        lambda votes, system: 1 - _rate(votes, system),
        "that is the rate of the other side. Count where the choice fell on this system.",
    ),
    "all comparisons": (
        _over_all,
        "you divide by all comparisons, also those that the system took no part in.",
    ),
    "one side only": (
        _only_left,
        "you looked only at comparisons where the system stood left. It stood right in others.",
    ),
}


@exercise(
    "9.4",
    "Who won?",
    answer_name="win_rate",
    difficulty=2,
    minutes=10,
    hints=(
        "leave out the comparisons that the system took no part in.",
        "winner = left if choice == 'left' else right if choice == 'right' else None",
        "add 1 where winner == system, 0.5 where it is None, and divide by their number.",
    ),
)
def check_win_rate(answer: Callable[..., Any]) -> None:
    """Judges win_rate(votes, system): wins and half the ties over the system's comparisons."""
    judge(answer, _rate, _WIN_CASES, _WIN_MISTAKES)


# ---- 9.5 by chance?

_SLACK = 1e-9


def _gaps(a: Values, b: Values) -> Values:
    return [x - y for x, y in zip(a, b, strict=True)]


def _flipped(gaps: Values) -> Values:
    """The mean gap under every choice of signs."""
    signs = product((1, -1), repeat=len(gaps))
    return [_mean([s * g for s, g in zip(row, gaps, strict=True)]) for row in signs]


def _p_value(a: Values, b: Values) -> float:
    seen = abs(_mean(_gaps(a, b)))
    return _mean([float(abs(m) >= seen - _SLACK) for m in _flipped(_gaps(a, b))])


def _one_sided(a: Values, b: Values) -> float:
    seen = _mean(_gaps(a, b))
    return _mean([float(m >= seen - _SLACK) for m in _flipped(_gaps(a, b))])


def _strictly_above(a: Values, b: Values) -> float:
    seen = abs(_mean(_gaps(a, b)))
    return _mean([float(abs(m) > seen + _SLACK) for m in _flipped(_gaps(a, b))])


def _not_paired(a: Values, b: Values) -> float:
    pool, seen = [*a, *b], abs(_mean(a) - _mean(b))
    size, total = len(a), sum(a) + sum(b)
    sums = [sum(pool[i] for i in chosen) for chosen in combinations(range(len(pool)), size)]
    return _mean([float(abs(2 * s - total) / size >= seen - _SLACK) for s in sums])


_P_CASES: list[Case] = [
    ([0.9, 0.8, 0.7, 0.95], [0.6, 0.75, 0.72, 0.5]),
    ([0.2, 0.4, 0.3], [0.5, 0.45, 0.9]),
    ([1.0, 0.5, 0.75, 0.25, 1.0], [0.5, 0.5, 0.5, 0.5, 0.0]),
]
_P_MISTAKES: dict[str, Mistake] = {
    "one-sided": (
        _one_sided,
        "you count only gaps on the side of A. A gap as large on B's side would have struck you as "
        "much: compare sizes, with abs(...).",
    ),
    "strictly larger": (
        _strictly_above,
        "you leave out gaps as large as the one seen. What was seen is one of the possible "
        "outcomes itself, so count ≥ and not >; then p is never 0.",
    ),
    "not paired": (
        _not_paired,
        "you mixed the scores of all dialogues. Swap A and B within a dialogue only: a hard one is "
        "hard for both, and that is what pairing takes out.",
    ),
    "the rest": (
        lambda a, b: 1 - _p_value(a, b),
        "that is the share of smaller gaps, 1 - p.",
    ),
    "not divided": (
        lambda a, b: _p_value(a, b) * 2 ** len(a),
        "that is a number of outcomes. Divide it by the number of all outcomes.",
    ),
}


@exercise(
    "9.5",
    "By chance?",
    answer_name="swap_p_value",
    difficulty=3,
    minutes=15,
    hints=(
        "take the gap of each dialogue first; swapping A and B in a dialogue turns its sign.",
        "itertools.product((1, -1), repeat=len(gaps)) gives every choice of signs.",
        "count where abs(mean of sign * gap) >= abs(mean of gaps) - 1e-9; divide by 2**len(gaps).",
    ),
)
def check_swap_p_value(answer: Callable[..., Any]) -> None:
    """Judges swap_p_value(a, b): the exact two-sided p-value by swapping within dialogues."""
    judge(answer, _p_value, _P_CASES, _P_MISTAKES)
