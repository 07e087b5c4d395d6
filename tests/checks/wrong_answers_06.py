"""Typical wrong answers to the exercises of chapter 06: (function, the diagnosis it must get)."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

Rows = list[list[float]]

# ---- 6.1


def log_softmax(row: list[float], log: Any = math.log) -> list[float]:
    most = max(row)
    return [z - most - log(sum(math.exp(y - most) for y in row)) for z in row]


def columns(logits: Rows, targets: list[int]) -> float:
    turned = [log_softmax(list(c)) for c in zip(*logits, strict=True)]
    return -sum(turned[t][i] for i, t in enumerate(targets)) / len(targets)


def flattened(logits: Rows, targets: list[int]) -> float:
    width = len(logits[0])
    flat = log_softmax([z for row in logits for z in row])
    return -sum(flat[i * width + t] for i, t in enumerate(targets)) / len(targets)


def raw_logits(logits: Rows, targets: list[int]) -> float:
    return -sum(logits[i][t] for i, t in enumerate(targets)) / len(targets)


def right_log_probs(logits: Rows, targets: list[int]) -> list[float]:
    return [log_softmax(row)[t] for row, t in zip(logits, targets, strict=True)]


def total(logits: Rows, targets: list[int]) -> float:
    return -sum(right_log_probs(logits, targets))


def in_bits(logits: Rows, targets: list[int]) -> float:
    return total(logits, targets) / len(targets) / math.log(2)


def log_likelihood(logits: Rows, targets: list[int]) -> float:
    return -total(logits, targets) / len(targets)


def chance(logits: Rows, targets: list[int]) -> float:
    return sum(map(math.exp, right_log_probs(logits, targets))) / len(targets)


def log_of_the_mean(logits: Rows, targets: list[int]) -> float:
    return -math.log(chance(logits, targets))


def no_maximum(logits: Rows, targets: list[int]) -> Any:
    import numpy as np

    z = np.array(logits)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
        return -np.log(p[np.arange(len(targets)), targets]).mean()


def perplexity(logits: Rows, targets: list[int]) -> float:
    return math.exp(total(logits, targets) / len(targets))


def one_loss_each(logits: Rows, targets: list[int]) -> Any:
    return [-p for p in right_log_probs(logits, targets)]


# ---- 6.2


def at_its_own_place(log_probs: Rows, labels: list[int]) -> float:
    kept = [-row[label] for row, label in zip(log_probs, labels, strict=True) if label != -100]
    return sum(kept) / len(kept)


def two_apart(log_probs: Rows, labels: list[int]) -> float:
    pairs = zip(log_probs[:-2], labels[2:], strict=True)
    kept = [-row[label] for row, label in pairs if label != -100]
    return sum(kept) / max(1, len(kept))


def backwards(log_probs: Rows, labels: list[int]) -> float:
    pairs = zip(log_probs[1:], labels[:-1], strict=True)
    kept = [-row[label] for row, label in pairs if label != -100]
    return sum(kept) / max(1, len(kept))


def right_losses(log_probs: Rows, labels: list[int]) -> list[float]:
    pairs = zip(log_probs[:-1], labels[1:], strict=True)
    return [-row[label] if label != -100 else 0.0 for row, label in pairs]


def mean_with_zeros(log_probs: Rows, labels: list[int]) -> float:
    losses = right_losses(log_probs, labels)
    return sum(losses) / len(losses)


def over_the_row(log_probs: Rows, labels: list[int]) -> float:
    return sum(right_losses(log_probs, labels)) / len(labels)


def over_all_labels(log_probs: Rows, labels: list[int]) -> float:
    return sum(right_losses(log_probs, labels)) / sum(label != -100 for label in labels)


def summed_up(log_probs: Rows, labels: list[int]) -> float:
    return sum(right_losses(log_probs, labels))


def negative(log_probs: Rows, labels: list[int]) -> float:
    count = sum(label != -100 for label in labels[1:])
    return -sum(right_losses(log_probs, labels)) / count


def last_only(log_probs: Rows, labels: list[int]) -> float:
    return right_losses(log_probs, labels)[-1]


def each_loss(log_probs: Rows, labels: list[int]) -> Any:
    return right_losses(log_probs, labels)


# ---- 6.3


def accumulation_steps(counts: list[int]) -> list[float]:
    return [1 / len(counts)] * len(counts)


def all_tokens(counts: list[int]) -> list[float]:
    return [1 / sum(counts)] * len(counts)


def back_to_sums(counts: list[int]) -> Any:
    return counts


def inverse(counts: list[int]) -> list[float]:
    below = sum(1 / n for n in counts)
    return [1 / n / below for n in counts]


def mean_is_one(counts: list[int]) -> list[float]:
    mean = sum(counts) / len(counts)
    return [n / mean for n in counts]


def largest_is_one(counts: list[int]) -> list[float]:
    return [n / max(counts) for n in counts]


def softmax_of_counts(counts: list[int]) -> list[float]:
    return [math.exp(p) for p in log_softmax([float(n) for n in counts])]


def one_factor(counts: list[int]) -> Any:
    return 1 / sum(counts)


# ---- 6.4

Labels, Owner = list[int], list[int]


def same_for_all(labels: Labels, owner: Owner) -> list[float]:
    count = sum(label != -100 for label in labels)
    return [1 / count if label != -100 else 0.0 for label in labels]


def the_mask(labels: Labels, owner: Owner) -> list[float]:
    return [1.0 if label != -100 else 0.0 for label in labels]


def by_length(labels: Labels, owner: Owner) -> list[float]:
    return [1 / owner.count(o) if y != -100 else 0.0 for y, o in zip(labels, owner, strict=True)]


def counts_of(labels: Labels, owner: Owner) -> Counter[int]:
    return Counter(o for y, o in zip(labels, owner, strict=True) if y != -100)


def on_context_as_well(labels: Labels, owner: Owner) -> list[float]:
    counts = counts_of(labels, owner)
    return [1 / counts[o] if o != -1 else 0.0 for o in owner]


def by_reply(labels: Labels, owner: Owner) -> list[float]:
    weights = [0.0] * len(labels)
    start = 0
    while start < len(labels):
        end = start
        while end < len(labels) and labels[end] != -100 and owner[end] == owner[start]:
            end += 1
        for place in range(start, end):
            weights[place] = 1 / (end - start)
        start = max(end, start + 1)
    return weights


def adding_up_to_one(labels: Labels, owner: Owner) -> list[float]:
    counts = counts_of(labels, owner)
    pairs = zip(labels, owner, strict=True)
    return [1 / counts[o] / len(counts) if y != -100 else 0.0 for y, o in pairs]


def root_of_the_count(labels: Labels, owner: Owner) -> list[float]:
    counts = counts_of(labels, owner)
    pairs = zip(labels, owner, strict=True)
    return [counts[o] ** -0.5 if y != -100 else 0.0 for y, o in pairs]


def by_dialogue(labels: Labels, owner: Owner) -> Any:
    return {o: 1 / n for o, n in counts_of(labels, owner).items()}


# ---- 6.5

Logits = list[float]


def plain(logits: Logits, target: int, epsilon: float) -> float:
    return -log_softmax(logits)[target]


def spread_over_others(logits: Logits, target: int, epsilon: float) -> float:
    p = log_softmax(logits)
    rest = sum(p) - p[target]
    return -(1 - epsilon) * p[target] - epsilon * rest / (len(p) - 1)


def added_on_top(logits: Logits, target: int, epsilon: float) -> float:
    p = log_softmax(logits)
    return -p[target] - epsilon * sum(p) / len(p)


def share_forgotten(logits: Logits, target: int, epsilon: float) -> float:
    p = log_softmax(logits)
    return -(1 - epsilon) * p[target] - epsilon * (sum(p) - p[target]) / len(p)


def swapped(logits: Logits, target: int, epsilon: float) -> float:
    p = log_softmax(logits)
    return -epsilon * p[target] - (1 - epsilon) * sum(p) / len(p)


def a_sum_for_a_mean(logits: Logits, target: int, epsilon: float) -> float:
    p = log_softmax(logits)
    return -(1 - epsilon) * p[target] - epsilon * sum(p)


def on_the_probabilities(logits: Logits, target: int, epsilon: float) -> float:
    p = math.exp(log_softmax(logits)[target])
    return -math.log((1 - epsilon) * p + epsilon / len(logits))


def smoothed_bits(logits: Logits, target: int, epsilon: float) -> float:
    p = log_softmax(logits)
    return -((1 - epsilon) * p[target] + epsilon * sum(p) / len(p)) / math.log(2)


def no_right_token(logits: Logits, target: int, epsilon: float) -> float:
    p = log_softmax(logits)
    return -epsilon * sum(p) / len(p)


def the_target(logits: Logits, target: int, epsilon: float) -> Any:
    even = epsilon / len(logits)
    return [1 - epsilon + even if i == target else even for i in range(len(logits))]


CHAPTER_06: dict[str, list[tuple[Any, str]]] = {
    "6.1": [
        (columns, "wrong axis"),
        (flattened, "one softmax for all"),
        (raw_logits, "no softmax"),
        (total, "sum"),
        (in_bits, "base 2"),
        (log_likelihood, "sign"),
        (chance, "no logarithm"),
        (log_of_the_mean, "mean of probabilities"),
        (no_maximum, "overflow"),
        (perplexity, "differs"),
        (one_loss_each, "wrong shape"),
    ],
    "6.2": [
        (at_its_own_place, "no shift"),
        (two_apart, "shifted twice"),
        (backwards, "shifted the wrong way"),
        (mean_with_zeros, "-100 counted"),
        (over_the_row, "divided by the length"),
        (over_all_labels, "first token counted"),
        (summed_up, "sum"),
        (negative, "sign"),
        (last_only, "differs"),
        (each_loss, "wrong shape"),
    ],
    "6.3": [
        (accumulation_steps, "mean of means"),
        (all_tokens, "one over the tokens"),
        (back_to_sums, "not divided"),
        (inverse, "upside down"),
        (mean_is_one, "adds up to the number of micro-batches"),
        (largest_is_one, "by the largest"),
        (softmax_of_counts, "differs"),
        (one_factor, "wrong shape"),
    ],
    "6.4": [
        (same_for_all, "per token"),
        (the_mask, "ones"),
        (by_length, "context counted"),
        (on_context_as_well, "context weighed"),
        (by_reply, "per reply"),
        (adding_up_to_one, "divided by the number of dialogues"),
        (root_of_the_count, "differs"),
        (by_dialogue, "wrong shape"),
    ],
    "6.5": [
        (plain, "no smoothing"),
        (spread_over_others, "the others only"),
        (added_on_top, "right token kept whole"),
        (share_forgotten, "even share forgotten"),
        (swapped, "the wrong way round"),
        (a_sum_for_a_mean, "not divided by the vocabulary"),
        (on_the_probabilities, "probabilities smoothed"),
        (smoothed_bits, "base 2"),
        (no_right_token, "differs"),
        (the_target, "wrong shape"),
    ],
}
