"""Pictures of chapter 09: shared words, a table of measures, and how points are spread."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from course_lib.metrics.overlap import bleu, chrf, rouge_l, words_of
from course_lib.metrics.ratings import FORM, Form, Ratings
from course_lib.plots import _CELL, Picture, View, side_by_side

_SHARED, _ALONE = "#bfe3c0", "#f6c6c0"
_POINTS = ("#b2182b", "#ef8a62", "#d9d9d9", "#67a9cf", "#2166ac")


def overlap_strip(reply: str, reference: str) -> View:
    """The words of a reply, green where the reference has them too; each counts once there.

    In the text form the shared words stand between « and ».
    """
    left = Counter(words_of(reference))
    pieces, texts = [], []
    for word in reply.split():
        key = " ".join(words_of(word))
        shared = left[key] > 0
        left[key] -= shared
        colour = _SHARED if shared else _ALONE
        style = f"background: {colour}; color: #111; padding: 0 0.2em; border-radius: 3px"
        pieces.append(f'<span style="{style}">{html.escape(word)}</span>')
        texts.append(f"«{word}»" if shared else word)
    return View(" ".join(pieces), " ".join(texts))


def likeness_table(replies: Mapping[str, str], reference: str) -> View:
    """Name -> reply as a table: the words as in `overlap_strip`, BLEU, chrF and ROUGE-L."""
    rows: list[list[Any]] = []
    for name, text in replies.items():
        scores = [score([text], [reference]).value for score in (bleu, chrf, rouge_l)]
        rows.append([name, overlap_strip(text, reference), *(f"{s:.2f}" for s in scores)])
    return side_by_side(rows, ["reply", "words", "BLEU", "chrF", "ROUGE-L"])


def measure_grid(
    rows: Mapping[str, Mapping[str, float]],
    lower_is_better: Sequence[str] = (),
    unshaded: Sequence[str] = (),
) -> View:
    """A table, one line a system and one column a measure, the better the greener.

    Each column is shaded between its own worst and best, but for those that have no best. In the
    text form the best of a column has a star. Raises ValueError when two systems have other
    measures.
    """
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    for system, row in rows.items():
        if list(row) != names:
            raise ValueError(
                f"{system!r} has {list(row)}, not {names}: give each the same measures"
            )
    shades = {n: _shades([row[n] for row in rows.values()], n in lower_is_better) for n in names}
    shades |= {n: [0.0] * len(rows) for n in unshaded}
    head = "".join(f'<th style="{_CELL}">{html.escape(name)}</th>' for name in ["system", *names])
    body, lines = "", ["  ".join(["system", *names])]
    for place, (system, row) in enumerate(rows.items()):
        cells = "".join(_shaded(row[name], shades[name][place]) for name in names)
        body += f'<tr><td style="{_CELL}">{html.escape(system)}</td>{cells}</tr>'
        starred = (f"{row[n]:.2f}" + "*" * (shades[n][place] == 1) for n in names)
        lines.append("  ".join([system, *starred]))
    page = f'<table style="border-collapse: collapse"><tr>{head}</tr>{body}</table>'
    return View(page, "\n".join(lines))


def _shades(values: Sequence[float], lower: bool) -> list[float]:
    """From 0 (worst of the column) to 1 (best)."""
    signed = [-value if lower else value for value in values]
    low, high = min(signed), max(signed)
    return [1.0 if high == low else (value - low) / (high - low) for value in signed]


def _shaded(value: float, shade: float) -> str:
    colour = f"rgba(45, 122, 61, {0.05 + 0.45 * shade:.2f})"
    return f'<td style="{_CELL}; background: {colour}">{value:.2f}</td>'


def plot_points(ratings: Ratings, form: Form = FORM, name: str = "points") -> Picture:
    """For each scale and system the share of each point, from the lowest to the highest."""
    from matplotlib.figure import Figure

    rows = [(scale, system) for scale in form.scales for system in ratings.systems]
    figure = Figure(figsize=(8.0, 1.0 + 0.4 * len(rows)), layout="constrained")
    axis = figure.subplots()
    for place, (scale, system) in enumerate(rows):
        shares, left = _point_shares(ratings, scale.name, system, len(scale.points)), 0.0
        for point, share in enumerate(shares):
            colour = _POINTS[round(point * (len(_POINTS) - 1) / (len(shares) - 1))]
            label = str(point + 1) if place == 0 else None
            axis.barh(place, share, left=left, color=colour, label=label)
            left += share
    axis.set_yticks(range(len(rows)), [f"{scale.name}, {system}" for scale, system in rows])
    axis.invert_yaxis()
    kind = "share of the SIMULATED ratings" if ratings.simulated else "share of the ratings"
    axis.set_xlabel(kind)
    axis.set_xlim(0, 1)
    figure.legend(loc="outside upper right", ncols=len(_POINTS), title="point")
    scales = ", ".join(scale.name for scale in form.scales)
    return Picture(figure, f"{name}: {kind} by point, {scales}; {' and '.join(ratings.systems)}")


def _point_shares(ratings: Ratings, question: str, system: str, points: int) -> list[float]:
    found = Counter(
        j.value for j in ratings.judgements if (j.question, j.system) == (question, system)
    )
    total: Any = max(found.total(), 1)
    return [found[point] / total for point in range(1, points + 1)]
