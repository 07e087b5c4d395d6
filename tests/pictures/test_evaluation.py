"""The pictures of chapter 09 show what they say, escape texts, and are the same each time."""

from __future__ import annotations

import pytest

from course_lib.metrics.ratings import Judgement, Ratings
from course_lib.pictures.evaluation import likeness_table, measure_grid, overlap_strip, plot_points


def test_shared_words_are_marked_once_each():
    view = overlap_strip("The kettle, the <b>kettle costs", "the kettle costs 39 euros")
    assert repr(view) == "«The» «kettle,» the <b>kettle «costs»"
    assert "<b>" not in view.page and view.page.count("#bfe3c0") == 3


def test_the_table_of_likeness_has_all_three_measures():
    text = repr(likeness_table({"same": "a b c d"}, "a b c d"))
    assert text == "reply: same\nwords: «a» «b» «c» «d»\nBLEU: 100.00\nchrF: 100.00\nROUGE-L: 1.00"


def test_the_best_of_a_column_has_a_star():
    rows = {"a": {"facts": 0.9, "repetition": 0.3}, "<b>": {"facts": 0.1, "repetition": 0.0}}
    view = measure_grid(rows, lower_is_better=["repetition"])
    assert repr(view).splitlines() == [
        "system  facts  repetition",
        "a  0.90*  0.30",
        "<b>  0.10  0.00*",
    ]
    assert "<b>" not in view.page
    assert "*" not in repr(measure_grid({"a": {"words": 3.0}}, unshaded=["words"]))
    with pytest.raises(ValueError, match="give each the same measures"):
        measure_grid({"a": {"x": 1.0}, "b": {"y": 1.0}})


def judgements(simulated: bool) -> Ratings:
    values = {"a": [5, 5, 4, 1], "b": [3, 3, 3, 3]}
    rows = [
        Judgement("r", f"i{n}", system, question, value)
        for question in ("fluency", "relevance", "helpfulness")
        for system, of in values.items()
        for n, value in enumerate(of)
    ]
    return Ratings(tuple(rows), (), simulated)


def test_points_are_shares_that_add_up_to_one():
    picture = plot_points(judgements(False))
    bars = [bar for group in picture.figure.axes[0].containers for bar in group]
    first = [bar.get_width() for bar in bars if round(bar.get_y() + bar.get_height() / 2) == 0]
    assert first == [0.25, 0, 0, 0.25, 0.5]
    assert repr(picture) == (
        "<points: share of the ratings by point, fluency, relevance, helpfulness; a and b>"
    )
    assert picture._repr_png_() == plot_points(judgements(False))._repr_png_()


def test_simulated_ratings_are_called_so_in_the_picture():
    picture = plot_points(judgements(True))
    assert "SIMULATED" in repr(picture)
    assert "SIMULATED" in picture.figure.axes[0].get_xlabel()
