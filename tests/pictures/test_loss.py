"""Pictures of the loss: the same bytes for the same data, escaped, with stable text forms."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("matplotlib")

from course_lib.pictures.loss import (
    alignment,
    alignment_of,
    cumulated,
    plot_shares_of_loss,
    plot_smoothing,
    plot_token_weights,
    smoothed_loss,
)


def test_the_alignment_is_escaped_and_shaded():
    view = alignment(["<b>", " a", "\n"], ["", "<i>", "x"], [9.0, 0.0, 6.0])
    page = view._repr_html_()
    assert "<b>" not in page and "&lt;b&gt;" in page and "␣a" in page and "⏎" in page
    assert page.count("rgb(255, 255, 255)") == 1 and page.count("rgb(242, 135, 75)") == 1
    assert "9.0" not in page  # a loss without a label is no loss
    assert repr(view) == "' a' -> '<i>': 0.0\n'\\n' -> 'x': 6.0"


def test_the_alignment_needs_three_of_a_length():
    with pytest.raises(ValueError, match="2 tokens, 1 labels, 2 losses"):
        alignment(["a", "b"], ["b"], [0.0, 1.0])


def test_the_alignment_of_ids_ends_with_the_last_label(tokenizer):
    ids = torch.tensor(tokenizer("Hello, you", add_special_tokens=False)["input_ids"])
    labels = torch.full_like(ids, -100)
    labels[:2] = ids[1:3]
    view = alignment_of(tokenizer, ids, labels, torch.full(ids.shape, 2.0))
    wanted = [tokenizer.decode([i]) for i in ids[:3]]
    assert repr(view) == (
        f"{wanted[0]!r} -> {wanted[1]!r}: 2.0\n{wanted[1]!r} -> {wanted[2]!r}: 2.0"
    )


def test_what_a_token_weighs():
    picture = plot_token_weights([10, 30])
    heights = sorted(round(p.get_height(), 3) for p in picture.figure.axes[0].patches)
    assert heights == [round(500 / 30, 3), 25.0, 25.0, 50.0]
    assert picture._repr_png_() == plot_token_weights([10, 30])._repr_png_()


def test_shares_of_the_weight():
    assert cumulated([1, 1, 2]) == [0.0, 0.25, 0.5, 1.0]
    weights = {"per token": [1, 2, 7], "per dialogue": [1, 1, 1]}
    picture = plot_shares_of_loss(weights)
    assert repr(picture) == "<who counts: cumulated weight, per token and per dialogue>"
    assert picture._repr_png_() == plot_shares_of_loss(weights)._repr_png_()
    lines = picture.figure.axes[0].get_lines()
    assert [round(y) for y in lines[0].get_ydata()] == [0, 10, 30, 100]
    assert [round(y) for y in lines[1].get_ydata()] == [0, 33, 67, 100]


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
def test_the_smoothed_loss_is_torchs(smoothing):
    logits = torch.tensor([[3.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    right = logits.softmax(-1)[0, 0].item()
    theirs = F.cross_entropy(logits, torch.tensor([0]), label_smoothing=smoothing).item()
    assert smoothed_loss(right, smoothing, 4) == pytest.approx(theirs)


def test_smoothing_has_a_lowest_point_and_plain_loss_has_none():
    picture = plot_smoothing([0.0, 0.1], vocabulary=10)
    axis = picture.figure.axes[0]
    dots = [line for line in axis.get_lines() if line.get_marker() == "o"]
    assert len(dots) == 1
    best = math.log((1 - 0.1 + 0.1 / 10) / (0.1 / 10))  # the lead at which p is the target's
    assert dots[0].get_xdata()[0] == pytest.approx(best, abs=0.1)
    assert picture._repr_png_() == plot_smoothing([0.0, 0.1], vocabulary=10)._repr_png_()
