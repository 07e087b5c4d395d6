"""Checks of chapter 06."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from course_lib.checks.exercises import Wrong, exercise
from course_lib.checks.judging import SHAPE, Case, Mistake, judge, number

Row = list[float]

# ---- 6.1 cross-entropy from logits


def _log_sum(row: Row) -> float:
    most = max(row)
    return most + math.log(sum(math.exp(logit - most) for logit in row))


def _log_softmax(row: Row) -> Row:
    return [logit - _log_sum(row) for logit in row]


def _right_ones(logits: list[Row], targets: list[int]) -> Row:
    return [_log_softmax(row)[t] for row, t in zip(logits, targets, strict=True)]


def _cross_entropy(logits: list[Row], targets: list[int]) -> float:
    found = _right_ones(logits, targets)
    return -sum(found) / len(found)


def _down_the_columns(logits: list[Row], targets: list[int]) -> float:
    columns = [_log_softmax(list(column)) for column in zip(*logits, strict=True)]
    return -sum(columns[t][place] for place, t in enumerate(targets)) / len(targets)


def _over_everything(logits: list[Row], targets: list[int]) -> float:
    log_sum = _log_sum([logit for row in logits for logit in row])
    return sum(log_sum - row[t] for row, t in zip(logits, targets, strict=True)) / len(targets)


def _mean_probability(logits: list[Row], targets: list[int]) -> float:
    chances = [math.exp(p) for p in _right_ones(logits, targets)]
    return sum(chances) / len(chances)


_ENTROPY_CASES: list[Case] = [
    ([[2.0, 1.0, 0.0], [0.0, 3.0, 3.0]], [0, 1]),
    ([[0.5, -1.5]], [1]),
    ([[1.0, 0.0, 2.0, -1.0], [0.0, 0.0, 0.5, 4.0], [3.0, 1.0, 2.5, 0.0]], [1, 3, 2]),
    ([[1000.0, 999.0, 0.0], [-1000.0, -1002.0, -1001.0]], [1, 2]),
]
_ENTROPY_MISTAKES: dict[str, Mistake] = {
    "wrong axis": (
        _down_the_columns,
        "the softmax runs down the columns, over the positions. The tokens of one position compete "
        "with one another: take it along each row.",
    ),
    "one softmax for all": (
        _over_everything,
        "one softmax runs over all numbers at once. Every position has its own, along its row.",
    ),
    "no softmax": (
        lambda z, t: -sum(row[i] for row, i in zip(z, t, strict=True)) / len(t),
        "that is the mean logit with its sign changed. A logit is no log probability yet: take off "
        "the logarithm of the sum of the exponentials.",
    ),
    "sum": (
        lambda z, t: _cross_entropy(z, t) * len(t),
        "that is the sum over the positions. Divide it by their number.",
    ),
    "base 2": (
        lambda z, t: _cross_entropy(z, t) / math.log(2),
        "that is in bits (logarithm of base 2). The loss is in nats: use the natural logarithm.",
    ),
    "sign": (
        lambda z, t: -_cross_entropy(z, t),
        "the sign is the wrong way round: a loss is at least 0.",
    ),
    "no logarithm": (
        _mean_probability,
        "that is the mean probability of the right tokens. The loss is minus its logarithm, taken "
        "at each position.",
    ),
    "mean of probabilities": (
        lambda z, t: -math.log(_mean_probability(z, t)),
        "the probabilities were averaged first and the logarithm taken last. Average the "
        "logarithms.",
    ),
}


def _finite(value: Any) -> float:
    found = number(value)
    if not math.isfinite(found):
        raise Wrong(
            "overflow",
            "it gives no number where logits are large: e to the power of 1,000 is too much for a "
            "float. Take the row's maximum off every logit first; the result stays the same.",
        )
    return found


@exercise(
    "6.1",
    "Cross-entropy from logits",
    answer_name="cross_entropy",
    difficulty=1,
    minutes=8,
    hints=(
        "for one row: the loss is log(sum of exp(logit)) minus the logit of the right token.",
        "so that exp does not overflow, take most = max(row) off every logit of the row first.",
        "most + math.log(sum(math.exp(z - most) for z in row)) - row[target], then the mean.",
    ),
)
def check_cross_entropy(answer: Callable[..., Any]) -> None:
    """Judges cross_entropy(logits, targets): mean over the rows, in nats."""
    judge(answer, _cross_entropy, _ENTROPY_CASES, _ENTROPY_MISTAKES, _finite)


# ---- 6.2 the shift and the mask


def _trained(labels: list[int], first: int = 0) -> list[int]:
    return [place for place in range(first, len(labels)) if labels[place] != -100]


def _summed(log_probs: list[Row], labels: list[int], back: int) -> tuple[float, int]:
    """Sum of the losses when the label at place t is looked up at position t - back."""
    places = [t for t in _trained(labels) if 0 <= t - back < len(log_probs)]
    return -sum(log_probs[t - back][labels[t]] for t in places), len(places)


def _looked_up(log_probs: list[Row], labels: list[int], back: int) -> float:
    total, count = _summed(log_probs, labels, back)
    return total / max(count, 1)


def _shifted(log_probs: list[Row], labels: list[int]) -> float:
    return _looked_up(log_probs, labels, 1)


def _divided_by(log_probs: list[Row], labels: list[int], count: int) -> float:
    return _summed(log_probs, labels, 1)[0] / count


def _rows(*chances: Row) -> list[Row]:
    return [[math.log(p) for p in row] for row in chances]


_SHIFT_CASES: list[Case] = [
    (_rows([0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.25, 0.5, 0.25], [0.6, 0.2, 0.2]), [0, -100, 2, 0]),
    (_rows([0.2, 0.8], [0.7, 0.3], [0.9, 0.1], [0.4, 0.6], [0.5, 0.5]), [-100, -100, 1, 1, -100]),
    (_rows([0.3, 0.7], [0.6, 0.4], [0.15, 0.85]), [1, 1, 0]),
    (
        _rows([0.1, 0.9], [0.8, 0.2], [0.35, 0.65], [0.55, 0.45], [0.7, 0.3], [0.2, 0.8]),
        [-100, 0, 1, -100, -100, 1],
    ),
]
_SHIFT_MISTAKES: dict[str, Mistake] = {
    "no shift": (
        lambda p, y: _looked_up(p, y, 0),
        "each label is looked up at its own position, where the model has read that very token. "
        "Position t predicts token t + 1.",
    ),
    "shifted twice": (
        lambda p, y: _looked_up(p, y, 2),
        "each label is looked up two positions before it. One is right: position t predicts "
        "token t + 1.",
    ),
    "shifted the wrong way": (
        lambda p, y: _looked_up(p, y, -1),
        "each label is looked up one position after it, where the token has been read already. "
        "Label t belongs to position t - 1.",
    ),
    "-100 counted": (
        lambda p, y: _divided_by(p, y, len(y) - 1),
        "the sum is right, but it is divided by all positions that predict something. Those whose "
        "label is -100 do not count below the fraction line either.",
    ),
    "divided by the length": (
        lambda p, y: _divided_by(p, y, len(y)),
        "the sum is right, but it is divided by the length of the row. Divide it by the number of "
        "tokens that are trained and predicted.",
    ),
    "first token counted": (
        lambda p, y: _divided_by(p, y, len(_trained(y))),
        "the sum is right, but the number of tokens includes the first, which nothing predicts.",
    ),
    "sum": (
        lambda p, y: _summed(p, y, 1)[0],
        "that is the sum. Divide it by the number of tokens that are trained and predicted.",
    ),
    "sign": (
        lambda p, y: -_shifted(p, y),
        "the sign is the wrong way round: a loss is at least 0.",
    ),
}


@exercise(
    "6.2",
    "The shift and the mask",
    answer_name="masked_loss",
    difficulty=2,
    minutes=10,
    hints=(
        "the token at place t was predicted at position t - 1.",
        "the token at place 0 was predicted nowhere, so begin with place 1.",
        "kept = [-log_probs[t - 1][labels[t]] for t in range(1, len(labels)) if labels[t] != -100]",
    ),
)
def check_masked_loss(answer: Callable[..., Any]) -> None:
    """Judges masked_loss(log_probs, labels): mean over the tokens that are trained."""
    judge(answer, _shifted, _SHIFT_CASES, _SHIFT_MISTAKES)


# ---- 6.3 fair shares of an accumulated step


def _factors(counts: list[int]) -> tuple[float, ...]:
    return tuple(count / sum(counts) for count in counts)


def _inverse(counts: list[int]) -> tuple[float, ...]:
    return tuple(1 / count / sum(1 / other for other in counts) for count in counts)


_FACTOR_CASES: list[Case] = [([30, 10],), ([4, 4, 4, 8],), ([7],), ([1, 250, 33, 90, 2],)]
_FACTOR_MISTAKES: dict[str, Mistake] = {
    "mean of means": (
        lambda n: tuple(1 / len(n) for _ in n),
        "every micro-batch counts alike: that is the mean of means. A token in a micro-batch with "
        "few trained tokens then weighs more than one in a full micro-batch.",
    ),
    "one over the tokens": (
        lambda n: tuple(1 / sum(n) for _ in n),
        "1 / (all tokens) is what the *sums* have to be multiplied by. Here each micro-batch comes "
        "as a mean, which its own number of tokens turns back into a sum.",
    ),
    "not divided": (
        lambda n: tuple(map(float, n)),
        "that turns the means back into sums. Divide by the tokens of the whole step.",
    ),
    "upside down": (
        _inverse,
        "the micro-batch with the fewest tokens gets the most. It should get the least.",
    ),
    "adds up to the number of micro-batches": (
        lambda n: tuple(len(n) * count / sum(n) for count in n),
        "the proportions are right, but the factors must add up to 1, or the gradient grows with "
        "the number of micro-batches.",
    ),
    "by the largest": (
        lambda n: tuple(count / max(n) for count in n),
        "the proportions are right, but you divide by the largest count. Divide by their sum.",
    ),
}


def _floats(value: Any) -> tuple[float, ...]:
    value = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(value, (tuple, list)):
        raise Wrong(SHAPE, f"return a list of numbers, not {type(value).__name__}.")
    return tuple(map(number, value))


@exercise(
    "6.3",
    "Fair shares of a step",
    answer_name="factors",
    difficulty=2,
    minutes=8,
    hints=(
        "write down the loss of one big batch as a fraction: the sum of all sums over the sum of "
        "all counts.",
        "a micro-batch's sum is its mean times its count.",
        "[count / sum(counts) for count in counts]",
    ),
)
def check_factors(answer: Callable[..., Any]) -> None:
    """Judges factors(counts): by what to multiply the micro-batches' mean losses."""
    judge(answer, _factors, _FACTOR_CASES, _FACTOR_MISTAKES, _floats)


# ---- 6.4 weights in a packed row


def _weights(labels: list[int], owner: list[int]) -> tuple[float, ...]:
    return _shares(labels, owner, [owner[t] for t in _trained(labels)])


def _shares(labels: list[int], groups: list[Any], members: list[Any]) -> tuple[float, ...]:
    """At a trained place 1 / (how often its group stands among the members), else 0."""
    return tuple(
        1 / members.count(group) if label != -100 else 0.0
        for label, group in zip(labels, groups, strict=True)
    )


def _replies(labels: list[int], owner: list[int]) -> list[int]:
    """A number for every stretch of trained tokens in a row."""
    numbers, now = [], 0
    for place, label in enumerate(labels):
        before = labels[place - 1] if place else -100
        now += label != -100 and (before == -100 or owner[place] != owner[place - 1])
        numbers.append(now)
    return numbers


def _per_reply(labels: list[int], owner: list[int]) -> tuple[float, ...]:
    groups = _replies(labels, owner)
    return _shares(labels, groups, [groups[t] for t in _trained(labels)])


def _context_too(labels: list[int], owner: list[int]) -> tuple[float, ...]:
    trained = [owner[t] for t in _trained(labels)]
    return tuple(1 / trained.count(o) if o >= 0 else 0.0 for o in owner)


_WEIGHT_CASES: list[Case] = [
    ([-100, -100, 7, 8, -100, 9], [0, 0, 0, 0, 1, 1]),
    ([-100, 5, -100, 5, 6, 2, -100, 4, -100], [0, 0, 0, 0, 0, 0, 1, 1, -1]),
    (
        [-100, -100, 3, 4, -100, 4, 4, 4, -100, 3, -100, -100],
        [0] * 4 + [1] * 4 + [2] * 2 + [-1] * 2,
    ),
    ([-100, 1, 1, 2], [0, 0, 0, 0]),
]
_WEIGHT_MISTAKES: dict[str, Mistake] = {
    "per token": (
        lambda y, o: tuple(1 / len(_trained(y)) if label != -100 else 0.0 for label in y),
        "every trained token weighs the same, so a long dialogue still outweighs a short one. "
        "Count the trained tokens of each dialogue on its own.",
    ),
    "ones": (
        lambda y, o: tuple(float(label != -100) for label in y),
        "that is the mask: every trained token weighs 1, so a long dialogue still outweighs a "
        "short one. Divide by the number of trained tokens of its dialogue.",
    ),
    "context counted": (
        lambda y, o: _shares(y, o, o),
        "you divide by all tokens of the dialogue, the untrained ones included. Then a dialogue "
        "with a long question counts for less.",
    ),
    "context weighed": (
        _context_too,
        "tokens that are not trained have a weight, too. Theirs is 0.",
    ),
    "per reply": (
        _per_reply,
        "every reply counts alike, so a dialogue of two replies counts twice. Count the trained "
        "tokens of all of a dialogue's replies together.",
    ),
    "divided by the number of dialogues": (
        lambda y, o: tuple(w / len({o[t] for t in _trained(y)}) for w in _weights(y, o)),
        "the proportions are right, but you divide by the number of dialogues, too. The loss does "
        "that: it divides by the sum of the weights, over the whole step.",
    ),
}


@exercise(
    "6.4",
    "Every dialogue counts alike",
    answer_name="dialogue_weights",
    difficulty=2,
    minutes=10,
    hints=(
        "first count the trained tokens of each dialogue, for example in a Counter.",
        "counts = Counter(o for o, label in zip(owner, labels) if label != -100)",
        "[1 / counts[o] if label != -100 else 0.0 for o, label in zip(owner, labels)]",
    ),
)
def check_dialogue_weights(answer: Callable[..., Any]) -> None:
    """Judges dialogue_weights(labels, owner): the weight of every token of a packed row."""
    judge(answer, _weights, _WEIGHT_CASES, _WEIGHT_MISTAKES, _floats)


# ---- 6.5 label smoothing


def _against(logits: Row, right: float, other: float, target: int) -> float:
    """Cross-entropy against a target distribution: `right` on the target, `other` elsewhere."""
    log_probs = _log_softmax(logits)
    share = [right if place == target else other for place in range(len(logits))]
    return -sum(s * p for s, p in zip(share, log_probs, strict=True))


def _smoothed(logits: Row, target: int, epsilon: float) -> float:
    even = epsilon / len(logits)
    return _against(logits, 1 - epsilon + even, even, target)


def _mixed_chances(logits: Row, target: int, epsilon: float) -> float:
    chance = math.exp(_log_softmax(logits)[target])
    return -math.log((1 - epsilon) * chance + epsilon / len(logits))


_SMOOTH_CASES: list[Case] = [
    ([2.0, 1.0, 0.0], 0, 0.1),
    ([0.5, -1.0, 3.0, 0.0], 1, 0.2),
    ([4.0, 4.5], 0, 0.05),
    ([1.0, 0.0, -2.0, 2.0, 0.5], 3, 0.3),
]
_SMOOTH_MISTAKES: dict[str, Mistake] = {
    "no smoothing": (
        lambda z, t, e: _smoothed(z, t, 0.0),
        "that is the plain loss; epsilon has no effect.",
    ),
    "the others only": (
        lambda z, t, e: _against(z, 1 - e, e / (len(z) - 1), t),
        "you spread epsilon over the other tokens only. Here, as in PyTorch, it is spread over the "
        "whole vocabulary, the right token included.",
    ),
    "right token kept whole": (
        lambda z, t, e: _against(z, 1 + e / len(z), e / len(z), t),
        "the target adds up to more than 1: what is spread must be taken off the right token "
        "first, so it keeps 1 - epsilon and gets its even share back.",
    ),
    "even share forgotten": (
        lambda z, t, e: _against(z, 1 - e, e / len(z), t),
        "the target adds up to less than 1: the right token gets an even share, too, so it has "
        "1 - epsilon + epsilon / V.",
    ),
    "the wrong way round": (
        lambda z, t, e: _smoothed(z, t, 1 - e),
        "epsilon and 1 - epsilon are swapped: most of the target is spread.",
    ),
    "not divided by the vocabulary": (
        lambda z, t, e: _against(z, 1.0, e, t),
        "every token gets epsilon. It is epsilon / V that each of the V tokens gets.",
    ),
    "probabilities smoothed": (
        _mixed_chances,
        "you smooth what the model says. It is the target that is smoothed: mix the log "
        "probabilities, not the probabilities.",
    ),
    "base 2": (
        lambda z, t, e: _smoothed(z, t, e) / math.log(2),
        "that is in bits (logarithm of base 2). The loss is in nats: use the natural logarithm.",
    ),
}


@exercise(
    "6.5",
    "Label smoothing",
    answer_name="smoothed_loss",
    difficulty=3,
    minutes=12,
    hints=(
        "start with log_probs = [logit - log_sum for logit in logits]; you need all of them.",
        "two parts: the log probability of the right token, and the mean of all log probabilities.",
        "-((1 - epsilon) * log_probs[target] + epsilon * sum(log_probs) / len(log_probs))",
    ),
)
def check_smoothed_loss(answer: Callable[..., Any]) -> None:
    """Judges smoothed_loss(logits, target, epsilon): cross-entropy against a smoothed target."""
    judge(answer, _smoothed, _SMOOTH_CASES, _SMOOTH_MISTAKES)
