"""The machinery of the exercises: what a check is, and what it says to a learner.

A judge gets the learner's function, calls it through `call` on inputs of its own and raises
`Wrong(mistake, message)` when the outcome is not right. The `exercise` decorator turns the judge
into a check that never raises: unsolved, wrong, broken and solved all come back as a `CheckResult`.
"""

from __future__ import annotations

import copy
import html
import importlib
import pkgutil
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

State = Literal["unsolved", "wrong", "error", "solved"]
Judge = Callable[[Callable[..., Any]], None]
_COLOURS = {"unsolved": "#8a6d3b", "wrong": "#a94442", "error": "#a94442", "solved": "#2d7a3d"}
_STARS = {1: "★☆☆", 2: "★★☆", 3: "★★★"}


class Wrong(Exception):
    """An answer that runs and is not right: `mistake` is the diagnosis' short name."""

    def __init__(self, mistake: str, message: str) -> None:
        super().__init__(message)
        self.mistake, self.message = mistake, message


class _Unsolved(Exception):
    """The stub was left as it is."""


class _Broken(Exception):
    """The learner's function raised an error of its own; the text says which and where."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found; its text is the same on every run.

    `mistake` is the short name of the diagnosis and None unless the state is "wrong".
    """

    number: str
    state: State
    message: str
    mistake: str | None = None

    @property
    def passed(self) -> bool:
        return self.state == "solved"

    def __repr__(self) -> str:
        return self.message

    def _repr_html_(self) -> str:
        style = f"border-left: 4px solid {_COLOURS[self.state]}; padding: 0.4em 0.8em"
        return f'<div style="{style}; white-space: pre-wrap">{html.escape(self.message)}</div>'


@dataclass(frozen=True, slots=True)
class Exercise:
    """One exercise; calling it with the learner's function checks the answer.

    `answer_name` is the name of the function that the learner fills in; `difficulty` is 1 to 3.
    """

    number: str
    title: str
    difficulty: int
    minutes: int
    answer_name: str
    hints: tuple[str, ...]
    judge: Judge

    def __call__(self, answer: Any) -> CheckResult:
        try:
            _require_function(answer, self.answer_name)
            self.judge(answer)
        except _Unsolved:
            return self._result("unsolved", self._invitation())
        except _Broken as problem:
            return self._result("error", f"✗ Exercise {self.number}: {problem}")
        except Wrong as wrong:
            text = f"✗ Exercise {self.number}, {wrong.mistake}: {wrong.message}"
            return self._result("wrong", text, wrong.mistake)
        except Exception as error:  # what came back defeats the judge: still no traceback
            text = f"what {self.answer_name} returned cannot be read ({type(error).__name__})"
            return self._result("error", f"✗ Exercise {self.number}: {text}")
        return self._result("solved", f"✓ Exercise {self.number} solved")

    def hint(self, n: int = 1) -> None:
        """Prints the n-th hint (from 1); each says more than the one before."""
        if not 1 <= n <= len(self.hints):
            print(f"Exercise {self.number} has the hints 1 to {len(self.hints)}.")
            return
        print(f"Hint {n} of {len(self.hints)}: {self.hints[n - 1]}")

    def __repr__(self) -> str:
        stars = _STARS[self.difficulty]
        return f"Exercise {self.number}: {self.title} ({stars}, {self.minutes} minutes)"

    def _result(self, state: State, message: str, mistake: str | None = None) -> CheckResult:
        return CheckResult(self.number, state, message, mistake)

    def _invitation(self) -> str:
        return (
            f"… Exercise {self.number} is not solved yet: fill in {self.answer_name}(...) and run "
            f"this cell again.\n  A first hint: {self.hints[0]}"
        )


EXERCISES: dict[str, Exercise] = {}


def exercise(
    number: str,
    title: str,
    *,
    answer_name: str,
    difficulty: int,
    minutes: int,
    hints: Sequence[str],
) -> Callable[[Judge], Exercise]:
    """Registers a judge as the check of exercise `number` ("<chapter>.<place>")."""
    if difficulty not in _STARS:
        raise ValueError(f"exercise {number}: difficulty is 1, 2 or 3, not {difficulty!r}")
    if not hints:
        raise ValueError(f"exercise {number} needs at least one hint")

    def register(judge: Judge) -> Exercise:
        known = EXERCISES.get(number)
        if known is not None and known.judge.__qualname__ != judge.__qualname__:
            raise ValueError(f"exercise {number} is registered twice")
        entry = Exercise(number, title, difficulty, minutes, answer_name, tuple(hints), judge)
        EXERCISES[number] = entry
        return entry

    return register


def call(answer: Callable[..., Any], *arguments: Any) -> Any:
    """Calls the learner's function on copies of the arguments.

    What a stub gives (None, Ellipsis, NotImplementedError) counts as unsolved; any other error
    is reported with its line in the learner's function.
    """
    try:
        outcome = answer(*copy.deepcopy(arguments))
    except NotImplementedError:
        raise _Unsolved from None
    except (Exception, SystemExit) as error:
        raise _Broken(_explain(error, answer)) from None
    if outcome is None or outcome is Ellipsis:
        raise _Unsolved
    return outcome


def _explain(error: BaseException, answer: Callable[..., Any]) -> str:
    name = getattr(answer, "__name__", "your function")
    code = getattr(answer, "__code__", None)
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f.lineno for f in frames if code and f.filename == code.co_filename and f.lineno]
    where = f" in line {lines[-1] - code.co_firstlineno + 1} of {name}" if lines and code else ""
    said = str(error).strip()
    return f"your function stopped with {type(error).__name__}{where}" + (
        f": {said}" if said else ""
    )


def _require_function(answer: Any, name: str) -> None:
    if answer is None or answer is Ellipsis:
        raise _Unsolved
    if not callable(answer):
        kind = type(answer).__name__
        raise _Broken(f"give the check the function itself, check({name}), not its {kind}")


def load_all() -> dict[str, Exercise]:
    """Imports every chapter's checks and returns all exercises by number."""
    package = importlib.import_module("course_lib.checks")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"course_lib.checks.{module.name}")
    return EXERCISES
