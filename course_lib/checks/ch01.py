"""Checks of chapter 01."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from course_lib.checks.exercises import Wrong, exercise
from course_lib.checks.judging import SHAPE, Case, Mistake, judge, number

# ---- 1.1 the loss of a dialogue


def _loss(log_probs: list[float], trained: list[bool]) -> float:
    kept = [-value for value, on in zip(log_probs, trained, strict=True) if on]
    return sum(kept) / len(kept)


def _sum_trained(log_probs: list[float], trained: list[bool]) -> float:
    return -sum(value for value, on in zip(log_probs, trained, strict=True) if on)


def _mean_probability(log_probs: list[float], trained: list[bool]) -> float:
    kept = [math.exp(value) for value, on in zip(log_probs, trained, strict=True) if on]
    return -math.log(sum(kept) / len(kept))


_LOSS_CASES: list[Case] = [
    ([-2.0, -0.5, -1.5, -0.25], [False, True, True, True]),
    ([-3.0, -1.0, -4.0, -0.5, -2.5, -0.125], [False, False, True, True, False, True]),
    ([-0.75, -6.0], [True, False]),
]
_LOSS_MISTAKES: dict[str, Mistake] = {
    "sign": (
        lambda p, t: -_loss(p, t),
        "the sign is the wrong way round. A log probability is at most 0, a loss at least 0.",
    ),
    "everything trained": (
        lambda p, t: _loss(p, [True] * len(p)),
        "the prompt is counted too: that is the loss of pretraining. Leave out what is not "
        "trained.",
    ),
    "mask the wrong way round": (
        lambda p, t: _loss(p, [not on for on in t]) if not all(t) else 0.0,
        "it is the loss of the prompt. Trained are the positions where `trained` is True.",
    ),
    "divided by all positions": (
        lambda p, t: _sum_trained(p, t) / len(p),
        "the sum is right, but it is divided by the number of all positions. Then a long prompt "
        "would make a loss look small.",
    ),
    "not divided": (
        _sum_trained,
        "that is the sum. Divide it by the number of trained positions, or long replies seem worse "
        "than short ones.",
    ),
    "perplexity": (
        lambda p, t: math.exp(_loss(p, t)),
        "that is the perplexity, e to the power of the loss.",
    ),
    "base 2": (
        lambda p, t: _loss(p, t) / math.log(2),
        "that is in bits (logarithm of base 2). Our log probabilities are natural logarithms, and "
        "the loss is in nats.",
    ),
    "mean of probabilities": (
        _mean_probability,
        "the probabilities were averaged first and the logarithm taken last. Average the "
        "logarithms.",
    ),
}


@exercise(
    "1.1",
    "The loss of a dialogue",
    answer_name="dialogue_loss",
    difficulty=1,
    minutes=6,
    hints=(
        "only the positions where trained is True count, above and below the fraction line.",
        "zip(log_probs, trained) walks over both lists together; keep -p where the mask is True.",
        "kept = [-p for p, on in zip(log_probs, trained) if on]; return sum(kept) / len(kept)",
    ),
)
def check_dialogue_loss(answer: Callable[..., Any]) -> None:
    """Judges dialogue_loss(log_probs, trained): mean negative log-likelihood where trained."""
    judge(answer, _loss, _LOSS_CASES, _LOSS_MISTAKES)


# ---- 1.2 an interval for a share

_Z = 1.96


def _wilson(right: int, asked: int, z: float = _Z) -> tuple[float, float]:
    middle = (right + z * z / 2) / (asked + z * z)
    p = right / asked
    half = z * math.sqrt(p * (1 - p) * asked + z * z / 4) / (asked + z * z)
    return middle - half, middle + half


def _around(right: int, asked: int, half: float) -> tuple[float, float]:
    return right / asked - half, right / asked + half


def _deviation(right: int, asked: int) -> float:
    p = right / asked
    return math.sqrt(p * (1 - p))


def _clipped(interval: tuple[float, float]) -> tuple[float, float]:
    return max(0.0, interval[0]), min(1.0, interval[1])


def _wald(right: int, asked: int) -> tuple[float, float]:
    return _around(right, asked, _Z * _deviation(right, asked) / math.sqrt(asked))


def _undivided(right: int, asked: int) -> tuple[float, float]:
    low, high = _wilson(right, asked)
    factor = 1 + _Z * _Z / asked
    return low * factor, high * factor


_WILSON_CASES: list[Case] = [(45, 60), (1, 10), (0, 20), (60, 60)]
_NORMAL = (
    "that is p ± z·s, the normal approximation. It is too narrow for few questions, and of no "
    "width at all at 0 and at 1: nobody is that sure after so few. Use Wilson's formula."
)
_NO_DIVISION = (
    "the division by 1 + z²/n is missing, so that the interval can leave the range from 0 to 1."
)
_WILSON_MISTAKES: dict[str, Mistake] = {
    "normal approximation": (_wald, _NORMAL),
    "normal approximation, clipped": (lambda r, n: _clipped(_wald(r, n)), _NORMAL),
    "no division": (_undivided, _NO_DIVISION),
    "no division, clipped": (lambda r, n: _clipped(_undivided(r, n)), _NO_DIVISION),
    "around the share": (
        lambda r, n: _around(r, n, (_wilson(r, n)[1] - _wilson(r, n)[0]) / 2),
        "the width is right, but the interval lies around p. Wilson's middle is moved towards one "
        "half: (p + z²/2n) / (1 + z²/n).",
    ),
    "z forgotten": (
        lambda r, n: _wilson(r, n, 1.0),
        "that is z = 1, an interval that holds the true share about two times in three. For 95% "
        "set z to 1.96.",
    ),
    "ends swapped": (
        lambda r, n: _wilson(r, n)[::-1],
        "the upper end comes first. Return (low, high).",
    ),
}


def _pair(value: Any) -> tuple[float, float]:
    value = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise Wrong(SHAPE, "return two numbers: return low, high.")
    return number(value[0]), number(value[1])


@exercise(
    "1.2",
    "An interval for a share",
    answer_name="share_interval",
    difficulty=2,
    minutes=10,
    hints=(
        "work in three steps: middle, half, then (middle - half, middle + half).",
        "both the middle and the half width are divided by 1 + z*z/asked.",
        "half = z * math.sqrt(p * (1 - p) / asked + z * z / (4 * asked**2)) / (1 + z * z / asked)",
    ),
)
def check_share_interval(answer: Callable[..., Any]) -> None:
    """Judges share_interval(right, asked) -> (low, high): Wilson's interval for z = 1.96."""
    judge(answer, _wilson, _WILSON_CASES, _WILSON_MISTAKES, _pair)


# ---- 1.3 where an answer comes from

Sentences = list[str]


def _states(sentences: Sentences, name: str, value: str) -> bool:
    return any(name in sentence and value in sentence for sentence in sentences)


def _label(in_read: bool, in_told: bool) -> str:
    if in_read and in_told:
        return "both"
    return "pretraining only" if in_read else "SFT only" if in_told else "neither"


def _origin(name: str, value: str, read: Sentences, told: Sentences) -> str:
    return _label(_states(read, name, value), _states(told, name, value))


def _scattered(sentences: Sentences, name: str, value: str) -> bool:
    text = " ".join(sentences)
    return name in text and value in text


_PAGE = ["The Ambry kettle costs 45 euros.", "The Brisa kettle costs 39 euros.", "Tea needs time."]
_CHAT = ["The Brisa kettle is 39 euros.", "The Quell lamp costs 45 euros.", "You are welcome."]
_ORIGIN_CASES: list[Case] = [
    ("Ambry kettle", "45 euros", _PAGE, _CHAT),
    ("Brisa kettle", "39 euros", _PAGE, _CHAT),
    ("Quell lamp", "45 euros", _PAGE, _CHAT),
    ("Nobby kettle", "39 euros", _PAGE, _CHAT),
    ("Ambry kettle", "39 euros", _PAGE, _CHAT),
    ("Quell lamp", "12 euros", _PAGE, _CHAT),
    ("Brisa kettle", "39 euros", [], _CHAT),
    ("Brisa kettle", "39 euros", _PAGE, []),
]
_ORIGIN_MISTAKES: dict[str, Mistake] = {
    "swapped": (
        lambda n, v, r, t: _origin(n, v, t, r),
        "the two sources are swapped: `read` is the pretraining text, `told` the SFT dialogues.",
    ),
    "name alone": (
        lambda n, v, r, t: _label(_states(r, n, n), _states(t, n, n)),
        "a sentence counts as soon as it names the product. It may say something else about it: "
        "the value must stand in it as well.",
    ),
    "value alone": (
        lambda n, v, r, t: _label(_states(r, v, v), _states(t, v, v)),
        "a sentence counts as soon as it holds the value. It may be another product's: the name "
        "must stand in it as well.",
    ),
    "either of the two": (
        lambda n, v, r, t: _label(
            _states(r, n, n) or _states(r, v, v), _states(t, n, n) or _states(t, v, v)
        ),
        "name or value is enough for your function. A fact is stated by the two together.",
    ),
    "two sentences": (
        lambda n, v, r, t: _label(_scattered(r, n, v), _scattered(t, n, v)),
        "name and value may stand in different sentences for your function. Then nearly every "
        "pair is found in a large text. Look at one sentence at a time.",
    ),
    "never both": (
        lambda n, v, r, t: {"both": "pretraining only"}.get(
            _origin(n, v, r, t), _origin(n, v, r, t)
        ),
        "what stands in both is called 'pretraining only'. Ask for both first.",
    ),
}
_LABELS = ("pretraining only", "both", "SFT only", "neither")


def _as_label(value: Any) -> str:
    if value not in _LABELS:
        raise Wrong(SHAPE, f"return one of {', '.join(map(repr, _LABELS))}, not {value!r}.")
    return str(value)


@exercise(
    "1.3",
    "Where does this answer come from?",
    answer_name="origin",
    difficulty=2,
    minutes=8,
    hints=(
        "work out two truth values first: is the fact stated in read, and is it stated in told?",
        "a sentence states it when it holds both: any(name in s and value in s for s in read)",
        "then four cases: both, only the first, only the second, none.",
    ),
)
def check_origin(answer: Callable[..., Any]) -> None:
    """Judges origin(name, value, read, told): the group that a fact belongs to."""
    judge(answer, _origin, _ORIGIN_CASES, _ORIGIN_MISTAKES, _as_label)


# ---- 1.4 how many dialogues it takes

Curve = list[tuple[int, float]]


def _needed(
    curve: Curve, target: float, scale: Callable[[float], float], back: Callable[[float], float]
) -> float:
    points = sorted(curve)
    if points[0][1] >= target:
        return float(points[0][0])
    for (a, low), (b, high) in zip(points, points[1:], strict=False):
        if low < target <= high:
            part = (target - low) / (high - low)
            return back(scale(a) + part * (scale(b) - scale(a)))
    return math.inf


def _dialogues_needed(curve: Curve, target: float) -> float:
    return _needed(curve, target, math.log, math.exp)


def _on_a_linear_axis(curve: Curve, target: float) -> float:
    return _needed(curve, target, float, float)


def _next_measured(curve: Curve, target: float) -> float:
    reached = [size for size, share in sorted(curve) if share >= target]
    return float(reached[0]) if reached else math.inf


def _last_below(curve: Curve, target: float) -> float:
    below = [size for size, share in sorted(curve) if share < target]
    return float(below[-1]) if below else math.inf


def _unsorted(curve: Curve, target: float) -> float:
    if curve[0][1] >= target:
        return float(curve[0][0])
    for (a, low), (b, high) in zip(curve, curve[1:], strict=False):
        if low < target <= high:
            part = (target - low) / (high - low)
            return math.exp(math.log(a) + part * (math.log(b) - math.log(a)))
    return math.inf


def _largest_if_never(curve: Curve, target: float) -> float:
    found = _dialogues_needed(curve, target)
    return found if math.isfinite(found) else float(max(curve)[0])


_NEEDED_CASES: list[Case] = [
    ([(50, 0.2), (200, 0.4), (1000, 0.6)], 0.3),
    ([(50, 0.2), (200, 0.4), (1000, 0.6)], 0.55),
    ([(1000, 0.5), (50, 0.1), (200, 0.4)], 0.25),
    ([(50, 0.35), (200, 0.5)], 0.3),
    ([(50, 0.0), (200, 0.0), (1000, 0.05)], 0.5),
    ([(50, 0.1), (200, 0.45), (1000, 0.4), (4000, 0.7)], 0.42),
]
_NEEDED_MISTAKES: dict[str, Mistake] = {
    "linear axis": (
        _on_a_linear_axis,
        "you go straight between the two sizes, but the axis of the plot is logarithmic: go "
        "straight between the logarithms of the sizes, then take exp.",
    ),
    "next measured size": (
        _next_measured,
        "that is the first measured size that reaches the target. The curve crosses it before.",
    ),
    "last size below": (
        _last_below,
        "that is a size that does not reach the target. The curve crosses it later.",
    ),
    "not sorted": (
        _unsorted,
        "the points may come in any order. Sort them by size first.",
    ),
    "largest when never reached": (
        _largest_if_never,
        "a curve that never reaches the target needs more dialogues than were measured: return "
        "math.inf, not the largest size.",
    ),
}


@exercise(
    "1.4",
    "How many dialogues does it take?",
    answer_name="dialogues_needed",
    difficulty=3,
    minutes=15,
    hints=(
        "sort the points, then look for the first neighbours (a, low), (b, high) with "
        "low < target <= high.",
        "how far along between them: part = (target - low) / (high - low).",
        "on a logarithmic axis that is math.exp(log(a) + part * (log(b) - log(a))).",
    ),
)
def check_dialogues_needed(answer: Callable[..., Any]) -> None:
    """Judges dialogues_needed(curve, target): where a learning curve first reaches the target."""
    judge(answer, _dialogues_needed, _NEEDED_CASES, _NEEDED_MISTAKES)
