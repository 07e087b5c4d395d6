"""What the chapters assert: `claim` for what the prose says, one check for each exercise.

A claim that no longer holds stops the notebook. A check never does: it tells the learner what it
found, and the notebook runs on.
"""

from __future__ import annotations

import contextlib
from typing import Any

from course_lib.checks.exercises import (
    EXERCISES,
    CheckResult,
    Exercise,
    Wrong,
    call,
    exercise,
    load_all,
)

__all__ = [
    "EXERCISES",
    "CheckResult",
    "ClaimFailed",
    "Exercise",
    "Wrong",
    "call",
    "claim",
    "exercise",
    "load_all",
]


class ClaimFailed(AssertionError):
    """What the text claims is not what the cell measured."""


def claim(text: str, condition: Any, **saw: Any) -> None:
    """Asserts that a sentence of the chapter is true, and prints it with a tick.

    `condition` is one truth value: a bool, or a NumPy or torch scalar of type bool; anything else
    is a TypeError, as a tuple or a text would count as true whatever it holds. Keyword arguments
    name what was measured; they stand in the error only, so that the printed line never varies.
    Raises ClaimFailed when the condition is false.
    """
    if not _truth(condition):
        measured = ", ".join(f"{name} = {value!r}" for name, value in saw.items())
        seen = measured or f"the condition was {condition!r}"
        raise ClaimFailed(f"✗ this does not hold: {text} (saw: {seen})")
    print(f"✓ {text}")


def _truth(condition: Any) -> bool:
    value = condition
    if not isinstance(condition, bool) and hasattr(condition, "item"):
        with contextlib.suppress(ValueError, RuntimeError):  # several elements: refused below
            value = condition.item()
    if not isinstance(value, bool):
        kind = type(condition).__name__
        raise TypeError(
            f"claim needs one True or False, not {kind}: compare (a < b), or reduce with all(...)"
        )
    return value
