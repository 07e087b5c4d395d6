"""The pictures of chapter 11 are drawn, say in words what they show, and are the same each time."""

from __future__ import annotations

from course_lib.annotation.scores import Interval
from course_lib.experiments import Comparison, ExperimentLog
from course_lib.iterating import null_rounds
from course_lib.pictures.iterating import (
    error_cross,
    error_lines,
    experiment_table,
    plot_changes,
    plot_kinds,
    plot_luck,
)
from tests.test_errors import judged
from tests.test_experiments import run


def comparison(name: str, low: float, high: float) -> Comparison:
    difference = Interval((low + high) / 2, low, high)
    return Comparison(name, "baseline", "facts", {}, difference, 0.1, 3, 2)


def test_kinds_leave_out_what_is_right():
    picture = plot_kinds({"one": judged(), "other": judged()})
    assert repr(picture) == "<errors: replies by kind of error; one and other>"
    axis = picture.figure.axes[0]
    labels = [label.get_text() for label in axis.get_yticklabels()]
    assert labels == ["wrong value", "value missing", "did not ask"]
    assert [bar.get_width() for bar in axis.patches] == [1] * 6
    assert picture._repr_png_() == plot_kinds({"one": judged(), "other": judged()})._repr_png_()


def test_changes_are_coloured_by_their_verdict():
    found = [comparison("a", 0.01, 0.1), comparison("b", -0.1, 0.1), comparison("c", -0.2, -0.1)]
    picture = plot_changes(found)
    assert repr(picture) == "<changes: facts, difference from baseline, for a, b, c>"
    texts = [text.get_text() for text in picture.figure.axes[0].texts]
    assert [text.split()[-1] for text in texts] == ["helped", "noise", "hurt"]
    assert len({text.get_color() for text in picture.figure.axes[0].texts}) == 3


def test_luck_is_drawn_twice():
    picture = plot_luck(null_rounds(20, 3, 50))
    labels = [t.get_text() for t in picture.figure.axes[0].get_legend().get_texts()]
    assert labels == ["on fresh questions", "where it was chosen"]


def test_tables_show_themselves_as_text_too():
    assert "wrong value" in error_lines(judged(), 1).text
    cross = error_cross(judged())
    assert "ask_price" in cross.text and "rgba" in cross.page
    assert error_cross(judged().filtered(kind="right")).text == ""


def test_the_experiment_table_says_what_cannot_be_trusted(tmp_path):
    path = tmp_path / "table.jsonl"
    log = ExperimentLog(path)
    log.add(run())
    assert "problem" not in experiment_table(log, ["facts"]).text
    with path.open("a") as file:
        file.write("half")
    log.reload()
    view = experiment_table(log, ["facts"])
    assert "no whole run" in view.text and "0.500" in view.page
