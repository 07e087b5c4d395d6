"""Pictures and coloured tables for the notebooks; no stage of the pipeline imports this module.

What a function returns shows itself in Jupyter and has a text form that is the same on every run.
Pictures are drawn without pyplot and without version data: the same figure gives the same bytes.
"""

from __future__ import annotations

import html
import io
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, groupby
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from course_lib.cleaning.changes import edits_between

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from course_lib.cleaning.pipeline import CleaningReport
    from course_lib.dialogue import Dialogue

Record = Mapping[str, Any]

BLUE, ORANGE, GREY = "#1f6fb4", "#d95f02", "#888888"
_TRAINED, _CONTEXT = "#bfe3c0", "#e6e6e6"
_GONE, _NEW = "#f6c6c0", "#bfe3c0"
_UNSEEN = ("Cc", "Cf")  # Unicode's categories of control and format characters
_CELL = "border: 1px solid #bbb; padding: 0.4em 0.6em; text-align: left; vertical-align: top"
_FATES = ("altered", "set aside", "flagged")
_SMOOTHING = 0.3  # weight of the newest value in the smoothed training loss
_SERIES = (BLUE, ORANGE, "#2d7a3d", "#7b5ea7", GREY)
_SURPRISE = ("#ffffff", "#fde3cf", "#fbb98a", "#f2874b", "#d95f02")
_SURPRISE_FROM = (0.0, 1.0, 2.0, 4.0, 6.0)  # nats at which each shade begins

_SLOT_COLOURS = ("#d5e8d4", "#f8cecc", "#d0e0e3", "#cfe2f3", "#e1d5e7", "#ead1dc", "#fde3a7")


class Measured(Protocol):
    """A value with its interval, as `transfer.Share` has them."""

    @property
    def value(self) -> float: ...
    @property
    def interval(self) -> tuple[float, float]: ...


class Bounded(Protocol):
    """A value with the ends of its interval, as `annotation.scores.Interval` has them."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


class Spanned(Protocol):
    """A labelled span of a text, as `dialogue.Entity` is one."""

    @property
    def slot(self) -> str: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


@dataclass(frozen=True, slots=True)
class View:
    """A piece of HTML that shows itself in Jupyter, with a text form for everywhere else."""

    page: str
    text: str

    def _repr_html_(self) -> str:
        return self.page

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure that shows itself as PNG; `text` says in words what is drawn."""

    figure: Figure
    text: str

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", dpi=90, metadata={"Software": None})
        return buffer.getvalue()

    def __repr__(self) -> str:
        return f"<{self.text}>"


def token_strip(tokens: Sequence[str], mask: Sequence[Any]) -> View:
    """Tokens side by side, the trained ones (mask true) green.

    In the text form the trained stretches stand between « and ».
    Raises ValueError when tokens and mask differ in length.
    """
    if len(tokens) != len(mask):
        raise ValueError(f"{len(tokens)} tokens, but {len(mask)} mask values")
    colours = [_TRAINED if on else _CONTEXT for on in mask]
    spans = "".join(_token(token, colour) for token, colour in zip(tokens, colours, strict=True))
    legend = _token("trained", _TRAINED) + _token("context only", _CONTEXT)
    page = f'<div style="line-height: 2">{spans}</div><div>{legend}</div>'
    runs = groupby(zip(tokens, mask, strict=True), key=lambda pair: bool(pair[1]))
    pieces = [("".join(token for token, _ in run), on) for on, run in runs]
    return View(page, "".join(f"«{piece}»" if on else piece for piece, on in pieces))


def _token(token: str, colour: str) -> str:
    visible = html.escape(_encodable(token)).replace("\n", "⏎") or "∅"
    style = f"background: {colour}; color: #111; padding: 0.1em 0.2em; margin: 1px"
    return f'<code style="{style}; white-space: pre-wrap; border-radius: 3px">{visible}</code>'


def surprise_strip(tokens: Sequence[str], losses: Sequence[float]) -> View:
    """Tokens side by side, the darker the more nats of loss on them (white below 1, full from 6).

    In the text form a token of 4 nats or more is followed by "!". Raises ValueError when tokens and
    losses differ in length.
    """
    if len(tokens) != len(losses):
        raise ValueError(f"{len(tokens)} tokens, but {len(losses)} losses")
    levels = [sum(loss >= start for start in _SURPRISE_FROM[1:]) for loss in losses]
    spans = "".join(
        _token(token, _SURPRISE[level]) for token, level in zip(tokens, levels, strict=True)
    )
    legend = "".join(
        _token(f"{start:g}+ nats", shade)
        for start, shade in zip(_SURPRISE_FROM, _SURPRISE, strict=True)
    )
    page = f'<div style="line-height: 2">{spans}</div><div>{legend}</div>'
    marked = (token + "!" * (level >= 3) for token, level in zip(tokens, levels, strict=True))
    return View(page, "".join(marked))


def edit_strip(before: str, after: str) -> View:
    """A text and what an edit made of it, one above the other: what went red, what came green.

    Characters that cannot be seen are spelled out, such as <200b>. In the text form what went
    stands in [- -], what came in {+ +}.
    """
    old, new, text, place = "", "", "", 0
    for start, end, put in [*edits_between(before, after), (len(before), len(before), "")]:
        same = before[place:start]
        old += _mark(same) + _mark(before[start:end], _GONE)
        new += _mark(same) + _mark(put, _NEW)
        gone, came = _spelled(before[start:end]), _spelled(put)
        text += _spelled(same) + (f"[-{gone}-]" if gone else "") + (f"{{+{came}+}}" if came else "")
        place = end
    line = '<div style="white-space: pre-wrap; font-family: monospace">{}</div>'
    return View(line.format(old) + line.format(new), text)


def _mark(text: str, colour: str | None = None) -> str:
    shown = html.escape(_encodable(_spelled(text)))
    if not colour or not shown:
        return shown
    return f'<span style="background: {colour}; color: #111; border-radius: 3px">{shown}</span>'


def _spelled(text: str) -> str:
    """The text with what is invisible (format and control characters) as its code point."""
    return "".join(f"<{ord(c):04x}>" if unicodedata.category(c) in _UNSEEN else c for c in text)


def side_by_side(rows: Sequence[Sequence[Any]], columns: Sequence[str]) -> View:
    """A table, one row a list of as many cells as there are columns.

    Texts are escaped; a cell that is a `View` keeps its colours.
    """
    for number, row in enumerate(rows, 1):
        if len(row) != len(columns):
            raise ValueError(f"row {number} has {len(row)} cells for {len(columns)} columns")
    head = "".join(f'<th style="{_CELL}">{_escaped(name)}</th>' for name in columns)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{_page_of(cell)}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    page = f'<table style="border-collapse: collapse"><tr>{head}</tr>{body}</table>'
    blocks = [
        "\n".join(f"{name}: {cell}" for name, cell in zip(columns, row, strict=True))
        for row in rows
    ]
    return View(page, "\n\n".join(blocks))


def transcript(dialogue: Dialogue | None) -> str:
    """A dialogue for a table's cell, one turn a line; one that is None was set aside."""
    if dialogue is None:
        return "(set aside)"
    return "\n".join(f"{message.role}: {message.content}" for message in dialogue.messages)


def _page_of(cell: Any) -> str:
    return cell.page if isinstance(cell, View) else _escaped(cell)


def _escaped(value: Any) -> str:
    return html.escape(_encodable(str(value))).replace("\n", "<br>")


def _encodable(text: str) -> str:
    """Half surrogate pairs cannot travel to the browser; they become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def plot_curves(
    series: Mapping[str, Mapping[float, Measured | float]],
    xlabel: str,
    ylabel: str,
    name: str = "curves",
) -> Picture:
    """One line a series over a logarithmic x axis, with a bar where a value has an interval."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 3.2), layout="constrained")
    axis = figure.subplots()
    places = sorted({x for points in series.values() for x in points})
    axis.set_xscale("log")
    for colour, (label, points) in zip(cycle(_SERIES), series.items(), strict=False):
        xs = sorted(points)
        values = [_value_and_spread(points[x]) for x in xs]
        spread = [[v[1] for v in values], [v[2] for v in values]]
        heights = [v[0] for v in values]
        axis.errorbar(xs, heights, yerr=spread, fmt="o-", color=colour, capsize=4, label=label)
    axis.set_xticks(places, [f"{x:,g}" for x in places])
    axis.minorticks_off()
    axis.set_xlabel(xlabel)
    axis.set_ylabel(ylabel)
    axis.grid(alpha=0.3)
    axis.legend()
    return Picture(figure, f"{name}: {ylabel} by {xlabel}, {' and '.join(series)}")


def plot_shares(
    groups: Mapping[str, Mapping[str, Measured | float]], ylabel: str, name: str = "shares"
) -> Picture:
    """Bars from 0 to 1 with intervals: one cluster a group, one colour an inner key."""
    picture, axis = _clusters(groups, ylabel, name)
    axis.set_ylim(0, 1)
    return picture


def plot_bars(
    groups: Mapping[str, Mapping[str, Measured | Bounded | float]],
    ylabel: str,
    name: str = "bars",
) -> Picture:
    """As `plot_shares`, for measures of any height."""
    return _clusters(groups, ylabel, name)[0]


def _clusters(
    groups: Mapping[str, Mapping[str, Any]], ylabel: str, name: str
) -> tuple[Picture, Any]:
    """The picture of clustered bars, and its axis."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 3.2), layout="constrained")
    axis = figure.subplots()
    labels = list(dict.fromkeys(label for bars in groups.values() for label in bars))
    width = 0.8 / max(len(labels), 1)
    for number, (label, colour) in enumerate(zip(labels, cycle(_SERIES), strict=False)):
        there = [
            (place, bars[label]) for place, bars in enumerate(groups.values()) if label in bars
        ]
        values = [_value_and_spread(share) for _, share in there]
        axis.bar(
            [place + (number - (len(labels) - 1) / 2) * width for place, _ in there],
            [v[0] for v in values],
            0.9 * width,
            yerr=[[v[1] for v in values], [v[2] for v in values]],
            color=colour,
            capsize=3,
            label=label,
        )
    axis.set_xticks(range(len(groups)), list(groups))
    axis.set_ylabel(ylabel)
    figure.legend(loc="outside upper right", ncols=min(len(labels), 4))  # never upon a bar
    words = f"{name}: {ylabel} for {', '.join(groups)}; {' and '.join(labels)}"
    return Picture(figure, words), axis


def plot_cleaning(report: CleaningReport, name: str = "cleaning") -> Picture:
    """For each step of a cleaning: dialogues it altered, set aside, and flagged for a person.

    A dialogue that two steps altered counts for both, so the bars may add up to more than the
    dialogues; every one that was set aside counts once. Above stands where all of them went.
    """
    from matplotlib.figure import Figure

    rows = _by_step(report)
    figure = Figure(figsize=(8.0, 1.2 + 0.3 * len(rows)), layout="constrained")
    axis = figure.subplots()
    for number, (label, colour) in enumerate(zip(_FATES, (BLUE, ORANGE, GREY), strict=True)):
        places = [place + (number - 1) * 0.27 for place in range(len(rows))]
        axis.barh(places, [row[label] for row in rows.values()], 0.25, color=colour, label=label)
    axis.set_yticks(range(len(rows)), list(rows))
    axis.invert_yaxis()
    axis.set_xlabel("dialogues")
    axis.grid(axis="x", alpha=0.3)
    axis.legend(loc="lower right")
    as_they_were = len(report.kept) - len(report.altered)
    parts = f"{as_they_were:,} as they were, {len(report.altered):,} altered"
    words = f"{report.read:,} read: {parts}, {len(report.rejected):,} set aside"
    axis.set_title(words, fontsize=10)
    return Picture(figure, f"{name}: {words}")


def _by_step(report: CleaningReport) -> dict[str, Counter[str]]:
    """{step: how many dialogues it altered, set aside and flagged}, the busiest first."""
    kept = {dialogue.id for dialogue in report.kept}
    touched = {(c.step, c.dialogue_id, c.is_flag) for c in report.changes if c.dialogue_id in kept}
    rows: dict[str, Counter[str]] = {}
    for step, _, is_flag in touched:
        rows.setdefault(step, Counter())["flagged" if is_flag else "altered"] += 1
    for rejected in report.rejected:
        rows.setdefault(rejected.step, Counter())["set aside"] += 1
    return dict(sorted(rows.items(), key=lambda row: (-row[1].total(), row[0])))


def plot_scores(
    figures: Mapping[str, Mapping[str, float]],
    measures: Sequence[str] = ("recall", "precision"),
    count: int = 20,
    name: str = "scores",
) -> Picture:
    """The `count` poorest kinds, one a line, with a mark for each of their measures from 0 to 1."""
    from matplotlib.figure import Figure

    ranked = sorted(figures, key=lambda kind: (min(figures[kind][m] for m in measures), kind))
    kinds = ranked[:count]
    figure = Figure(figsize=(8.0, 1.0 + 0.22 * len(kinds)), layout="constrained")
    axis = figure.subplots()
    signs = zip(measures, _SERIES, "o|x+", strict=False)
    for measure, colour, sign in signs:
        found = [figures[kind][measure] for kind in kinds]
        axis.scatter(found, range(len(kinds)), color=colour, marker=sign, label=measure, zorder=3)
    axis.set_yticks(range(len(kinds)), kinds, fontsize=8)
    axis.invert_yaxis()
    axis.set_xlim(-0.03, 1.03)
    axis.grid(alpha=0.3)
    axis.legend(loc="lower left")
    axis.set_title(f"the poorest {len(kinds)} of {len(figures)} kinds", fontsize=10)
    return Picture(figure, f"{name}: {' and '.join(measures)} of {len(figures)} kinds")


def _value_and_spread(measured: Measured | Bounded | float) -> tuple[float, float, float]:
    """The value and how far its interval reaches below and above it."""
    if isinstance(measured, (int, float)):
        return float(measured), 0.0, 0.0
    ends = getattr(measured, "interval", None)
    low, high = ends or (measured.low, measured.high)  # type: ignore[union-attr]
    return measured.value, max(0.0, measured.value - low), max(0.0, high - measured.value)


def plot_attention(
    masks: Mapping[str, Sequence[Sequence[Any]]], tokens: Sequence[str], name: str = "attention"
) -> Picture:
    """Square attention masks side by side: row t shows which positions token t may look at.

    Raises ValueError when a mask is not as wide and as high as there are tokens.
    """
    from matplotlib.figure import Figure

    for label, mask in masks.items():
        if len(mask) != len(tokens) or any(len(row) != len(tokens) for row in mask):
            raise ValueError(f"mask {label!r} is not {len(tokens)} by {len(tokens)}")
    figure = Figure(figsize=(3.6 * len(masks), 3.4), layout="constrained")
    axes = figure.subplots(1, len(masks), squeeze=False)[0]
    for axis, (label, mask) in zip(axes, masks.items(), strict=True):
        squares = [[float(bool(cell)) for cell in row] for row in mask]
        axis.pcolormesh(squares, cmap="Blues", vmin=0, vmax=1.4, edgecolors="#bbbbbb", linewidth=1)
        places = [number + 0.5 for number in range(len(tokens))]
        axis.set_xticks(places, tokens, rotation=60)
        axis.set_yticks(places, tokens)
        axis.invert_yaxis()
        axis.set_aspect("equal")
        axis.set_title(label)
        axis.set_xlabel("may look at")
    return Picture(figure, f"{name}: {' beside '.join(masks)}, {len(tokens)} tokens")


def entity_text(text: str, entities: Sequence[Spanned]) -> View:
    """A text with its spans coloured by slot; one that overlaps a span before it is left out.

    In the text form a span stands as [text|slot].
    """
    pages, plains, at = [], [], 0
    for entity in sorted(entities, key=lambda e: (e.start, -e.end)):
        if entity.start < at:
            continue
        before, inside = text[at : entity.start], text[entity.start : entity.end]
        pages += [_escaped(before), _span(inside, entity.slot)]
        plains += [before, f"[{inside}|{entity.slot}]"]
        at = entity.end
    return View("".join([*pages, _escaped(text[at:])]), "".join([*plains, text[at:]]))


def _span(text: str, slot: str) -> str:
    style = f"background: {_slot_colour(slot)}; color: #111; border-radius: 3px; padding: 0 0.2em"
    return f'<span style="{style}">{_escaped(text)} <small><i>{_escaped(slot)}</i></small></span>'


def _slot_colour(slot: str) -> str:
    """The same colour for the same slot in every picture."""
    return _SLOT_COLOURS[sum(slot.encode("utf-8")) % len(_SLOT_COLOURS)]


def annotated_turns(messages: Sequence[Any]) -> View:
    """A dialogue with its annotations, a row a turn: role, text with spans, intent, acts."""
    rows = [
        [
            message.role,
            entity_text(message.content, message.entities),
            message.intent or "",
            ", ".join(" ".join(part for part in act if part) for act in message.acts),
        ]
        for message in messages
    ]
    return side_by_side(rows, ["role", "text", "intent", "acts"])


def tag_strip(tokens: Sequence[str], tags: Sequence[str]) -> View:
    """Tokens side by side with their BIO tags below, coloured by slot.

    In the text form a tag other than O follows its token after a slash. Raises ValueError when
    tokens and tags differ in length.
    """
    if len(tokens) != len(tags):
        raise ValueError(f"{len(tokens)} tokens, but {len(tags)} tags")
    boxes = "".join(_tagged_token(token, tag) for token, tag in zip(tokens, tags, strict=True))
    words = (
        token if tag == "O" else f"{token}/{tag}" for token, tag in zip(tokens, tags, strict=True)
    )
    return View(f'<div style="line-height: 1.4">{boxes}</div>', "".join(words))


def _tagged_token(token: str, tag: str) -> str:
    colour = _CONTEXT if tag == "O" else _slot_colour(tag.partition("-")[2])
    box = "display: inline-block; text-align: center; margin: 1px"
    return f'<span style="{box}">{_token(token, colour)}<br><small>{_escaped(tag)}</small></span>'


def plot_confusion(
    labels: Sequence[str], counts: Sequence[Sequence[int]], name: str = "confusion"
) -> Picture:
    """A confusion matrix, rows true and columns said, shaded by the share of the row.

    Raises ValueError when it is not as wide and as high as there are labels.
    """
    from matplotlib.figure import Figure

    rows = [[int(cell) for cell in row] for row in counts]
    if len(rows) != len(labels) or any(len(row) != len(labels) for row in rows):
        raise ValueError(f"the matrix is not {len(labels)} by {len(labels)}")
    shares = [[cell / max(1, sum(row)) for cell in row] for row in rows]
    side = 1.8 + 0.42 * len(labels)
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    axis = figure.subplots()
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1.2)
    for (x, y), cell in _cells_of(rows):
        dark = shares[y][x] > 0.6
        axis.text(x, y, str(cell), ha="center", va="center", color="white" if dark else "black")
    axis.set_xticks(range(len(labels)), labels, rotation=60, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(len(labels)), labels)
    axis.set_xlabel("said")
    axis.set_ylabel("true")
    return Picture(figure, f"{name}: {len(labels)} labels, true by said")


def _cells_of(rows: Sequence[Sequence[int]]) -> Iterator[tuple[tuple[int, int], int]]:
    """((column, row), count) of every cell that is not 0."""
    for y, row in enumerate(rows):
        for x, cell in enumerate(row):
            if cell:
                yield (x, y), cell


def plot_histograms(
    groups: Mapping[str, Sequence[float]],
    xlabel: str,
    mark: float | None = None,
    name: str = "histogram",
) -> Picture:
    """Shares of values from 0 to 1 in twenty bins, one colour a group, with a line at `mark`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 2.8), layout="constrained")
    axis = figure.subplots()
    edges = [number / 20 for number in range(21)]
    for (label, values), colour in zip(groups.items(), cycle(_SERIES), strict=False):
        each = [1 / max(1, len(values))] * len(values)
        axis.hist(list(values), bins=edges, weights=each, color=colour, alpha=0.55, label=label)
    if mark is not None:
        axis.axvline(mark, color="black", linestyle="--", linewidth=1, label="threshold")
    axis.set_xlim(0, 1)
    axis.set_xlabel(xlabel)
    axis.set_ylabel("share of the group")
    axis.legend()
    return Picture(figure, f"{name}: {xlabel} of {' and '.join(groups)}")


def plot_losses(records: Sequence[Record], name: str = "training") -> Picture:
    """Loss by step, as measured and smoothed, with the held-out loss where a record has it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 3.2), layout="constrained")
    _draw_losses(figure.subplots(), records)
    return Picture(figure, _in_words(name, records))


def plot_training(
    records: Sequence[Record], name: str = "training", per: str = "trained token"
) -> Picture:
    """Loss (nats per `per`) beside learning rate and gradient norm, by step."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    _draw_losses(left, records, per)
    for key, colour, label in (("grad_norm", GREY, "gradient norm"), ("lr", BLUE, "learning rate")):
        axis = right if key == "grad_norm" else right.twinx()
        axis.plot(*_values(records, key), color=colour, linewidth=1)
        axis.set_ylabel(label, color=colour)
    right.set_xlabel("step")
    return Picture(figure, _in_words(name, records))


def _draw_losses(axis: Any, records: Sequence[Record], per: str = "trained token") -> None:
    steps, losses = _values(records, "loss")
    axis.plot(steps, losses, color=BLUE, alpha=0.3, linewidth=1)
    axis.plot(steps, list(_smoothed(losses)), color=BLUE, label="training loss")
    eval_steps, eval_losses = _values(records, "eval_loss")
    if eval_steps:
        axis.plot(eval_steps, eval_losses, "o-", color=ORANGE, label="held-out loss")
    axis.set_xlabel("step")
    axis.set_ylabel(f"nats per {per}")
    axis.grid(alpha=0.3)
    axis.legend(loc="upper right")


def _values(records: Sequence[Record], key: str) -> tuple[list[int], list[float]]:
    kept = [record for record in records if record.get(key) is not None]
    return [record["step"] for record in kept], [float(record[key]) for record in kept]


def _smoothed(values: Sequence[float]) -> Iterator[float]:
    """Exponential moving average that starts at the first value."""
    average = values[0] if values else 0.0
    for value in values:
        average += _SMOOTHING * (value - average)
        yield average


def _in_words(name: str, records: Sequence[Record]) -> str:
    _, losses = _values(records, "loss")
    if not losses:
        return f"{name}: no step yet"
    return f"{name}: loss {losses[0]:.2f} at the first step, {losses[-1]:.2f} at step {len(losses)}"


@dataclass
class LivePlot:
    """Progress bar and training curves that redraw in place while a model trains.

        with LivePlot(total=120) as plot:
            train(model, data, config, on_record=plot)

    Give it to `on_record`: it takes records with step and loss and, where they are there,
    eval_loss, lr, grad_norm, tokens and seconds; `per` names what the loss is a mean over. It
    redraws at most once in `interval` seconds and once more at the end; outside Jupyter it only
    keeps the records. The last state names no seconds, so that a saved notebook does not change
    with the machine's speed.
    """

    total: int | None = None
    name: str = "training"
    per: str = "trained token"
    interval: float = 1.0
    clock: Callable[[], float] = time.monotonic
    records: list[Record] = field(default_factory=list)
    _handles: tuple[Any, Any] | None = field(default=None, repr=False)
    _started: float | None = field(default=None, repr=False)
    _drawn: float = field(default=float("-inf"), repr=False)
    _before: int = field(default=0, repr=False)  # steps of earlier runs in this plot

    def __call__(self, record: Record) -> None:
        self.update(record)

    def update(self, record: Record) -> None:
        """Takes the next step's record, and redraws when it is time."""
        if self._started is None:
            self._started = self.clock()
        self.records.append({**record, "step": record["step"] + self._offset(record["step"])})
        if self.clock() - self._drawn >= self.interval:
            self._draw(self._running())
            self._drawn = self.clock()

    def _offset(self, step: int) -> int:
        """What to add to a step, so that a second run in the same plot goes on to the right."""
        if self.records and step + self._before <= self.records[-1]["step"]:
            self._before = self.records[-1]["step"]
        return self._before

    def finish(self) -> None:
        """Draws the last state; leaving a `with` block calls it."""
        if self.records:
            self._draw(self._done())

    def __enter__(self) -> LivePlot:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.finish()

    def picture(self) -> Picture:
        """The curves as they stand."""
        return plot_training(self.records, self.name, self.per)

    def _draw(self, line: str) -> None:
        if not _in_jupyter():
            return
        from IPython.display import display

        views = (self._bar(line), self.picture())
        if self._handles is None:
            self._handles = tuple(display(view, display_id=True) for view in views)  # type: ignore[assignment]
            return
        for handle, view in zip(self._handles, views, strict=True):
            handle.update(view)

    def _bar(self, line: str) -> View:
        value = f'value="{len(self.records)}" max="{self.total}"' if self.total else ""
        style = 'style="width: 24em; vertical-align: middle"'
        return View(f"<progress {value} {style}></progress> {html.escape(line)}", line)

    def _done(self) -> str:
        goal = f" of {self.total}" if self.total else ""
        return f"{self.name}: step {len(self.records)}{goal}, loss {self.records[-1]['loss']:.2f}"

    def _running(self) -> str:
        spent = self.clock() - (self._started or 0.0)
        line, count = self._done(), len(self.records)
        if self.total and count > 1:
            line += f", {spent / (count - 1) * (self.total - count):.0f} s left"
        speed = self.tokens_per_second()
        return line if speed is None else f"{line}, {speed:,.0f} trained tokens/s"

    def tokens_per_second(self, window: int = 20) -> float | None:
        """Trained tokens a second over the last `window` steps; None where records have none."""
        last = [r for r in self.records[-window:] if r.get("seconds") and "tokens" in r]
        if not last:
            return None
        return float(sum(r["tokens"] for r in last) / sum(r["seconds"] for r in last))


def _in_jupyter() -> bool:
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return False
    shell = get_ipython()
    return shell is not None and hasattr(shell, "kernel")
