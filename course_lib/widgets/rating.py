"""Rating replies in the notebook: blinded, on anchored scales, side by side, with undo and resume.

The machinery is the labeller's (`annotation.log`): each click is a line on the disk before the page
changes, and opening the same file again goes on where it stood. The names of the systems reach
neither the page nor any widget; they stand in the file only. Callbacks set widget values only: what
they would print is lost in JupyterLab (jupyterlab#3151).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from course_lib.metrics.ratings import (
    CHOICES,
    FORM,
    SIDES,
    Form,
    Item,
    RatingLog,
    Said,
    sides_of,
)
from course_lib.widgets.chat import escaped

_BOX = (
    "border: 1px solid #bbb; padding: 0.5em; white-space: pre-wrap; overflow-wrap: anywhere; "
    "max-height: 16em; overflow-y: auto; line-height: 1.5"
)
_TITLES = {"left": "Reply on the left", "right": "Reply on the right"}
_CHOICES = {"left": "Left is better", "tie": "Equally good", "right": "Right is better"}

Key = tuple[str, str, int]  # side, question, value


class Rating:
    """A widget in which one rater judges replies without knowing who wrote them.

        Rating(items, rater="ana", path="ratings-ana.jsonl")

    Every rater needs a file of their own; `metrics.ratings.read_ratings` puts them together. The
    order of the items and the sides are drawn from `seed` and the rater's name; what stands in the
    file already keeps its sides. When all is answered, the next item comes. `Undo` revokes the
    latest click, wherever it was.

    Raises ValueError without items, for two items of one id, and when the file belongs to another
    rater or to other texts.
    """

    def __init__(
        self,
        items: Iterable[Item],
        rater: str = "me",
        path: str | Path | None = None,
        form: Form = FORM,
        seed: int = 0,
    ) -> None:
        self.items = _in_drawn_order(items, rater, seed)
        self.rater, self.form = rater, form
        self.log = RatingLog(path or f"ratings-{rater}.jsonl")
        self._require_own_file()
        self._sides = {item.id: self._kept_or_drawn(item, seed) for item in self.items}
        self._places = {item.id: place for place, item in enumerate(self.items)}
        self.at = self._next_open(0)
        self._build()

    def _require_own_file(self) -> None:
        shown = {item.id: item.shown for item in self.items}
        for click in self.log.clicks:
            if click["rater"] != self.rater:
                raise ValueError(
                    f"{self.log.path.name} is {click['rater']}'s: choose another path for "
                    f"{self.rater}"
                )
            if click.get("shown", shown.get(click["item"])) != shown.get(click["item"]):
                raise ValueError(
                    f"{self.log.path.name} holds ratings of other texts for item "
                    f"{click['item']!r}: choose another path"
                )

    def _kept_or_drawn(self, item: Item, seed: int) -> list[str]:
        kept = (c["sides"] for c in self.log.clicks if c["item"] == item.id and "sides" in c)
        return next(kept, None) or sides_of(item, self.rater, seed)

    # --- the page

    def _build(self) -> None:
        self.page, self.status = widgets.HTML(), widgets.HTML()
        self.replies = {side: widgets.HTML() for side in SIDES}
        self.buttons: dict[Key, Any] = {}
        self._columns = {side: self._column(side) for side in SIDES}
        self.choice_buttons = {
            choice: self._button(
                _CHOICES[choice], f"prefer-{choice}", partial(self._prefer, choice)
            )
            for choice in CHOICES
        }
        self.skip_button = self._button("Skip", "skip", self._skip)
        self.undo_button = self._button("Undo", "undo", self._undo)
        self.back_button = self._button("Back", "back", partial(self._move, -1))
        self.next_button = self._button("Next", "next", partial(self._move, 1))
        self._choices = widgets.HBox(list(self.choice_buttons.values()))
        moves = [self.back_button, self.next_button, self.skip_button, self.undo_button]
        wrap = widgets.Layout(flex_flow="row wrap")
        columns = widgets.Box(list(self._columns.values()), layout=wrap)
        self.view = widgets.VBox(
            [self.page, columns, self._choices, widgets.HBox(moves), self.status]
        )
        self.view.add_class("rating")
        for name, widget in (("page", self.page), ("status", self.status)):
            widget.add_class(f"rating-{name}")
        self._draw()

    def _column(self, side: str) -> Any:
        rows: list[Any] = [self.replies[side]]
        self.replies[side].add_class(f"rating-reply-{side}")
        for scale in self.form.scales:
            points = [f"{value} · {words}" for value, words in enumerate(scale.points, 1)]
            rows += self._row(side, scale.name, scale.question, dict(enumerate(points, 1)), "score")
        for asked in self.form.behaviours:
            rows += self._row(side, asked.name, asked.question, {1: "yes", 0: "no"}, "answer")
        return widgets.VBox(rows, layout=widgets.Layout(flex="1 1 24em", margin="0 0.5em 0 0"))

    def _row(
        self, side: str, name: str, question: str, values: dict[int, str], action: str
    ) -> list[Any]:
        buttons = []
        for value, words in values.items():
            act = partial(self._answer, action, side, name, value)
            button = self._button(words, f"{side}-{_plain(name)}-{value}", act)
            self.buttons[side, name, value] = button
            buttons.append(button)
        title = widgets.HTML(f"<b>{escaped(name)}</b>: {escaped(question)}")
        return [title, widgets.Box(buttons, layout=widgets.Layout(flex_flow="row wrap"))]

    def _button(self, words: str, name: str, action: Callable[[], str]) -> Any:
        button = widgets.Button(description=words, layout=widgets.Layout(width="auto"))
        button.add_class(f"rating-{name}")
        button.on_click(lambda _: self._run(action))
        return button

    def __repr__(self) -> str:
        return f"Rating({len(self.items)} conversations, {self.log.path.name})"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.view.model_id}
        return {"text/plain": repr(self), "application/vnd.jupyter.widget-view+json": view}

    # --- what a click does: each returns what the status line says

    def _run(self, action: Callable[[], str]) -> None:
        try:
            said = action()
        except Exception as error:  # nothing may be lost unseen in a callback
            said = f"not saved: {type(error).__name__}: {error}"
        self._draw(said)

    def _append(self, action: str, **fields: Any) -> None:
        item = self.items[self.at]
        shown = {"sides": self._sides[item.id], "shown": item.shown, "simulated": False}
        before = self._is_done(item)
        self.log.append(action, (self.rater, item.id), **fields, **shown)
        if self._is_done(item) and not before:
            self.at = self._next_open(self.at + 1)

    def _answer(self, action: str, side: str, name: str, value: int) -> str:
        said = value if action == "score" else bool(value)
        self._append(action, side=side, question=name, value=said)
        return f"saved: {side}, {name} {value if action == 'score' else ('no', 'yes')[value]}"

    def _prefer(self, choice: str) -> str:
        self._append("prefer", choice=choice)
        return f"saved: {_CHOICES[choice].lower()}"

    def _skip(self) -> str:
        self.log.append("skip", (self.rater, self.items[self.at].id))
        self.at = self._next_open(self.at + 1)
        return "skipped"

    def _undo(self) -> str:
        click = self.log.undo()
        if click is None:
            return "nothing to undo"
        self.at = self._places.get(click["item"], self.at)
        words = [click["action"], click.get("side"), click.get("question"), click.get("choice")]
        return "undone: " + " ".join(word for word in words if word)

    def _move(self, by: int) -> str:
        self.at = min(max(self.at + by, 0), len(self.items) - 1)
        return ""

    # --- what is shown

    @property
    def current(self) -> Said:
        """What was said of the item that is shown."""
        return self.log.said().get(self.items[self.at].id, Said())

    def _is_done(self, item: Item) -> bool:
        said = self.log.said().get(item.id, Said())
        return said.is_done(self.form, self._sides[item.id])

    def _done(self) -> set[str]:
        said = self.log.said()
        sides = self._sides
        return {
            item.id
            for item in self.items
            if said.get(item.id, Said()).is_done(self.form, sides[item.id])
        }

    def _next_open(self, start: int) -> int:
        """The next item that is not done, from `start` on and then from the top."""
        done, size = self._done(), len(self.items)
        order = [*range(start, size), *range(min(start, size))]
        return next((i for i in order if self.items[i].id not in done), size - 1)

    def _draw(self, said: str = "") -> None:
        item, now = self.items[self.at], self.current
        sides = self._sides[item.id]
        turns = "".join(f"{escaped(t['role'])}: {escaped(t['content'])}\n" for t in item.history)
        self.page.value = f'<div style="{_BOX}"><i>{turns}</i></div>'
        for side, system in zip(SIDES, sides, strict=False):
            title, text = escaped(_TITLES[side]), escaped(item.replies[system])
            self.replies[side].value = f'<div style="{_BOX}"><b>{title}</b>\n{text}</div>'
        both = None if len(sides) == len(SIDES) else "none"
        self._columns["right"].layout.display = self._choices.layout.display = both
        self._colour(now)
        state = "skipped" if now.skipped else f"answers here: {len(now.answers)}"
        parts = [f"{len(self._done())} of {len(self.items)} done", state, said]
        self.status.value = escaped(" · ".join(part for part in parts if part))

    def _colour(self, now: Said) -> None:
        for (side, name, value), button in self.buttons.items():
            chosen = now.answers.get((side, name)) == value
            button.button_style = "success" if chosen else ""
        for choice, button in self.choice_buttons.items():
            button.button_style = "success" if now.choice == choice else ""


def _in_drawn_order(items: Iterable[Item], rater: str, seed: int) -> list[Item]:
    found = list(items)
    names = [item.id for item in found]
    if not found or len(set(names)) != len(names):
        raise ValueError(f"{len(found)} items with {len(set(names))} ids: give items of unlike ids")
    random.Random(f"{seed}/{rater}").shuffle(found)
    return found


def _plain(name: str) -> str:
    """A question's name as part of a class name."""
    return "".join(letter if letter.isalnum() else "-" for letter in name)
