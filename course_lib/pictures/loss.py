"""Pictures of the loss: what each position is to predict, who counts how much, smoothed targets."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from course_lib.plots import BLUE, GREY, ORANGE, Picture, View, plot_bars

_COLOURS = (BLUE, ORANGE, "#2d7a3d", "#7b5ea7", GREY)
_FULL = 6.0  # nats at which a cell is as dark as it gets
_BOX = "border: 1px solid #bbb; padding: 0.15em 0.35em; text-align: center; white-space: pre"


def alignment(reads: Sequence[str], predicts: Sequence[str], losses: Sequence[float]) -> View:
    """What each position reads, what it is to predict ("" where it has no loss), and its nats.

    In the text form one line a position that has a loss. Raises ValueError when the three differ
    in length.
    """
    if not len(reads) == len(predicts) == len(losses):
        raise ValueError(f"{len(reads)} tokens, {len(predicts)} labels, {len(losses)} losses")
    rows = [
        _row("reads", [(_visible(token), "#f5f5f5") for token in reads]),
        _row("is to predict", [(_visible(token), "#ffffff") for token in predicts]),
        _row("loss", [_shaded(*pair) for pair in zip(predicts, losses, strict=True)]),
    ]
    page = f'<div style="overflow-x: auto"><table style="color: #111">{"".join(rows)}</table></div>'
    lines = [
        f"{read!r} -> {label!r}: {loss:.1f}"
        for read, label, loss in zip(reads, predicts, losses, strict=True)
        if label
    ]
    return View(page, "\n".join(lines))


def alignment_of(tokenizer: Any, reads: Any, predicts: Any, losses: Any) -> View:
    """As `alignment`, from (T,) tensors of ids, labels (-100: no loss) and nats, up to the last."""
    last = max((place for place, label in enumerate(predicts.tolist()) if label != -100), default=0)
    labels = [tokenizer.decode([i]) if i != -100 else "" for i in predicts[: last + 1].tolist()]
    tokens = [tokenizer.decode([i]) for i in reads[: last + 1].tolist()]
    return alignment(tokens, labels, losses[: last + 1].tolist())


def _row(name: str, cells: Iterable[tuple[str, str]]) -> str:
    boxes = "".join(
        f'<td style="{_BOX}; background: {colour}"><code>{text}</code></td>'
        for text, colour in cells
    )
    return f'<tr><th style="{_BOX}; background: #e6e6e6">{name}</th>{boxes}</tr>'


def _visible(token: str) -> str:
    return html.escape(token).replace("\n", "⏎").replace(" ", "␣")


def _shaded(label: str, loss: float) -> tuple[str, str]:
    """A loss in figures, and its colour: white at 0 nats, orange from `_FULL` on."""
    if not label:
        return "", "#ffffff"
    part = min(max(loss / _FULL, 0.0), 1.0)
    low = [round(255 + part * (full - 255)) for full in (242, 135, 75)]
    return f"{loss:.1f}", f"rgb({low[0]}, {low[1]}, {low[2]})"


def plot_shares_of_loss(
    weights: Mapping[str, Sequence[float]], name: str = "who counts"
) -> Picture:
    """What share of all weight the shortest dialogues hold, one line a way of weighting.

    `weights` gives for each way the weight of every dialogue, shortest dialogue first. A straight
    line means that all count alike.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 3.4), layout="constrained")
    axis = figure.subplots()
    for colour, (label, values) in zip(_COLOURS, weights.items(), strict=False):
        shares = [100 * share for share in cumulated(values)]
        places = [100 * place / len(values) for place in range(len(values) + 1)]
        axis.plot(places, shares, color=colour, label=label)
    axis.set_xlabel("% of the dialogues, fewest trained tokens first")
    axis.set_ylabel("% of the loss's weight")
    axis.grid(alpha=0.3)
    axis.legend()
    return Picture(figure, f"{name}: cumulated weight, {' and '.join(weights)}")


def plot_token_weights(counts: Sequence[int], name: str = "micro-batches") -> Picture:
    """What one token of each micro-batch weighs in a mean of means, and over the whole step.

    `counts` are the micro-batches' trained tokens; the weights are drawn in thousandths.
    """
    total, steps = sum(counts), len(counts)
    bars = {
        f"{number}: {count}": {
            "mean of means": 1000 / steps / count,
            "over the step": 1000 / total,
        }
        for number, count in enumerate(counts, 1)
    }
    picture = plot_bars(bars, "weight of one token × 1,000", name)
    axis = picture.figure.axes[0]
    axis.set_xlabel("micro-batch: its trained tokens")
    axis.tick_params(axis="x", labelsize=8)
    return picture


def cumulated(values: Sequence[float]) -> list[float]:
    """Share of the sum that the first 0, 1, 2, … values hold."""
    total, so_far, shares = math.fsum(values), 0.0, [0.0]
    for value in values:
        so_far += value
        shares.append(so_far / total)
    return shares


def smoothed_loss(probability: float, smoothing: float, vocabulary: int) -> float:
    """Loss in nats of a model that gives the right token `probability`, the others equal parts."""
    rest = (1 - probability) / (vocabulary - 1)
    even = -(math.log(probability) + (vocabulary - 1) * math.log(rest)) / vocabulary
    return -(1 - smoothing) * math.log(probability) + smoothing * even


def plot_smoothing(
    smoothings: Sequence[float], vocabulary: int, name: str = "label smoothing"
) -> Picture:
    """The loss against the probability of the right token, one line a degree of smoothing.

    The x axis is in logits (how far the right token's lies above the others'), where a certain
    model is infinitely far to the right; a dot marks each lowest point.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 3.4), layout="constrained")
    axis = figure.subplots()
    leads = [place / 10 for place in range(201)]
    chances = [1 / (1 + (vocabulary - 1) * math.exp(-lead)) for lead in leads]
    for colour, smoothing in zip(_COLOURS, smoothings, strict=False):
        losses = [smoothed_loss(p, smoothing, vocabulary) for p in chances]
        axis.plot(leads, losses, color=colour, label=f"smoothing {smoothing:g}")
        if smoothing:
            lowest = min(range(len(losses)), key=losses.__getitem__)
            axis.plot(leads[lowest], losses[lowest], "o", color=colour)
    axis.set_xlabel("how far the right token's logit lies above the others'")
    axis.set_ylabel("loss in nats")
    axis.grid(alpha=0.3)
    axis.legend()
    shown = " and ".join(f"{smoothing:g}" for smoothing in smoothings)
    return Picture(figure, f"{name}: loss by lead of the right token, smoothing {shown}")
