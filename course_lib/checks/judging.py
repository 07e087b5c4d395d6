"""How a check judges: on cases, with typical mistakes that are recognised by what they return."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from course_lib.checks.exercises import Wrong, call

Case = tuple[Any, ...]
Mistake = tuple[Callable[..., Any], str]  # what it would return, and what to say about it

SHAPE = "wrong shape"


def number(value: Any) -> float:
    """A float from what a learner may give: a number, or a NumPy or torch scalar."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Wrong(SHAPE, f"expected one number, found {type(value).__name__}.")
    return float(value)


def close(found: Any, expected: Any) -> bool:
    """Whether numbers agree to six digits and everything else exactly, item by item."""
    if isinstance(expected, tuple):
        same_size = isinstance(found, tuple) and len(found) == len(expected)
        return same_size and all(map(close, found, expected))
    if isinstance(expected, (int, float)) and not isinstance(expected, bool):
        numeric = isinstance(found, (int, float)) and not isinstance(found, bool)
        return numeric and math.isclose(found, expected, rel_tol=1e-6, abs_tol=1e-9)
    return bool(found == expected)


def agree(found: Sequence[Any], function: Callable[..., Any], cases: Sequence[Case]) -> bool:
    """Whether `function` returns what was found, on every case."""
    return all(close(f, function(*case)) for f, case in zip(found, cases, strict=True))


def judge(
    answer: Callable[..., Any],
    right: Callable[..., Any],
    cases: Sequence[Case],
    mistakes: Mapping[str, Mistake],
    read: Callable[[Any], Any] = number,
) -> None:
    """Passes a right answer; names the first mistake that fits every case, or shows one case.

    `read` brings what a learner returned into the form of `right`, or raises `Wrong`.
    """
    found = [read(call(answer, *case)) for case in cases]
    if agree(found, right, cases):
        return
    for name, (function, words) in mistakes.items():
        if agree(found, function, cases):
            raise Wrong(name, words)
    first = next(i for i, case in enumerate(cases) if not close(found[i], right(*case)))
    given = ", ".join(map(repr, cases[first]))
    raise Wrong(
        "differs", f"for ({given}) it gives {found[first]!r}, not {right(*cases[first])!r}."
    )
