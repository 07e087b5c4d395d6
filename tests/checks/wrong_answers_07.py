"""Typical wrong answers to the exercises of chapter 07: (function, the diagnosis it must get)."""

from __future__ import annotations

import math
from typing import Any

Gradients = list[list[float]]
Records = list[dict[str, float]]

# ---- 7.1


def only_falls(step: int, total: int, warmup: int, peak: float) -> float:
    return peak * (1 - step / total)


def counts_from_one(step: int, total: int, warmup: int, peak: float) -> float:
    step += 1
    if step <= warmup:
        return peak * step / warmup
    return peak * (total - step + 1) / (total - warmup)


def jumps_down(step: int, total: int, warmup: int, peak: float) -> float:
    if step < warmup:
        return peak * step / warmup
    return peak * (1 - step / total)


def too_slow(step: int, total: int, warmup: int, peak: float) -> float:
    if step < warmup:
        return peak * step / warmup
    return peak - peak * (step - warmup) / total


def stays_up(step: int, total: int, warmup: int, peak: float) -> float:
    return peak * step / warmup if step < warmup else peak


def half_a_wave(step: int, total: int, warmup: int, peak: float) -> float:
    if step < warmup:
        return peak * step / warmup
    return peak * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2


def the_peak(step: int, total: int, warmup: int, peak: float) -> float:
    return peak


def rate_as_text(step: int, total: int, warmup: int, peak: float) -> Any:
    return f"{peak * step:.3f}"


# ---- 7.2


def flat(gradients: Gradients) -> list[float]:
    return [value for row in gradients for value in row]


def clamps(gradients: Gradients, limit: float) -> Gradients:
    return [[min(max(value, -limit), limit) for value in row] for row in gradients]


def row_by_row(gradients: Gradients, limit: float) -> Gradients:
    clipped = []
    for row in gradients:
        norm = sum(value**2 for value in row) ** 0.5
        clipped.append([value * min(1.0, limit / norm) if norm else value for value in row])
    return clipped


def always_to_the_limit(gradients: Gradients, limit: float) -> Gradients:
    norm = sum(value**2 for value in flat(gradients)) ** 0.5 or limit
    return [[value * limit / norm for value in row] for row in gradients]


def forgets_the_root(gradients: Gradients, limit: float) -> Gradients:
    norm = sum(value**2 for value in flat(gradients))
    return [[value * min(1.0, limit / norm) if norm else value for value in r] for r in gradients]


def adds_sizes(gradients: Gradients, limit: float) -> Gradients:
    norm = sum(abs(value) for value in flat(gradients))
    return [[value * min(1.0, limit / norm) if norm else value for value in r] for r in gradients]


def largest_to_the_limit(gradients: Gradients, limit: float) -> Gradients:
    norm = max(abs(value) for value in flat(gradients))
    return [[value * min(1.0, limit / norm) if norm else value for value in r] for r in gradients]


def leaves_them(gradients: Gradients, limit: float) -> Gradients:
    return gradients


def one_list(gradients: Gradients, limit: float) -> Any:
    return flat(gradients)


# ---- 7.3


def averages_speeds(records: Records, window: int) -> float:
    speeds = [record["tokens"] / record["seconds"] for record in records[-window:]]
    return sum(speeds) / len(speeds)


def takes_all(records: Records, window: int) -> float:
    return sum(r["tokens"] for r in records) / sum(r["seconds"] for r in records)


def takes_the_first(records: Records, window: int) -> float:
    return takes_all(records[:window], window)


def seconds_per_token(records: Records, window: int) -> float:
    last = records[-window:]
    return sum(r["seconds"] for r in last) / sum(r["tokens"] for r in last)


def per_step(records: Records, window: int) -> float:
    last = records[-window:]
    return sum(r["tokens"] for r in last) / len(last)


def only_the_last(records: Records, window: int) -> float:
    return records[-1]["tokens"] / records[-1]["seconds"]


def steps_per_second(records: Records, window: int) -> float:
    return window / sum(record["seconds"] for record in records[-window:])


def each_speed(records: Records, window: int) -> Any:
    return [record["tokens"] / record["seconds"] for record in records[-window:]]


# ---- 7.4

State = tuple[float, float, float]


def means(gradient: float, m: float, v: float) -> tuple[float, float]:
    return 0.9 * m + 0.1 * gradient, 0.95 * v + 0.05 * gradient**2


def without_correction(
    weight: float, gradient: float, m: float, v: float, step: int, rate: float, decay: float
) -> State:
    m, v = means(gradient, m, v)
    return weight * (1 - rate * decay) - rate * m / (v**0.5 + 1e-8), m, v


def update(
    weight: float, gradient: float, m: float, v: float, step: int, rate: float, power: float = 0.5
) -> State:
    m, v = means(gradient, m, v)
    up, down = m / (1 - 0.9**step), v / (1 - 0.95**step)
    return weight - rate * up / (down**power + 1e-8), m, v


def old_adam(
    weight: float, gradient: float, m: float, v: float, step: int, rate: float, decay: float
) -> State:
    return update(weight, gradient + decay * weight, m, v, step, rate)


def full_decay(
    weight: float, gradient: float, m: float, v: float, step: int, rate: float, decay: float
) -> State:
    new, m, v = update(weight, gradient, m, v, step, rate)
    return new - decay * weight, m, v


def plain_adam(
    weight: float, gradient: float, m: float, v: float, step: int, rate: float, decay: float
) -> State:
    return update(weight, gradient, m, v, step, rate)


def by_the_square(
    weight: float, gradient: float, m: float, v: float, step: int, rate: float, decay: float
) -> State:
    new, m, v = update(weight, gradient, m, v, step, rate, power=1.0)
    return new - rate * decay * weight, m, v


def adds_the_step(
    weight: float, gradient: float, m: float, v: float, step: int, rate: float, decay: float
) -> State:
    new, m, v = update(weight, gradient, m, v, step, -rate)
    return new - rate * decay * weight, m, v


def gradient_descent(
    weight: float, gradient: float, m: float, v: float, step: int, rate: float, decay: float
) -> State:
    m, v = means(gradient, m, v)
    return weight - rate * gradient - rate * decay * weight, m, v


def returns_corrected(
    weight: float, gradient: float, m: float, v: float, step: int, rate: float, decay: float
) -> State:
    new, m, v = update(weight, gradient, m, v, step, rate)
    return new - rate * decay * weight, m / (1 - 0.9**step), v / (1 - 0.95**step)


def other_betas(
    weight: float, gradient: float, m: float, v: float, step: int, rate: float, decay: float
) -> State:
    m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
    up, down = m / (1 - 0.9**step), v / (1 - 0.999**step)
    return weight * (1 - rate * decay) - rate * up / (down**0.5 + 1e-8), m, v


def only_the_weight(
    weight: float, gradient: float, m: float, v: float, step: int, rate: float, decay: float
) -> Any:
    return update(weight, gradient, m, v, step, rate)[0]


# ---- 7.5

Losses = list[float]


def one_mark(losses: Losses, patience: int, min_delta: float) -> tuple[int, int]:
    best, bad = 0, 0
    for i, loss in enumerate(losses):
        bad = bad + 1 if i and losses[best] - loss <= min_delta else 0
        if loss < losses[best]:
            best = i
        if bad == patience:
            return best, i
    return best, len(losses) - 1


def best_needs_a_big_gain(losses: Losses, patience: int, min_delta: float) -> tuple[int, int]:
    best = 0
    for i, loss in enumerate(losses):
        if losses[best] - loss > min_delta:
            best = i
        if i - best >= patience:
            return best, i
    return best, len(losses) - 1


def any_gain(losses: Losses, patience: int, min_delta: float) -> tuple[int, int]:
    best = 0
    for i, loss in enumerate(losses):
        if loss < losses[best]:
            best = i
        if i - best >= patience:
            return best, i
    return best, len(losses) - 1


def two_marks(losses: Losses, patience: int, min_delta: float) -> tuple[int, int]:
    best = mark = 0
    for i, loss in enumerate(losses):
        best = i if loss < losses[best] else best
        mark = i if losses[mark] - loss > min_delta else mark
        if i - mark >= patience:
            return best, i
    return best, len(losses) - 1


def waits_too_long(losses: Losses, patience: int, min_delta: float) -> tuple[int, int]:
    return two_marks(losses, patience + 1, min_delta)


def never_forgives(losses: Losses, patience: int, min_delta: float) -> tuple[int, int]:
    best, mark, bad = 0, 0, 0
    for i, loss in enumerate(losses):
        best = i if loss < losses[best] else best
        if losses[mark] - loss > min_delta:
            mark = i
        elif i:
            bad += 1
        if bad == patience:
            return best, i
    return best, len(losses) - 1


def where_it_stopped(losses: Losses, patience: int, min_delta: float) -> tuple[int, int]:
    end = two_marks(losses, patience, min_delta)[1]
    return end, end


def neighbours(losses: Losses, patience: int, min_delta: float) -> tuple[int, int]:
    best, bad = 0, 0
    for i, loss in enumerate(losses):
        best = i if loss < losses[best] else best
        bad = bad + 1 if i and losses[i - 1] - loss <= min_delta else 0
        if bad == patience:
            return best, i
    return best, len(losses) - 1


def never_stops(losses: Losses, patience: int, min_delta: float) -> tuple[int, int]:
    return losses.index(min(losses)), len(losses) - 1


def the_loss_itself(losses: Losses, patience: int, min_delta: float) -> Any:
    return min(losses), 1.5


CHAPTER_07: dict[str, list[tuple[Any, str]]] = {
    "7.1": [
        (only_falls, "no warm-up"),
        (jumps_down, "falls over all steps"),
        (too_slow, "never gets to 0"),
        (stays_up, "never falls"),
        (half_a_wave, "cosine"),
        (counts_from_one, "one step early"),
        (the_peak, "differs"),
        (rate_as_text, "wrong shape"),
    ],
    "7.2": [
        (clamps, "each value by itself"),
        (row_by_row, "each parameter by itself"),
        (always_to_the_limit, "short gradients stretched"),
        (forgets_the_root, "no root"),
        (adds_sizes, "sum of absolute values"),
        (largest_to_the_limit, "the largest value"),
        (leaves_them, "differs"),
        (one_list, "wrong shape"),
    ],
    "7.3": [
        (averages_speeds, "mean of the steps' speeds"),
        (takes_all, "the whole log"),
        (takes_the_first, "the first steps"),
        (seconds_per_token, "upside down"),
        (per_step, "tokens a step"),
        (only_the_last, "the last step alone"),
        (steps_per_second, "differs"),
        (each_speed, "wrong shape"),
    ],
    "7.4": [
        (without_correction, "not corrected"),
        (old_adam, "decay in the gradient"),
        (full_decay, "decay without the rate"),
        (plain_adam, "no decay"),
        (by_the_square, "no square root"),
        (adds_the_step, "uphill"),
        (gradient_descent, "plain descent"),
        (returns_corrected, "corrected values kept"),
        (other_betas, "differs"),
        (only_the_weight, "wrong shape"),
    ],
    "7.5": [
        (one_mark, "slow gains stopped"),
        (best_needs_a_big_gain, "small gains lost"),
        (any_gain, "min_delta ignored"),
        (waits_too_long, "one evaluation too many"),
        (never_forgives, "patience never renewed"),
        (where_it_stopped, "the last, not the best"),
        (neighbours, "against the one before"),
        (never_stops, "differs"),
        (the_loss_itself, "wrong shape"),
    ],
}
