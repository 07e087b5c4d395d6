"""Pictures of chapter 11: errors by kind, changes with their intervals, what chance can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from course_lib.errors import LINE, ErrorTable
from course_lib.plots import BLUE, GREY, ORANGE, Picture, View, side_by_side

if TYPE_CHECKING:
    from course_lib.experiments import Comparison, ExperimentLog
    from course_lib.iterating import NullRounds

_VERDICTS = {"helped": "#2d7a3d", "hurt": ORANGE, "noise": GREY}


def plot_kinds(tables: Mapping[str, ErrorTable], name: str = "errors") -> Picture:
    """Bars: how many replies of each table have each kind of error; right ones are left out."""
    from matplotlib.figure import Figure

    counts = {label: table.errors().counts() for label, table in tables.items()}
    kinds = list(dict.fromkeys(kind for found in counts.values() for kind in found))
    figure = Figure(figsize=(8.0, 1.0 + 0.32 * max(len(kinds), 1)), layout="constrained")
    axis = figure.subplots()
    height = 0.8 / len(tables)
    for number, ((label, found), colour) in enumerate(
        zip(counts.items(), (BLUE, ORANGE, GREY), strict=False)
    ):
        places = [place + (number + 0.5) * height - 0.4 for place in range(len(kinds))]
        axis.barh(places, [found.get(k, 0) for k in kinds], height, color=colour, label=label)
    axis.set_yticks(range(len(kinds)), kinds)
    axis.invert_yaxis()
    axis.set_xlabel("replies")
    axis.grid(axis="x", alpha=0.3)
    axis.legend(loc="lower right")
    return Picture(figure, f"{name}: replies by kind of error; {' and '.join(tables)}")


def plot_changes(comparisons: Sequence[Comparison], name: str = "changes") -> Picture:
    """One line a change: its gain over the old run with the paired 95% interval."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 1.0 + 0.42 * len(comparisons)), layout="constrained")
    axis = figure.subplots()
    for place, found in enumerate(comparisons):
        colour, d = _VERDICTS[found.verdict], found.difference
        axis.plot([d.low, d.high], [place, place], color=colour, linewidth=2)
        axis.plot([d.value], [place], "D", color=colour, markersize=6)
        where: dict[str, Any] = {
            "xycoords": ("axes fraction", "data"),
            "va": "center",
            "fontsize": 9,
        }
        words = f"{d.value:+.3f} ({d.low:+.3f} to {d.high:+.3f}) {found.verdict}"
        axis.annotate(words, (1.01, place), color=colour, annotation_clip=False, **where)
    axis.axvline(0, color="black", linewidth=1)
    axis.set_yticks(range(len(comparisons)), [found.new for found in comparisons])
    axis.set_ylim(len(comparisons) - 0.4, -0.6)
    olds = " and ".join(dict.fromkeys(found.old for found in comparisons))
    measures = " and ".join(dict.fromkeys(found.measure for found in comparisons))
    axis.set_xlabel(f"{measures}, difference from {olds}")
    axis.grid(axis="x", alpha=0.3)
    names = ", ".join(found.new for found in comparisons)
    return Picture(figure, f"{name}: {measures}, difference from {olds}, for {names}")


def plot_luck(rounds: NullRounds, name: str = "the best of ten") -> Picture:
    """Two histograms: the best change's gain where it was chosen, and on fresh questions."""
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 2.8), layout="constrained")
    axis = figure.subplots()
    both = np.concatenate([rounds.best, rounds.kept])
    edges = np.linspace(both.min(), both.max(), 30).tolist()
    for values, colour, label in (
        (rounds.kept, GREY, "on fresh questions"),
        (rounds.best, ORANGE, "where it was chosen"),
    ):
        axis.hist(values, bins=edges, color=colour, alpha=0.6, label=label)
        axis.axvline(values.mean(), color=colour, linewidth=2)
    axis.axvline(0, color="black", linewidth=1, linestyle="--")
    axis.set_xlabel("gain of the change that looked best")
    axis.set_ylabel("rounds")
    axis.legend()
    return Picture(figure, f"{name}: gain where it was chosen, and on fresh questions")


def error_lines(table: ErrorTable, most: int = 5) -> View:
    """The first replies of a table beside customer and gold, for reading without a widget."""
    return side_by_side(table.lines(most), LINE)


def error_cross(table: ErrorTable, by: str = "intent", most: int = 8) -> View:
    """The worst intents or products, one a line, with their errors by kind; darker is more."""
    columns, rows = table.cross(by, most)
    top = max((cell for row in rows for cell in row[3:]), default=1) or 1
    shaded = [[*row[:3], *(_shaded(cell, top) for cell in row[3:])] for row in rows]
    return side_by_side(shaded, columns)


def _shaded(count: int, top: int) -> View:
    if not count:
        return View("", "0")
    strength = 0.15 + 0.75 * count / top
    style = f"background: rgba(217, 95, 2, {strength:.2f}); padding: 0.1em 0.5em"
    return View(f'<span style="{style}">{count}</span>', str(count))


def experiment_table(log: ExperimentLog, measures: Sequence[str]) -> View:
    """The table of runs, and under it what in the file cannot be trusted."""
    columns, rows = log.rows(measures)
    view = side_by_side(rows, columns)
    if not log.problems:
        return view
    troubles = side_by_side([[problem] for problem in log.problems], ["problem"])
    return View(view.page + troubles.page, f"{view.text}\n\n{troubles.text}")
