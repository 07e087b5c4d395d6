"""Checks of chapter 07."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from course_lib.checks.exercises import Wrong, exercise
from course_lib.checks.judging import SHAPE, Case, Mistake, judge, number

Gradients = list[list[float]]
Record = dict[str, float]

# ---- 7.1 a schedule


def _rate(step: int, total: int, warmup: int, peak: float) -> float:
    if step < warmup:
        return peak * step / warmup
    return peak * (total - step) / (total - warmup)


def _no_warmup(step: int, total: int, warmup: int, peak: float) -> float:
    return peak * (total - step) / total


def _one_step_early(step: int, total: int, warmup: int, peak: float) -> float:
    return peak * (step + 1) / warmup if step < warmup else _rate(step, total, warmup, peak)


def _falls_over_all_steps(step: int, total: int, warmup: int, peak: float) -> float:
    return peak * step / warmup if step < warmup else peak * (total - step) / total


def _falls_from_its_own_zero(step: int, total: int, warmup: int, peak: float) -> float:
    if step < warmup:
        return peak * step / warmup
    return peak * (1 - (step - warmup) / total)


def _never_falls(step: int, total: int, warmup: int, peak: float) -> float:
    return peak * min(1.0, step / warmup) if warmup else peak


def _cosine(step: int, total: int, warmup: int, peak: float) -> float:
    if step < warmup:
        return peak * step / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


_RATE_CASES: list[Case] = [
    (0, 10, 4, 0.2),
    (3, 10, 4, 0.2),
    (4, 10, 4, 0.2),
    (6, 10, 4, 0.2),
    (9, 10, 4, 0.2),
    (5, 40, 8, 0.001),
    (20, 40, 8, 0.001),
    (0, 20, 0, 0.5),
    (7, 20, 0, 0.5),
]
_RATE_MISTAKES: dict[str, Mistake] = {
    "no warm-up": (
        _no_warmup,
        "it falls from the first step on. In the first `warmup` steps it must rise from 0.",
    ),
    "one step early": (
        _one_step_early,
        "warm-up is one step ahead: steps are counted from 0, and step 0 has the rate 0.",
    ),
    "falls over all steps": (
        _falls_over_all_steps,
        "at the end of warm-up it jumps down. The fall begins at the peak and has "
        "total - warmup steps.",
    ),
    "never gets to 0": (
        _falls_from_its_own_zero,
        "the fall is too slow: it is spread over `total` steps, but only total - warmup are left.",
    ),
    "never falls": (
        _never_falls,
        "after warm-up it stays at the peak. That is the schedule called constant.",
    ),
    "cosine": (
        _cosine,
        "that is the cosine schedule. Here the rate falls along a straight line.",
    ),
}


@exercise(
    "7.1",
    "The learning rate of a step",
    answer_name="learning_rate",
    difficulty=1,
    minutes=6,
    hints=(
        "two cases: step < warmup, where it rises, and the rest, where it falls.",
        "it rises as step / warmup. In the fall, ask how many steps are left: total - step.",
        "the fall is peak * (total - step) / (total - warmup).",
    ),
)
def check_learning_rate(answer: Callable[..., Any]) -> None:
    """Judges learning_rate(step, total, warmup, peak): linear warm-up, then linear decay."""
    judge(answer, _rate, _RATE_CASES, _RATE_MISTAKES)


# ---- 7.2 clipping


def _norm(values: list[float]) -> float:
    return math.sqrt(sum(value * value for value in values))


def _scaled(gradients: Gradients, factor: float) -> Gradients:
    return [[factor * value for value in row] for row in gradients]


def _all(gradients: Gradients) -> list[float]:
    return [value for row in gradients for value in row]


def _clipped(gradients: Gradients, limit: float) -> Gradients:
    norm = _norm(_all(gradients))
    return _scaled(gradients, limit / norm) if norm > limit else _scaled(gradients, 1.0)


def _by_value(gradients: Gradients, limit: float) -> Gradients:
    return [[max(-limit, min(limit, value)) for value in row] for row in gradients]


def _each_by_itself(gradients: Gradients, limit: float) -> Gradients:
    return [_clipped([row], limit)[0] for row in gradients]


def _always_scaled(gradients: Gradients, limit: float) -> Gradients:
    norm = _norm(_all(gradients))
    return _scaled(gradients, limit / norm) if norm else _scaled(gradients, 1.0)


def _no_root(gradients: Gradients, limit: float) -> Gradients:
    square = _norm(_all(gradients)) ** 2
    return _scaled(gradients, limit / square) if square > limit else _scaled(gradients, 1.0)


def _by_the_sum(gradients: Gradients, limit: float) -> Gradients:
    total = sum(map(abs, _all(gradients)))
    return _scaled(gradients, limit / total) if total > limit else _scaled(gradients, 1.0)


def _by_the_largest(gradients: Gradients, limit: float) -> Gradients:
    largest = max(map(abs, _all(gradients)))
    return _scaled(gradients, limit / largest) if largest > limit else _scaled(gradients, 1.0)


def _read_gradients(value: Any) -> tuple[tuple[float, ...], ...]:
    rows = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(rows, (list, tuple)):
        raise Wrong(SHAPE, f"expected a list of lists, found {type(value).__name__}.")
    rows = [row.tolist() if hasattr(row, "tolist") else row for row in rows]
    if not all(isinstance(row, (list, tuple)) for row in rows):
        raise Wrong(SHAPE, "expected a list of lists: one list for each parameter.")
    return tuple(tuple(number(item) for item in row) for row in rows)


def _clipped_rows(gradients: Gradients, limit: float) -> tuple[tuple[float, ...], ...]:
    return _read_gradients(_clipped(gradients, limit))


def _as_rows(function: Callable[..., Gradients]) -> Callable[..., Any]:
    return lambda gradients, limit: _read_gradients(function(gradients, limit))


_CLIP_CASES: list[Case] = [
    ([[3.0, 4.0], [12.0]], 1.0),
    ([[0.3, -0.4], [0.0, 0.5]], 1.0),
    ([[0.6, -0.6], [0.6, 0.6, -0.6]], 1.0),
    ([[2.0], [-1.0, 2.0]], 2.0),
    ([[0.0, 0.0], [0.0]], 1.0),
]
_CLIP_MISTAKES: dict[str, Mistake] = {
    "each value by itself": (
        _as_rows(_by_value),
        "each number was cut at the limit. That changes the direction of the step; scale all by "
        "one factor.",
    ),
    "each parameter by itself": (
        _as_rows(_each_by_itself),
        "each list has a norm of its own here. The norm is over all numbers of all lists.",
    ),
    "short gradients stretched": (
        _as_rows(_always_scaled),
        "a norm below the limit must stay as it is: clipping never makes a gradient longer.",
    ),
    "no root": (
        _as_rows(_no_root),
        "the norm is the square root of the sum of squares; the root is missing.",
    ),
    "sum of absolute values": (
        _as_rows(_by_the_sum),
        "that is the sum of the absolute values. The norm is the root of the sum of squares.",
    ),
    "the largest value": (
        _as_rows(_by_the_largest),
        "that limits the largest number. The norm is the root of the sum of all squares.",
    ),
}


@exercise(
    "7.2",
    "Clip a gradient",
    answer_name="clip_gradients",
    difficulty=1,
    minutes=8,
    hints=(
        "one norm for everything: the root of the sum of the squares of all numbers.",
        "if it is at most the limit, return the gradients as they are.",
        "else multiply every number by limit / norm.",
    ),
)
def check_clip_gradients(answer: Callable[..., Any]) -> None:
    """Judges clip_gradients(gradients, limit): all scaled by one factor to a norm of the limit."""
    judge(answer, _clipped_rows, _CLIP_CASES, _CLIP_MISTAKES, read=_read_gradients)


# ---- 7.3 tokens a second from a log


def _speed(records: list[Record], window: int) -> float:
    last = records[-window:]
    return sum(r["tokens"] for r in last) / sum(r["seconds"] for r in last)


def _mean_of_ratios(records: list[Record], window: int) -> float:
    last = records[-window:]
    return sum(r["tokens"] / r["seconds"] for r in last) / len(last)


def _whole_log(records: list[Record], window: int) -> float:
    return _speed(records, len(records))


def _first_steps(records: list[Record], window: int) -> float:
    return _speed(records[:window], window)


def _upside_down(records: list[Record], window: int) -> float:
    return 1 / _speed(records, window)


def _tokens_a_step(records: list[Record], window: int) -> float:
    last = records[-window:]
    return sum(r["tokens"] for r in last) / len(last)


def _last_step(records: list[Record], window: int) -> float:
    return records[-1]["tokens"] / records[-1]["seconds"]


def _log(*pairs: tuple[int, float]) -> list[Record]:
    return [
        {"step": step, "tokens": tokens, "seconds": seconds, "loss": 2.0}
        for step, (tokens, seconds) in enumerate(pairs, 1)
    ]


_SPEED_CASES: list[Case] = [
    (_log((100, 2.0), (300, 0.5), (200, 1.0), (400, 0.8)), 2),
    (_log((100, 2.0), (300, 0.5), (200, 1.0), (400, 0.8), (60, 0.6)), 3),
    (_log((500, 4.0), (500, 1.0)), 5),
]
_SPEED_MISTAKES: dict[str, Mistake] = {
    "mean of the steps' speeds": (
        _mean_of_ratios,
        "that is the mean of each step's speed, where a short step counts as much as a long one. "
        "Divide the sum of the tokens by the sum of the seconds.",
    ),
    "the whole log": (
        _whole_log,
        "all steps were taken. Only the last `window` count, so that a change can be seen.",
    ),
    "the first steps": (
        _first_steps,
        "that is the start of the log. The last `window` steps are records[-window:].",
    ),
    "upside down": (
        _upside_down,
        "that is seconds a token. Tokens go above the fraction line.",
    ),
    "tokens a step": (
        _tokens_a_step,
        "that is tokens a step. Divide by the seconds, not by the number of steps.",
    ),
    "the last step alone": (
        _last_step,
        "only the last step was taken. One step's time is mostly chance; take the last `window`.",
    ),
}


@exercise(
    "7.3",
    "How fast is it?",
    answer_name="tokens_per_second",
    difficulty=1,
    minutes=6,
    hints=(
        "records[-window:] are the last so many, or all where there are fewer.",
        "add up the tokens, add up the seconds, and divide only then.",
        "sum(r['tokens'] for r in last) / sum(r['seconds'] for r in last)",
    ),
)
def check_tokens_per_second(answer: Callable[..., Any]) -> None:
    """Judges tokens_per_second(records, window): trained tokens a second of the last steps."""
    judge(answer, _speed, _SPEED_CASES, _SPEED_MISTAKES)


# ---- 7.4 a step of AdamW

_BETA1, _BETA2, _EPS = 0.9, 0.95, 1e-8
Adam = tuple[float, float, float]


def _adamw(
    weight: float, gradient: float, m: float, v: float, step: int, rate: float, decay: float
) -> Adam:
    m = _BETA1 * m + (1 - _BETA1) * gradient
    v = _BETA2 * v + (1 - _BETA2) * gradient**2
    mean, square = m / (1 - _BETA1**step), v / (1 - _BETA2**step)
    return weight - rate * decay * weight - rate * mean / (math.sqrt(square) + _EPS), m, v


def _uncorrected(
    weight: float, gradient: float, m: float, v: float, step: int, rate: float, decay: float
) -> Adam:
    _, m, v = _adamw(weight, gradient, m, v, step, rate, decay)
    return weight - rate * decay * weight - rate * m / (math.sqrt(v) + _EPS), m, v


def _decay_in_the_gradient(
    weight: float, gradient: float, m: float, v: float, step: int, rate: float, decay: float
) -> Adam:
    return _adamw(weight, gradient + decay * weight, m, v, step, rate, 0.0)


def _decay_without_rate(
    weight: float, gradient: float, m: float, v: float, step: int, rate: float, decay: float
) -> Adam:
    new, m, v = _adamw(weight, gradient, m, v, step, rate, 0.0)
    return new - decay * weight, m, v


def _no_decay(
    weight: float, gradient: float, m: float, v: float, step: int, rate: float, decay: float
) -> Adam:
    return _adamw(weight, gradient, m, v, step, rate, 0.0)


def _no_square_root(
    weight: float, gradient: float, m: float, v: float, step: int, rate: float, decay: float
) -> Adam:
    _, m, v = _adamw(weight, gradient, m, v, step, rate, decay)
    mean, square = m / (1 - _BETA1**step), v / (1 - _BETA2**step)
    return weight - rate * decay * weight - rate * mean / (square + _EPS), m, v


def _uphill(
    weight: float, gradient: float, m: float, v: float, step: int, rate: float, decay: float
) -> Adam:
    down, m, v = _adamw(weight, gradient, m, v, step, rate, 0.0)
    return weight - rate * decay * weight + (weight - down), m, v


def _plain_descent(
    weight: float, gradient: float, m: float, v: float, step: int, rate: float, decay: float
) -> Adam:
    _, m, v = _adamw(weight, gradient, m, v, step, rate, decay)
    return weight - rate * decay * weight - rate * gradient, m, v


def _corrected_kept(
    weight: float, gradient: float, m: float, v: float, step: int, rate: float, decay: float
) -> Adam:
    new, m, v = _adamw(weight, gradient, m, v, step, rate, decay)
    return new, m / (1 - _BETA1**step), v / (1 - _BETA2**step)


def _read_adam(value: Any) -> Adam:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        raise Wrong(SHAPE, "expected three numbers: the new weight, m and v.")
    return number(value[0]), number(value[1]), number(value[2])


_ADAM_CASES: list[Case] = [
    (0.5, 0.2, 0.0, 0.0, 1, 0.01, 0.1),
    (-1.2, -3.0, 0.4, 2.0, 5, 0.001, 0.1),
    (2.0, 0.05, -0.1, 0.3, 12, 0.1, 0.01),
    (1.0, -0.5, 0.0, 0.0, 1, 0.02, 0.0),
]
_ADAM_MISTAKES: dict[str, Mistake] = {
    "not corrected": (
        _uncorrected,
        "m and v start at 0 and are too small at first. Divide them by 1 - beta**step before the "
        "update.",
    ),
    "decay in the gradient": (
        _decay_in_the_gradient,
        "that is Adam with the decay added to the gradient, so that large gradients hide it. The "
        "W of AdamW: take rate * decay * weight off the weight itself.",
    ),
    "decay without the rate": (
        _decay_without_rate,
        "the decay is not multiplied by the learning rate, so it would go on at full strength "
        "when the rate has fallen.",
    ),
    "no decay": (_no_decay, "the weight decay is missing: that is plain Adam."),
    "no square root": (
        _no_square_root,
        "v is a mean of squares. Divide by its square root, which has the gradient's unit.",
    ),
    "uphill": (
        _uphill,
        "the weight moved along the gradient, so the loss would rise. Subtract.",
    ),
    "plain descent": (
        _plain_descent,
        "m and v are right but unused: the step is the gradient times the rate.",
    ),
    "corrected values kept": (
        _corrected_kept,
        "return m and v as they are before the correction; else the next step corrects them again.",
    ),
}


@exercise(
    "7.4",
    "One step of AdamW",
    answer_name="adamw_step",
    difficulty=3,
    minutes=15,
    hints=(
        "first the two running means: m of the gradient, v of its square; both are returned.",
        "for the update only: mean = m / (1 - 0.9**step) and square = v / (1 - 0.95**step).",
        "new weight = weight - rate * decay * weight - rate * mean / (square**0.5 + 1e-8)",
    ),
)
def check_adamw_step(answer: Callable[..., Any]) -> None:
    """Judges adamw_step(weight, gradient, m, v, step, rate, decay) -> (weight, m, v)."""
    judge(answer, _adamw, _ADAM_CASES, _ADAM_MISTAKES, read=_read_adam)


# ---- 7.5 early stopping

Stop = tuple[int, int]


def _stop(losses: list[float], patience: int, min_delta: float) -> Stop:
    best = counted = math.inf
    best_at = waited = 0
    for place, loss in enumerate(losses):
        if loss < best:
            best, best_at = loss, place
        if loss < counted - min_delta:
            counted, waited = loss, 0
        else:
            waited += 1
        if waited >= patience:
            return best_at, place
    return best_at, len(losses) - 1


def _against_the_best(losses: list[float], patience: int, min_delta: float) -> Stop:
    best, best_at, waited = math.inf, 0, 0
    for place, loss in enumerate(losses):
        waited = 0 if loss < best - min_delta else waited + 1
        if loss < best:
            best, best_at = loss, place
        if waited >= patience:
            return best_at, place
    return best_at, len(losses) - 1


def _only_counted_gains(losses: list[float], patience: int, min_delta: float) -> Stop:
    best, best_at, waited = math.inf, 0, 0
    for place, loss in enumerate(losses):
        if loss < best - min_delta:
            best, best_at, waited = loss, place, 0
        else:
            waited += 1
        if waited >= patience:
            return best_at, place
    return best_at, len(losses) - 1


def _no_threshold(losses: list[float], patience: int, min_delta: float) -> Stop:
    return _stop(losses, patience, 0.0)


def _one_more(losses: list[float], patience: int, min_delta: float) -> Stop:
    return _stop(losses, patience + 1, min_delta)


def _waits_in_all(losses: list[float], patience: int, min_delta: float) -> Stop:
    best = counted = math.inf
    best_at = waited = 0
    for place, loss in enumerate(losses):
        if loss < best:
            best, best_at = loss, place
        if loss < counted - min_delta:
            counted = loss
        else:
            waited += 1
        if waited >= patience:
            return best_at, place
    return best_at, len(losses) - 1


def _the_last(losses: list[float], patience: int, min_delta: float) -> Stop:
    _, end = _stop(losses, patience, min_delta)
    return end, end


def _the_step_before(losses: list[float], patience: int, min_delta: float) -> Stop:
    """Against the evaluation before, not against the best."""
    before, best, best_at, waited = math.inf, math.inf, 0, 0
    for place, loss in enumerate(losses):
        if loss < best:
            best, best_at = loss, place
        waited = 0 if loss < before - min_delta else waited + 1
        before = loss
        if waited >= patience:
            return best_at, place
    return best_at, len(losses) - 1


def _read_stop(value: Any) -> Stop:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise Wrong(SHAPE, "expected two places in the list: (best, last).")
    places = [number(place) for place in value]
    if any(place != int(place) for place in places):
        raise Wrong(SHAPE, "a place in the list is a whole number.")
    return int(places[0]), int(places[1])


_STOP_CASES: list[Case] = [
    ([3.0, 2.0, 2.5, 2.4, 1.0], 2, 0.0),
    ([2.0, 1.96, 1.92, 1.88, 1.84, 1.8, 1.76], 3, 0.1),
    ([2.0, 1.95, 1.99, 1.98, 1.97], 2, 0.1),
    ([3.0, 3.1, 2.0, 2.2, 1.5, 1.6], 3, 0.0),
    ([5.0, 4.0, 3.0, 2.0], 2, 0.5),
    ([3.0, 2.0, 2.6, 2.4, 2.2, 1.0], 2, 0.1),
    ([1.0, 0.97, 0.96, 0.4, 0.4], 2, 0.05),
]
_STOP_MISTAKES: dict[str, Mistake] = {
    "slow gains stopped": (
        _against_the_best,
        "each small gain moved the mark that patience measures against, so that steady gains, each "
        "below min_delta, count as none. Keep two marks: the best, and the last gain that counted.",
    ),
    "small gains lost": (
        _only_counted_gains,
        "a loss that is lower by less than min_delta is still the best so far: its weights are the "
        "ones to keep. Only patience asks for more.",
    ),
    "min_delta ignored": (
        _no_threshold,
        "every gain, however small, gave new patience. It takes a gain of more than min_delta.",
    ),
    "one evaluation too many": (
        _one_more,
        "it stops one evaluation late: with patience 2 the second one without a gain is the last.",
    ),
    "patience never renewed": (
        _waits_in_all,
        "a gain that counts must set the waiting back to 0.",
    ),
    "the last, not the best": (
        _the_last,
        "the first number is the place of the lowest loss, whose weights are kept, not of the "
        "last one.",
    ),
    "against the one before": (
        _the_step_before,
        "each loss was compared with the one before it. A loss that rises and then falls a little "
        "has not gained anything.",
    ),
}


@exercise(
    "7.5",
    "Early stopping",
    answer_name="stop_early",
    difficulty=2,
    minutes=15,
    hints=(
        "two marks: the lowest loss of all, and the loss at the last gain that counted.",
        "any lower loss moves the first mark. Only one lower than the second by more than "
        "min_delta moves the second, and sets waited = 0; else waited += 1.",
        "return (best_at, place) as soon as waited >= patience; after the loop "
        "(best_at, len(losses) - 1).",
    ),
)
def check_stop_early(answer: Callable[..., Any]) -> None:
    """Judges stop_early(losses, patience, min_delta) -> (place of the best, of the last)."""
    judge(answer, _stop, _STOP_CASES, _STOP_MISTAKES, read=_read_stop)
