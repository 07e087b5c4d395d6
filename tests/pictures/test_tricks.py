"""The pictures of chapter 08 are drawn, say in words what they show, and are the same each time."""

from __future__ import annotations

import pytest

from course_lib.pictures.tricks import (
    plot_effects,
    plot_influence,
    plot_lines,
    plot_norm_groups,
    plot_runs,
)
from course_lib.tricks import Effect

RECORDS = [
    [{"step": n, "loss": 3.0 / n + seed, "grad_norm": 1.0 * n} for n in range(1, 6)]
    for seed in range(3)
]


def test_effects_name_themselves_and_hold_no_number():
    found = {"warm-up": Effect((-0.5, -0.4, -0.6)), "dropout": Effect((0.1, -0.1, 0.05))}
    picture = plot_effects(found, "change of the loss")
    assert repr(picture) == "<effects: change of the loss by warm-up, dropout>"
    texts = [text.get_text() for text in picture.figure.axes[0].texts]
    assert texts == [str(effect) for effect in found.values()]
    assert picture._repr_png_() == plot_effects(found, "change of the loss")._repr_png_()


def test_runs_are_drawn_as_mean_and_band():
    watched = [[{**r, "eval_loss": r["loss"]} for r in run if r["step"] % 2] for run in RECORDS]
    picture = plot_runs({"plain": RECORDS, "short": [run[:3] for run in RECORDS]}, mark=2)
    assert repr(picture) == "<runs: loss by step, plain and short>"
    lines = picture.figure.axes[0].get_lines()
    assert list(lines[0].get_ydata())[0] == pytest.approx(4.0)
    assert len(lines[1].get_xdata()) == 3
    raw = plot_runs({"plain": watched}, key="eval_loss", first=2).figure.axes[0].get_lines()[0]
    assert list(raw.get_xdata()) == [1, 3]
    assert list(raw.get_ydata()) == pytest.approx([4.0, 2.0])


def test_lines_start_at_one():
    line = plot_lines({"a": [3.0, 2.0]}, "step", "rate").figure.axes[0].get_lines()[0]
    assert list(line.get_xdata()) == [1, 2]


def test_influence_tells_the_future_from_the_past():
    table = [[1.0, 0.5, 0.0], [0.2, 1.0, 0.0], [0.1, 0.2, 1.0]]
    picture = plot_influence({"one": table, "other": table}, ["a", "b", "c"])
    past, future = picture.figure.axes[0].collections
    assert past.get_array().count() == 6
    assert future.get_array().count() == 1  # the zeros stay white
    with pytest.raises(ValueError, match="shape"):
        plot_influence({"one": table}, ["a", "b"])


def test_a_colour_is_a_token_or_a_feature():
    tokens = ["my", "kettle", "hello"]
    left, right = (
        axis.collections[0].get_array().reshape(3, 4)
        for axis in plot_norm_groups(tokens, 4).figure.axes
    )
    assert [set(row) for row in left.tolist()] == [{0}, {1}, {2}]
    assert right.tolist() == [[0, 1, 2, 3]] * 3
