"""Pictures of chapter 10: talks coloured by act, the run of a reward, pass^k."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from course_lib.plots import (
    _SERIES,
    LivePlot,
    Picture,
    View,
    _encodable,
    _smoothed,
    _value_and_spread,
    _values,
    side_by_side,
)

ACT_COLOURS = {
    "request": "#cfe2f3",
    "confirm": "#fde3a7",
    "notify": "#bfe3c0",
    "inform": "#d0e0e3",
    "leave": "#ead1dc",
    "handover": "#e1d5e7",
    "decline": "#f8cecc",
}
_OTHER = "#eeeeee"
_ORDER = ("handover", "notify", "confirm", "request", "leave", "decline", "inform")


def acts_in_words(acts: Iterable[tuple[str, str | None]]) -> str:
    """Acts as text, in a fixed order."""
    named = sorted(act if slot is None else f"{act} {slot}" for act, slot in acts)
    return ", ".join(named) or "nothing known"


def talk_by_act(episode: Any) -> View:
    """An episode turn by turn: the agent's words coloured by act, with a tick where one was due.

    A row has role, words, what the agent did and, where that was not right, what was due instead.
    """
    steps = iter(episode.steps)
    rows = [_row(message, steps) for message in episode.messages]
    ending = ", ".join(episode.outcomes)
    rows.append(["outcome", ending, "✓" if episode.success else "✗", ""])
    return side_by_side(rows, ["who", "says", "does", "was due"])


def _row(message: Mapping[str, Any], steps: Any) -> list[Any]:
    if message["role"] != "assistant":
        return ["customer", message["content"], "", ""]
    step = next(steps)
    right = is_right(step)
    does = f"{'✓' if right else '✗'} {acts_in_words(step.turn.acts)}"
    due = "" if right else acts_in_words(step.due)
    return ["agent", _coloured(message["content"], step.turn.acts), does, due]


def is_right(step: Any) -> bool:
    """Whether a reply does one of the acts that were due."""
    return any(step.turn.does(act, slot) for act, slot in step.due)


def _coloured(text: str, acts: Iterable[tuple[str, str | None]]) -> View:
    kinds = {act for act, _ in acts}
    kind = next((name for name in _ORDER if name in kinds), None)
    colour = ACT_COLOURS[kind] if kind else _OTHER
    shown = html.escape(_encodable(text))
    style = f"background: {colour}; color: #111; padding: 0.1em 0.3em; border-radius: 3px"
    return View(f'<span style="{style}">{shown}</span>', text)


def act_legend() -> View:
    """Which colour stands for which act."""
    spans = " ".join(_coloured(act, [(act, None)]).page for act in ACT_COLOURS)
    return View(f"<div>{spans}</div>", "acts: " + ", ".join(ACT_COLOURS))


def plot_rewards(
    runs: Mapping[str, Sequence[Mapping[str, Any]]],
    keys: Mapping[str, str] | None = None,
    name: str = "reinforcement",
) -> Picture:
    """One panel a key of the records, one line a run, smoothed; `keys` maps a key to its title."""
    from matplotlib.figure import Figure

    keys = keys or {"reward": "mean reward", "kl": "KL to the start (nats)", "words": "words"}
    figure = Figure(figsize=(3.2 * len(keys), 2.9), layout="constrained")
    axes = figure.subplots(1, len(keys), squeeze=False)[0]
    for axis, (key, title) in zip(axes, keys.items(), strict=True):
        for colour, (label, records) in zip(cycle(_SERIES), runs.items(), strict=False):
            steps, values = _values(records, key)
            axis.plot(steps, values, color=colour, alpha=0.3, linewidth=1)
            axis.plot(steps, list(_smoothed(values)), color=colour, label=label)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
    if len(runs) > 1:
        axes[0].legend(fontsize=8)
    return Picture(figure, f"{name}: {', '.join(keys)} by step, {' and '.join(runs)}")


@dataclass
class RewardPlot(LivePlot):
    """Live plot of a run of `reinforce`: reward, KL and what else `keys` names."""

    name: str = "reinforcement"
    keys: tuple[tuple[str, str], ...] = (
        ("reward", "mean reward"),
        ("kl", "KL to the start (nats)"),
        ("entropy", "entropy (nats)"),
        ("words", "words a reply"),
    )

    def picture(self) -> Picture:
        """The curves as they stand."""
        there = {k: title for k, title in self.keys if any(k in r for r in self.records)}
        return plot_rewards({self.name: self.records}, there, self.name)

    def _done(self) -> str:
        goal = f" of {self.total}" if self.total else ""
        far = [record["kl"] for record in self.records if record.get("kl") is not None]
        return (
            f"{self.name}: step {len(self.records)}{goal}, "
            f"reward {self.records[-1]['reward']:.2f}, KL {(far or [0.0])[-1]:.3f}"
        )


def plot_pass_k(
    curves: Mapping[str, Sequence[Any]], name: str = "pass^k", ylabel: str = "pass^k"
) -> Picture:
    """One line an agent: the share of scenarios that succeed k times out of k, for k = 1, 2, …"""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 3.2), layout="constrained")
    axis = figure.subplots()
    for colour, (label, values) in zip(cycle(_SERIES), curves.items(), strict=False):
        found = [_value_and_spread(value) for value in values]
        spread = [[low for _, low, _ in found], [high for _, _, high in found]]
        places = range(1, len(found) + 1)
        heights = [value for value, _, _ in found]
        axis.errorbar(places, heights, yerr=spread, fmt="o-", color=colour, capsize=3, label=label)
        axis.set_xticks(list(places))
    axis.set_ylim(0, 1.02)
    axis.set_xlabel("k, times in a row")
    axis.set_ylabel(ylabel)
    axis.grid(alpha=0.3)
    axis.legend()
    return Picture(figure, f"{name}: {ylabel} by k, {' and '.join(curves)}")
