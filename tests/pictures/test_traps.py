"""Pictures of chapter 12: every trap is listed, a reply that runs on is marked, text stays text."""

from __future__ import annotations

from course_lib.notebooks.canonical import read, text_of
from course_lib.pictures.traps import figure_table, plot_damages, reply_table, trap_table
from course_lib.traps import TRAPS, Answer, Figures
from tests.tiny import ROOT


def test_every_trap_stands_in_the_table_with_its_test():
    view = trap_table()
    for name, trap in TRAPS.items():
        assert name in view.text and trap.test in view.text


def test_the_chapter_shows_each_traps_line_as_the_library_has_it():
    cells = read(ROOT / "notebooks" / "12_traps.ipynb")["cells"]
    prose = "\n".join(text_of(c["source"]) for c in cells if c["cell_type"] == "markdown")
    for trap in TRAPS.values():
        change = f"```diff\n- {trap.right}\n" + (f"+ {trap.wrong}\n```" if trap.wrong else "  ")
        assert change in prose


def test_a_reply_that_does_not_stop_is_marked_and_its_text_escaped():
    view = reply_table({"a": [Answer("Yes.", True), Answer("<b>and", False)]}, count=2)
    assert "Yes. ■" in view.text and "<b>and … (does not stop)" in view.text
    assert "<b>and" not in view.page and "&lt;b&gt;and" in view.page


def test_figures_are_rounded():
    view = figure_table({"healthy": Figures(1.84, 3.46, 0.975, 0.475)})
    assert "held-out loss: 1.8" in view.text and "replies that stop: 98%" in view.text


def test_damages_name_their_traps_and_no_numbers():
    picture = plot_damages({"one": (0.0, 1.0), "two": (0.5, 0.1)}, name="all")
    assert repr(picture) == "<all: healthy beside broken for one, two>"
    assert picture._repr_png_()[:4] == b"\x89PNG"
