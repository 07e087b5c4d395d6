"""The loss mask, batches and packed rows as pictures (chapter 05)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

from course_lib.batching import IGNORE, truncate_all
from course_lib.chat_format import Encoded
from course_lib.plots import (
    _CONTEXT,
    _GONE,
    _SERIES,
    _TRAINED,
    Picture,
    View,
    _token,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from course_lib.batching import Batch

_PADDING = "#ffffff"


def shift_strip(tokens: Sequence[str], labels: Sequence[int]) -> View:
    """For each token the one it has to predict, green where that has a loss.

    `labels` (T,) stand at their own tokens. In the text form "a → b" has a loss, "a · b" none.
    Raises ValueError when tokens and labels differ in length.
    """
    if len(tokens) != len(labels):
        raise ValueError(f"{len(tokens)} tokens, but {len(labels)} labels")
    pairs = list(zip(tokens, tokens[1:], [label != IGNORE for label in labels[1:]], strict=False))
    page = "".join(_pair(*pair) for pair in pairs)
    words = ", ".join(f"{a} {'→' if on else '·'} {b}" for a, b, on in pairs)
    return View(f'<div style="line-height: 1.5">{page}</div>', words)


def _pair(token: str, following: str, on: bool) -> str:
    box = "display: inline-block; text-align: center; margin: 2px"
    below = _token(following, _TRAINED) if on else "<small>no loss</small>"
    return (
        f'<span style="{box}">{_token(token, _CONTEXT)}<br>{"↓" if on else "·"}<br>{below}</span>'
    )


def cut_strip(dialogue: Encoded, tokens: Sequence[str], limit: int, strategy: str) -> View:
    """A dialogue as a truncation strategy leaves it: trained green, context grey, cut away red.

    In the text form the trained stretches stand between « and », what was cut between [- and -].
    """
    places = Encoded(list(range(len(dialogue))), dialogue.mask, "", dialogue.turns)
    pieces = truncate_all([places], limit, strategy)[0]
    kept = {place for piece in pieces for place in piece.ids}
    trained = {place for piece in pieces for place in piece.trained_ids}
    colours = [
        _TRAINED if place in trained else _CONTEXT if place in kept else _GONE
        for place in places.ids
    ]
    spans = "".join(_token(token, colour) for token, colour in zip(tokens, colours, strict=True))
    return View(f'<div style="line-height: 2">{spans}</div>', _marked(tokens, colours))


def _marked(tokens: Sequence[str], colours: Sequence[str]) -> str:
    signs = {_TRAINED: ("«", "»"), _CONTEXT: ("", ""), _GONE: ("[-", "-]")}
    text, before = "", _CONTEXT
    for token, colour in zip(tokens, colours, strict=True):
        if colour != before:
            text += signs[before][1] + signs[colour][0]
        text, before = text + token, colour
    return text + signs[before][1]


def batch_grid(batches: Mapping[str, Batch], name: str = "batches") -> Picture:
    """Batches as grids, rows by positions: trained green, context grey, padding white.

    A dark line marks where a dialogue begins. All have one scale, so areas can be compared.
    """
    from matplotlib.colors import ListedColormap

    kinds = [_kinds(batch) for batch in batches.values()]
    widest = max(len(rows[0]) for rows in kinds)
    figure = _figure(8.0, sum(0.7 + 0.13 * len(rows) for rows in kinds))
    heights = [4 + len(rows) for rows in kinds]
    axes = figure.subplots(len(kinds), 1, squeeze=False, height_ratios=heights)[:, 0]
    colours = ListedColormap([_PADDING, _CONTEXT, _TRAINED, "#444444"])
    for axis, (label, rows) in zip(axes, zip(batches, kinds, strict=True), strict=True):
        axis.pcolormesh(rows, cmap=colours, vmin=0, vmax=3)
        for row in range(1, len(rows)):
            axis.axhline(row, color="white", linewidth=1)
        axis.plot([0, len(rows[0]), len(rows[0])], [len(rows), len(rows), 0], color="#888888")
        axis.set_xlim(0, widest)
        axis.invert_yaxis()
        axis.set_yticks([])
        useful = sum(kind > 0 for row in rows for kind in row) / (len(rows) * len(rows[0]))
        axis.set_title(
            f"{label}: {len(rows)} × {len(rows[0])}, {1 - useful:.0%} wasted", fontsize=9
        )
    axes[-1].set_xlabel("position")
    return Picture(figure, f"{name}: {', '.join(batches)}")


def _kinds(batch: Batch) -> list[list[int]]:
    """Of each position: 0 padding, 1 context, 2 trained, 3 a dialogue's first token."""
    mask = batch["attention_mask"]
    there = mask.bool() if mask.dim() == 2 else _in_a_dialogue(batch["position_ids"])
    starts = there & (batch["position_ids"] == 0)
    kinds = there.long() + (batch["labels"] != IGNORE).long()
    kinds[starts] = 3
    return [[int(kind) for kind in row] for row in kinds]


def _in_a_dialogue(positions: Any) -> Any:
    """(B, T) positions of packed rows -> bool: all but the zeros that fill a row's end."""
    return positions.flip(1).ne(0).cumsum(1).flip(1) > 0


def row_masks(
    masks: Mapping[str, Any], lengths: Mapping[str, int], name: str = "attention"
) -> Picture:
    """(T, T) masks of one packed row side by side: row t shows where token t may look.

    `lengths` names the dialogues of the row, in order, with their numbers of tokens.
    """
    figure = _figure(3.9 * len(masks), 3.9)
    axes = figure.subplots(1, len(masks), squeeze=False)[0]
    ends = [sum(list(lengths.values())[: n + 1]) for n in range(len(lengths))]
    middles = [end - size / 2 for end, size in zip(ends, lengths.values(), strict=True)]
    for axis, (label, mask) in zip(axes, masks.items(), strict=True):
        axis.pcolormesh([[float(cell) for cell in row] for row in mask], cmap="Blues", vmax=1.4)
        for end in ends:
            axis.axhline(end, color="#d95f02", linewidth=0.8)
            axis.axvline(end, color="#d95f02", linewidth=0.8)
        axis.set_xticks(middles, list(lengths))
        axis.set_yticks(middles, list(lengths), rotation=90, va="center")
        axis.invert_yaxis()
        axis.set_aspect("equal")
        axis.set_title(label, fontsize=10)
        axis.set_xlabel("may look at")
    return Picture(figure, f"{name}: {' beside '.join(masks)}; {', '.join(lengths)}")


def plot_lengths(
    lengths: Sequence[int], limits: Sequence[int] = (), name: str = "lengths"
) -> Picture:
    """How many dialogues have how many tokens, with a line at each limit."""
    figure = _figure(7.0, 2.6)
    axis = figure.subplots()
    axis.hist(list(lengths), bins=40, color=_SERIES[0])
    for limit, colour in zip(limits, cycle(_SERIES[1:]), strict=False):
        over = sum(length > limit for length in lengths) / len(lengths)
        label = f"{over:.1%} over {limit}"
        axis.axvline(limit, color=colour, linestyle="--", linewidth=1.5, label=label)
    axis.set_xlabel("tokens of the dialogue")
    axis.set_ylabel("dialogues")
    if limits:
        axis.legend()
    return Picture(figure, f"{name}: {min(lengths)} to {max(lengths)} tokens")


def plot_steps(
    series: Mapping[str, Sequence[float]],
    ylabel: str,
    xlabel: str = "step",
    log: bool = False,
    name: str = "steps",
) -> Picture:
    """A panel a series, one bar a step, all on one scale."""
    figure = _figure(8.0, 0.6 + 1.2 * len(series))
    axes = figure.subplots(len(series), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axis, (label, values), colour in zip(axes, series.items(), cycle(_SERIES), strict=False):
        axis.bar(range(len(values)), list(values), 1.0, color=colour)
        axis.set_title(label, fontsize=9, loc="left")
        if log:
            axis.set_yscale("symlog", linthresh=1e-6)
    axes[-1].set_xlabel(xlabel)
    figure.supylabel(ylabel, fontsize=9)
    return Picture(figure, f"{name}: {ylabel} by {xlabel}; {', '.join(series)}")


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
