"""Training as pictures: schedules, one run with all it logs, several runs beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

from course_lib.plots import (
    _SERIES,
    BLUE,
    GREY,
    ORANGE,
    Picture,
    Record,
    _draw_losses,
    _in_words,
    _smoothed,
    _values,
)


def plot_schedules(rates: Mapping[str, Sequence[float]], name: str = "schedules") -> Picture:
    """Learning rate by step, one line a schedule."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 2.8), layout="constrained")
    axis = figure.subplots()
    for (label, values), colour in zip(rates.items(), cycle(_SERIES), strict=False):
        axis.plot(range(1, len(values) + 1), list(values), color=colour, label=label)
    axis.set_xlabel("step")
    axis.set_ylabel("learning rate")
    axis.grid(alpha=0.3)
    axis.legend()
    steps = max((len(values) for values in rates.values()), default=0)
    return Picture(figure, f"{name}: {', '.join(rates)} over {steps} steps")


def plot_run(
    records: Sequence[Record], clip: float | None = None, name: str = "training"
) -> Picture:
    """All that a run logs: loss, token accuracy, gradient norm, learning rate, tokens a second.

    A panel whose values no record has stays empty; `clip` is drawn as a line in the norm's panel.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 5.0), layout="constrained")
    layout: list[Any] = [["loss", "loss", "accuracy"], ["norm", "lr", "speed"]]
    axes = figure.subplot_mosaic(layout)
    _draw_losses(axes["loss"], records)
    _panel(axes["accuracy"], records, "eval_accuracy", "held-out token accuracy", ORANGE, "o-")
    _panel(axes["norm"], records, "grad_norm", "gradient norm", GREY)
    _panel(axes["lr"], records, "lr", "learning rate", BLUE)
    axes["speed"].plot(*_speeds(records), color=GREY, linewidth=1)
    axes["speed"].set(xlabel="step", ylabel="trained tokens a second", ylim=(0, None))
    axes["speed"].grid(alpha=0.3)
    if clip is not None:
        axes["norm"].axhline(clip, color="black", linestyle="--", linewidth=1, label="clip")
        axes["norm"].legend()
    return Picture(figure, _in_words(name, records))


def _panel(
    axis: Any, records: Sequence[Record], key: str, label: str, colour: str, style: str = "-"
) -> None:
    axis.plot(*_values(records, key), style, color=colour, linewidth=1, markersize=4)
    axis.set(xlabel="step", ylabel=label)
    axis.grid(alpha=0.3)


def _speeds(records: Sequence[Record]) -> tuple[list[int], list[float]]:
    timed = [record for record in records if record.get("seconds") and "tokens" in record]
    return [r["step"] for r in timed], [r["tokens"] / r["seconds"] for r in timed]


def plot_runs(
    runs: Mapping[str, Sequence[Record]],
    beside: Sequence[Record] = (),
    name: str = "runs",
) -> Picture:
    """For each run the loss above and the gradient norm (logarithmic) below, all on one scale.

    `beside`, a run to compare with, stands in every panel in grey.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    figure = Figure(figsize=(2.3 * max(1, len(runs)), 4.2), layout="constrained")
    axes = figure.subplots(2, len(runs), squeeze=False, sharey="row", sharex=True)
    for (label, records), (above, below) in zip(runs.items(), axes.T, strict=True):
        for shown, colour in ((beside, "#bbbbbb"), (records, BLUE)):
            steps, losses = _values(shown, "loss")
            above.plot(steps, list(_smoothed(losses)), color=colour)
            below.semilogy(*_values(shown, "grad_norm"), color=colour, linewidth=1)
        below.yaxis.set_minor_formatter(NullFormatter())
        above.set_title(label, fontsize=10)
        below.set_xlabel("step")
        for axis in (above, below):
            axis.grid(alpha=0.3)
    axes[0][0].set_ylabel("training loss")
    axes[1][0].set_ylabel("gradient norm")
    return Picture(figure, f"{name}: loss and gradient norm of {', '.join(runs)}")
