"""Pictures of chapter 12: the list of traps, replies that run on, healthy beside broken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from course_lib.plots import _GONE, _NEW, BLUE, ORANGE, Picture, View, _escaped, side_by_side
from course_lib.traps import TRAPS, Answer, Figures


def trap_table() -> View:
    """All traps: what one sees, the figure that shows the damage, the test that catches it."""
    rows = [[name, trap.looks, trap.measure, trap.test] for name, trap in TRAPS.items()]
    return side_by_side(rows, ["trap", "what one sees", "what shows the damage", "caught by"])


def reply_table(replies: Mapping[str, Sequence[Answer]], count: int = 3) -> View:
    """The first replies of each model; those that were cut, as they did not stop, on red."""
    rows = [
        [label, *(_reply(answer) for answer in found[:count])] for label, found in replies.items()
    ]
    return side_by_side(rows, ["", *(f"reply {place + 1}" for place in range(count))])


def _reply(answer: Answer) -> View:
    mark = "■" if answer.stopped else "… (does not stop)"
    colour = _NEW if answer.stopped else _GONE
    page = f'<span style="background: {colour}">{_escaped(f"{answer.text} {mark}")}</span>'
    return View(page, f"{answer.text} {mark}")


def figure_table(figures: Mapping[str, Figures]) -> View:
    """Each model's four figures, the losses to one decimal, the shares to ten per cent.

    Rounded so far that they come out alike on other processors, but for figures near an edge.
    """
    rows = [
        [name, f"{f.loss:.1f}", f"{f.first:.1f}", f"{f.stops:.0%}", f"{f.facts:.0%}"]
        for name, f in figures.items()
    ]
    head = ["", "held-out loss", "loss on first tokens", "replies that stop", "exact facts"]
    return side_by_side(rows, head)


def plot_damages(found: Mapping[str, tuple[float, float]], name: str = "damages") -> Picture:
    """A small panel for each trap, on a scale of its own: the healthy figure and the broken one."""
    from matplotlib.figure import Figure

    columns = 4
    lines = -(-len(found) // columns)
    figure = Figure(figsize=(10.0, 2.1 * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).flatten()
    for axis, (trap, values) in zip(axes, found.items(), strict=False):
        bars = axis.bar(["healthy", "broken"], values, color=[BLUE, ORANGE])
        axis.bar_label(bars, [f"{value:.3g}" for value in values], fontsize=8)
        axis.margins(y=0.25)
        axis.set_title(trap, fontsize=9)
        axis.tick_params(labelsize=8)
    for axis in axes[len(found) :]:
        axis.set_visible(False)
    return Picture(figure, f"{name}: healthy beside broken for {', '.join(found)}")
