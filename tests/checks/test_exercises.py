"""Every exercise: its answer passes, its stub does not, typical wrong answers are told apart."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from course_lib.checks import EXERCISES, CheckResult, Exercise, Wrong, call, load_all
from course_lib.checks.exercises import exercise
from course_lib.notebooks.canonical import read, tagged_source
from tests.checks.wrong_answers import WRONG_ANSWERS

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = sorted(load_all(), key=lambda number: [int(part) for part in number.split(".")])


def notebook_of(number: str, folder: str) -> dict[str, Any]:
    chapter = f"{int(number.split('.')[0]):02d}"
    found = sorted((ROOT / folder).glob(f"{chapter}_*.ipynb"))
    assert len(found) == 1, f"exercise {number} needs one notebook {folder}/{chapter}_*.ipynb"
    return read(found[0])


def function_in(number: str, folder: str, tag: str) -> Any:
    """The function that the tagged cell of the notebook defines."""
    namespace: dict[str, Any] = {}
    exec(tagged_source(notebook_of(number, folder), f"{tag}-{number}"), namespace)
    return namespace[EXERCISES[number].answer_name]


def test_chapter_00_has_its_exercise():
    assert "0.1" in NUMBERS


@pytest.mark.parametrize("number", NUMBERS)
def test_the_answer_of_the_solutions_notebook_passes(number):
    result = EXERCISES[number](function_in(number, "solutions", "answer"))
    assert result.passed, result


@pytest.mark.parametrize("number", NUMBERS)
def test_the_stub_of_the_chapter_is_unsolved(number):
    result = EXERCISES[number](function_in(number, "notebooks", "exercise"))
    assert result.state == "unsolved"
    assert not result.passed


@pytest.mark.parametrize("number", NUMBERS)
def test_the_statement_is_the_same_in_chapter_and_solution(number):
    tag = f"statement-{number}"
    chapter = tagged_source(notebook_of(number, "notebooks"), tag)
    assert chapter == tagged_source(notebook_of(number, "solutions"), tag)
    check = EXERCISES[number]
    for wanted in (f"Exercise {number}", check.title, f"{check.minutes} minutes"):
        assert wanted in chapter


@pytest.mark.parametrize("number", NUMBERS)
def test_chapter_and_solution_call_the_check(number):
    call_text = re.compile(rf"check_\w+\({EXERCISES[number].answer_name}\)")
    for folder in ("notebooks", "solutions"):
        cells = notebook_of(number, folder)["cells"]
        assert any(call_text.search("".join(cell["source"])) for cell in cells), folder


@pytest.mark.parametrize("number", NUMBERS)
def test_there_are_two_wrong_answers_with_diagnoses_of_their_own(number):
    mistakes = {wrong.mistake for wrong in WRONG_ANSWERS.get(number, [])}
    assert len(mistakes) >= 2, f"exercise {number} needs two wrong answers in wrong_answers.py"


@pytest.mark.parametrize(
    ("number", "wrong"),
    [(n, w) for n, wrongs in WRONG_ANSWERS.items() for w in wrongs],
    ids=lambda value: value if isinstance(value, str) else value.answer.__name__,
)
def test_a_wrong_answer_gets_its_own_diagnosis(number, wrong):
    result = EXERCISES[number](wrong.answer)
    assert (result.state, result.mistake) == ("wrong", wrong.mistake), result


def test_every_wrong_answer_belongs_to_an_exercise():
    assert set(WRONG_ANSWERS) <= set(NUMBERS)


# ---- the machinery itself, on an exercise of its own


@pytest.fixture
def doubling():
    @exercise(
        "99.1", "Double", answer_name="double", difficulty=1, minutes=1, hints=("add", "x + x")
    )
    def check_double(answer):
        if call(answer, [3]) != [3, 3]:
            raise Wrong("not doubled", "the list should stand twice.")

    yield check_double
    del EXERCISES["99.1"]


def raises_of_its_own(x):
    y = x
    return y["missing"]


def leaves(x):
    raise SystemExit("bye")


def not_implemented(x):
    raise NotImplementedError


@pytest.mark.parametrize(
    ("answer", "state", "says"),
    [
        (lambda x: x * 2, "solved", "✓ Exercise 99.1 solved"),
        (lambda x: x, "wrong", "not doubled"),
        (lambda x: None, "unsolved", "fill in double"),
        (lambda x: ..., "unsolved", "A first hint: add"),
        (not_implemented, "unsolved", "fill in double"),
        (None, "unsolved", "fill in double"),
        (raises_of_its_own, "error", "TypeError in line 3 of raises_of_its_own"),
        (leaves, "error", "SystemExit"),
        (lambda: 3, "error", "TypeError"),
        ([3, 3], "error", "the function itself"),
    ],
)
def test_every_outcome_is_a_result_and_never_an_exception(doubling: Exercise, answer, state, says):
    result = doubling(answer)
    assert isinstance(result, CheckResult)
    assert (result.state, result.passed) == (state, state == "solved")
    assert says in repr(result)
    assert repr(doubling(answer)) == repr(result)


def test_a_check_that_cannot_read_the_answer_says_so(doubling: Exercise):
    class Odd:
        def __ne__(self, other):
            raise RuntimeError("no truth here")

    assert doubling(lambda x: Odd()).state == "error"


def test_the_learner_cannot_change_the_checks_inputs(doubling: Exercise):
    def spoils(x):
        x.append(3)
        return x

    assert doubling(spoils).passed  # [3] -> [3, 3] on a copy: right, and still right next time
    assert doubling(spoils).passed


def test_hints_are_staged(doubling: Exercise, capsys):
    doubling.hint()
    doubling.hint(2)
    doubling.hint(3)
    assert capsys.readouterr().out == (
        "Hint 1 of 2: add\nHint 2 of 2: x + x\nExercise 99.1 has the hints 1 to 2.\n"
    )


def test_the_html_is_escaped():
    page = CheckResult("1.1", "wrong", "<script>")._repr_html_()
    assert "<script>" not in page and "&lt;script&gt;" in page


def test_one_number_is_one_exercise(doubling: Exercise):
    with pytest.raises(ValueError, match="registered twice"):
        exercise("99.1", "Other", answer_name="f", difficulty=1, minutes=1, hints=("h",))(
            lambda answer: None
        )


@pytest.mark.parametrize(("difficulty", "hints"), [(4, ("h",)), (1, ())])
def test_an_exercise_needs_a_difficulty_and_a_hint(difficulty, hints):
    with pytest.raises(ValueError):
        exercise("99.2", "x", answer_name="f", difficulty=difficulty, minutes=1, hints=hints)
