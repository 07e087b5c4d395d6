"""Schedules: which share of the peak learning rate each optimiser step gets.

Each equals the one in `transformers.optimization` at every step; WSD (warm-up, stable, decay) its
`get_wsd_schedule` with the defaults, whose decay is half a cosine.
"""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[float, float], float]


def _constant(progress: float, decay: float) -> float:
    return 1.0


def _linear(progress: float, decay: float) -> float:
    return 1.0 - progress


def _cosine(progress: float, decay: float) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def _wsd(progress: float, decay: float) -> float:
    stable = 1.0 - decay
    return 1.0 if progress < stable or not decay else _cosine((progress - stable) / decay, 0.0)


# progress after warm-up (0 to 1), share of it that WSD's decay takes -> share of the peak
SCHEDULES: dict[str, Schedule] = {
    "constant": _constant,
    "linear": _linear,
    "cosine": _cosine,
    "wsd": _wsd,
}


def rate_at(
    schedule: str,
    peak: float,
    step: int,
    total_steps: int,
    warmup_steps: int,
    decay_steps: int = 0,
) -> float:
    """Learning rate at optimiser step `step` (from 0): warm-up to the peak, then `schedule`.

    Warm-up rises along a line from 0, so where there is one the first step moves nothing.
    `decay_steps`, the last so many, are for "wsd" only. After `total_steps` the rate stays.
    """
    if step < warmup_steps:
        return peak * step / max(1, warmup_steps)
    rest = max(1, total_steps - warmup_steps)
    progress = min(1.0, (step - warmup_steps) / rest)
    return peak * SCHEDULES[schedule](progress, min(1.0, decay_steps / rest))
