"""Typical wrong answers to the exercises of chapter 09: (function, the diagnosis it must get)."""

from __future__ import annotations

import math
from itertools import combinations, product
from statistics import mean
from typing import Any

# ---- 9.1


def in_nats(losses: list[float], sizes: list[int]) -> float:
    return sum(losses) / sum(sizes)


def multiplied(losses: list[float], sizes: list[int]) -> float:
    return sum(losses) / sum(sizes) * math.log(2)


def bits_per_token(losses: list[float], sizes: list[int]) -> float:
    return mean(loss / math.log(2) for loss in losses)


def token_by_token(losses: list[float], sizes: list[int]) -> float:
    return mean(loss / size / math.log(2) for loss, size in zip(losses, sizes, strict=True))


def exponential(losses: list[float], sizes: list[int]) -> float:
    return math.e ** (sum(losses) / sum(sizes))


def bytes_per_bit(losses: list[float], sizes: list[int]) -> float:
    return sum(sizes) * math.log(2) / sum(losses)


def base_ten(losses: list[float], sizes: list[int]) -> float:
    return sum(losses) / math.log(10) / sum(sizes)


def each_token(losses: list[float], sizes: list[int]) -> Any:
    return [loss / size for loss, size in zip(losses, sizes, strict=True)]


# ---- 9.2

Labels = list[str]


def hits(true: Labels, said: Labels, label: str) -> int:
    return len([1 for i in range(len(true)) if true[i] == label and said[i] == label])


def over(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0


def recall_first(true: Labels, said: Labels, label: str) -> tuple[float, ...]:
    h = hits(true, said, label)
    r, p = over(h, true.count(label)), over(h, said.count(label))
    return r, p, over(2 * p * r, p + r)


def plain_average(true: Labels, said: Labels, label: str) -> tuple[float, ...]:
    h = hits(true, said, label)
    p, r = over(h, said.count(label)), over(h, true.count(label))
    return p, r, (p + r) / 2


def accuracy_three_times(true: Labels, said: Labels, label: str) -> tuple[float, ...]:
    found = mean(t == s for t, s in zip(true, said, strict=True))
    return found, found, found


def with_true_negatives(true: Labels, said: Labels, label: str) -> tuple[float, ...]:
    found = mean((t == label) == (s == label) for t, s in zip(true, said, strict=True))
    return found, found, found


def only_how_often(true: Labels, said: Labels, label: str) -> tuple[float, ...]:
    both = min(said.count(label), true.count(label))
    p, r = over(both, said.count(label)), over(both, true.count(label))
    return p, r, over(2 * both, said.count(label) + true.count(label))


def one_when_empty(true: Labels, said: Labels, label: str) -> tuple[float, ...]:
    h, s, t = hits(true, said, label), said.count(label), true.count(label)
    return (h / s if s else 1.0, h / t if t else 1.0, 2 * h / (s + t) if s + t else 1.0)


def f1_alone(true: Labels, said: Labels, label: str) -> Any:
    return over(2 * hits(true, said, label), said.count(label) + true.count(label))


def all_zero(true: Labels, said: Labels, label: str) -> tuple[float, ...]:
    return 0.0, 0.0, 0.0


# ---- 9.3

Values = list[float]


def values_of(values: Values, dialogues: Labels, name: str) -> Values:
    return [values[i] for i in range(len(values)) if dialogues[i] == name]


def filtered(values: Values, dialogues: Labels, drawn: Labels) -> float:
    return mean(v for v, d in zip(values, dialogues, strict=True) if d in drawn)


def dialogue_means(values: Values, dialogues: Labels, drawn: Labels) -> float:
    return mean(mean(values_of(values, dialogues, name)) for name in drawn)


def plain_mean(values: Values, dialogues: Labels, drawn: Labels) -> float:
    return mean(values)


def by_all_turns(values: Values, dialogues: Labels, drawn: Labels) -> float:
    return sum(sum(values_of(values, dialogues, name)) for name in drawn) / len(values)


def by_dialogues(values: Values, dialogues: Labels, drawn: Labels) -> float:
    return sum(sum(values_of(values, dialogues, name)) for name in drawn) / len(drawn)


def first_place(values: Values, dialogues: Labels, drawn: Labels) -> float:
    return mean(values[dialogues.index(name)] for name in drawn)


def the_values(values: Values, dialogues: Labels, drawn: Labels) -> Any:
    return [v for name in drawn for v in values_of(values, dialogues, name)]


def the_sum(values: Values, dialogues: Labels, drawn: Labels) -> float:
    return sum(the_values(values, dialogues, drawn))


# ---- 9.4

Votes = list[tuple[str, str, str]]


def won(vote: tuple[str, str, str], system: str, tie: float = 0.5) -> float:
    left, right, choice = vote
    if choice == "tie":
        return tie
    return float((left if choice == "left" else right) == system)


def mine(votes: Votes, system: str) -> Votes:
    return [vote for vote in votes if system in vote[:2]]


def left_wins(votes: Votes, system: str) -> float:
    points = {"left": 1.0, "tie": 0.5, "right": 0.0}
    return mean(points[vote[2]] for vote in mine(votes, system))


def decided_only(votes: Votes, system: str) -> float:
    return mean(won(vote, system) for vote in mine(votes, system) if vote[2] != "tie")


def tie_is_nothing(votes: Votes, system: str) -> float:
    return mean(won(vote, system, 0.0) for vote in mine(votes, system))


def tie_is_all(votes: Votes, system: str) -> float:
    return mean(won(vote, system, 1.0) for vote in mine(votes, system))


def losing_rate(votes: Votes, system: str) -> float:
    return mean(1 - won(vote, system) for vote in mine(votes, system))


def over_every_vote(votes: Votes, system: str) -> float:
    return sum(won(vote, system) for vote in mine(votes, system)) / len(votes)


def stood_left(votes: Votes, system: str) -> float:
    return mean(won(vote, system) for vote in votes if vote[0] == system)


def number_of_wins(votes: Votes, system: str) -> float:
    return sum(won(vote, system) for vote in mine(votes, system))


def in_pairs(votes: Votes, system: str) -> Any:
    return {system: tie_is_all(votes, system)}


# ---- 9.5


def swaps(a: Values, b: Values) -> tuple[float, Values]:
    gaps = [x - y for x, y in zip(a, b, strict=True)]
    rows = product((1, -1), repeat=len(gaps))
    return mean(gaps), [mean(s * g for s, g in zip(row, gaps, strict=True)) for row in rows]


def towards_a(a: Values, b: Values) -> float:
    seen, found = swaps(a, b)
    return mean(m >= seen - 1e-9 for m in found)


def above_only(a: Values, b: Values) -> float:
    seen, found = swaps(a, b)
    return mean(abs(m) > abs(seen) + 1e-9 for m in found)


def pooled(a: Values, b: Values) -> float:
    everything, n = a + b, len(a)
    seen, found = abs(mean(a) - mean(b)), []
    for chosen in combinations(range(2 * n), n):
        first = [everything[i] for i in chosen]
        second = [everything[i] for i in range(2 * n) if i not in chosen]
        found.append(abs(mean(first) - mean(second)) >= seen - 1e-9)
    return mean(found)


def smaller_gaps(a: Values, b: Values) -> float:
    seen, found = swaps(a, b)
    return mean(abs(m) < abs(seen) - 1e-9 for m in found)


def how_many(a: Values, b: Values) -> float:
    seen, found = swaps(a, b)
    return float(sum(abs(m) >= abs(seen) - 1e-9 for m in found))


def mean_gap(a: Values, b: Values) -> float:
    return mean(a) - mean(b)


def all_gaps(a: Values, b: Values) -> Any:
    return swaps(a, b)[1]


CHAPTER_09: dict[str, list[tuple[Any, str]]] = {
    "9.1": [
        (in_nats, "nats"),
        (multiplied, "times ln 2"),
        (bits_per_token, "per token"),
        (token_by_token, "mean of ratios"),
        (exponential, "perplexity"),
        (bytes_per_bit, "upside down"),
        (base_ten, "differs"),
        (each_token, "wrong shape"),
    ],
    "9.2": [
        (recall_first, "swapped"),
        (plain_average, "arithmetic mean"),
        (accuracy_three_times, "all labels"),
        (with_true_negatives, "absences counted"),
        (only_how_often, "places ignored"),
        (one_when_empty, "1 for nothing"),
        (f1_alone, "wrong shape"),
        (all_zero, "differs"),
    ],
    "9.3": [
        (filtered, "drawn twice, counted once"),
        (dialogue_means, "mean of means"),
        (plain_mean, "nothing drawn"),
        (by_all_turns, "divided by all turns"),
        (by_dialogues, "divided by dialogues"),
        (first_place, "one turn a dialogue"),
        (the_values, "wrong shape"),
        (the_sum, "differs"),
    ],
    "9.4": [
        (left_wins, "left counted"),
        (decided_only, "ties left out"),
        (tie_is_nothing, "ties lost"),
        (tie_is_all, "ties won"),
        (losing_rate, "the other's"),
        (over_every_vote, "all comparisons"),
        (stood_left, "one side only"),
        (number_of_wins, "differs"),
        (in_pairs, "wrong shape"),
    ],
    "9.5": [
        (towards_a, "one-sided"),
        (above_only, "strictly larger"),
        (pooled, "not paired"),
        (smaller_gaps, "the rest"),
        (how_many, "not divided"),
        (mean_gap, "differs"),
        (all_gaps, "wrong shape"),
    ],
}
