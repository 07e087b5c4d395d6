"""Pictures of chapter 08: effects over seeds, runs with their spread, who influences whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

from course_lib.plots import _SERIES, BLUE, GREY, ORANGE, Picture, _smoothed, _values
from course_lib.tricks import Effect

_VERDICT_COLOURS = {"lower loss": "#2d7a3d", "higher loss": ORANGE, "within the noise": GREY}
Records = Sequence[Mapping[str, Any]]


def plot_effects(
    effects: Mapping[str, Effect],
    xlabel: str = "change of the held-out loss (nats per trained token)",
    name: str = "effects",
) -> Picture:
    """One line a trick: a dot for each seed, mean and 95% interval, and the figures beside them."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 1.0 + 0.42 * len(effects)), layout="constrained")
    axis = figure.subplots()
    for place, found in enumerate(effects.values()):
        _draw_effect(axis, place, found)
    axis.axvline(0, color="black", linewidth=1)
    axis.set_yticks(range(len(effects)), list(effects))
    axis.set_ylim(len(effects) - 0.4, -0.6)
    axis.set_xlabel(xlabel)
    axis.grid(axis="x", alpha=0.3)
    return Picture(figure, f"{name}: {xlabel} by {', '.join(effects)}")


def _draw_effect(axis: Any, place: int, found: Effect) -> None:
    (low, high), colour = found.interval, _VERDICT_COLOURS[found.verdict]
    axis.plot([low, high], [place, place], color=colour, linewidth=2)
    axis.plot([found.value], [place], "D", color=colour, markersize=6)
    seeds = [place + 0.18] * len(found.differences)
    axis.plot(found.differences, seeds, ".", color=BLUE, markersize=5)
    where = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": 9}
    axis.annotate(str(found), (1.01, place), color=colour, annotation_clip=False, **where)


def plot_runs(
    runs: Mapping[str, Sequence[Records]],
    key: str = "loss",
    ylabel: str = "nats per trained token",
    mark: float | None = None,
    first: int | None = None,
    name: str = "runs",
) -> Picture:
    """One line a name, the mean over its runs, in a band from the least to the greatest.

    The training loss is smoothed; `mark` draws a vertical line; `first` keeps the first steps only.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 3.2), layout="constrained")
    axis = figure.subplots()
    for colour, (label, records) in zip(cycle(_SERIES), runs.items(), strict=False):
        steps, low, middle, high = _band(records, key, first)
        axis.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
        axis.plot(steps, middle, "-" if key == "loss" else "o-", color=colour, label=label, ms=3)
    if mark is not None:
        axis.axvline(mark, color="black", linestyle="--", linewidth=1)
    axis.set_xlabel("step")
    axis.set_ylabel(ylabel)
    axis.grid(alpha=0.3)
    axis.legend()
    return Picture(figure, f"{name}: {key} by step, {' and '.join(runs)}")


def _band(
    runs: Sequence[Records], key: str, first: int | None
) -> tuple[list[int], list[float], list[float], list[float]]:
    """Steps, least, mean and greatest value over the runs (as far as the shortest of them goes)."""
    seen = [_values(records, key) for records in runs]
    size = min(len(steps) for steps, _ in seen)
    lines = [list(_smoothed(values)) if key == "loss" else values for _, values in seen]
    columns = list(zip(*(line[:size] for line in lines), strict=True))[:first]
    middle = [sum(column) / len(column) for column in columns]
    return seen[0][0][:size][:first], list(map(min, columns)), middle, list(map(max, columns))


def plot_lines(
    lines: Mapping[str, Sequence[float]], xlabel: str, ylabel: str, name: str = "lines"
) -> Picture:
    """One line a name over 1, 2, 3, …: schedules, norms by step."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 2.8), layout="constrained")
    axis = figure.subplots()
    styles = zip(cycle(_SERIES), cycle(("-", "--", "-.", ":")), lines.items(), strict=False)
    for colour, style, (label, values) in styles:
        places = range(1, len(values) + 1)
        axis.plot(places, list(values), style, color=colour, label=label)
    axis.set_xlabel(xlabel)
    axis.set_ylabel(ylabel)
    axis.grid(alpha=0.3)
    axis.legend()
    return Picture(figure, f"{name}: {ylabel} by {xlabel}, {' and '.join(lines)}")


def plot_influence(
    influences: Mapping[str, Any], tokens: Sequence[str], name: str = "influence"
) -> Picture:
    """Square pictures side by side: does the prediction in row i move when token j is changed?

    Red squares lie above the diagonal: the future was seen. Each is shaded by the logarithm of the
    change, from a ten-thousandth of the greatest one on. Raises ValueError for a wrong shape.
    """
    import numpy as np
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.9 * len(influences), 3.7), layout="constrained")
    axes = figure.subplots(1, len(influences), squeeze=False)[0]
    for axis, (label, found) in zip(axes, influences.items(), strict=True):
        table = np.asarray(found, dtype=float)
        if table.shape != (len(tokens), len(tokens)):
            raise ValueError(
                f"{label!r} has shape {table.shape}, not {len(tokens)} by {len(tokens)}"
            )
        scale = LogNorm(table.max() * 1e-4, table.max(), clip=False)
        future = np.triu(np.ones_like(table, dtype=bool), 1)
        for there, colours in ((~future, "Blues"), (future, "Reds")):
            shown = np.ma.masked_where(~there | (table < scale.vmin), table)
            axis.pcolormesh(shown, cmap=colours, norm=scale, edgecolors="#dddddd", linewidth=0.5)
        places = [number + 0.5 for number in range(len(tokens))]
        axis.set_xticks(places, tokens, rotation=60, ha="right", rotation_mode="anchor")
        axis.set_yticks(places, tokens)
        axis.invert_yaxis()
        axis.set_aspect("equal")
        axis.set_title(label)
        axis.set_xlabel("token that was changed")
    axes[0].set_ylabel("position that predicts")
    return Picture(figure, f"{name}: {' beside '.join(influences)}, {len(tokens)} tokens")


def plot_norm_groups(tokens: Sequence[str], width: int, name: str = "who shares a mean") -> Picture:
    """The same numbers twice, a row a token and a column a feature: one colour shares one mean."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 0.9 + 0.26 * len(tokens)), layout="constrained")
    axes = figure.subplots(1, 2)
    rows = [[place] * width for place in range(len(tokens))]
    columns = [list(range(width)) for _ in tokens]
    for axis, title, groups in (
        (axes[0], "LayerNorm: one mean a token", rows),
        (axes[1], "BatchNorm: one mean a feature", columns),
    ):
        axis.pcolormesh(groups, cmap="Set3", vmin=0, vmax=11, edgecolors="white", linewidth=1.5)
        axis.set_yticks([place + 0.5 for place in range(len(tokens))], tokens)
        axis.set_xticks([])
        axis.invert_yaxis()
        axis.set_title(title, fontsize=10)
        axis.set_xlabel(f"{width} features")
    return Picture(figure, f"{name}: LayerNorm beside BatchNorm, {len(tokens)} tokens")
