"""Labelling in the notebook: a button for each intent, spans by their text, undo, resume.

Each click is a line in a file (`annotation.log`) before the next message is shown, so nothing is
lost when the kernel dies, and opening the same file again goes on where it stood. Callbacks set
widget values only: what they would print is lost in JupyterLab (jupyterlab#3151).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from course_lib.annotation.labels import Example, examples
from course_lib.annotation.log import LabelLog, Labels, Place
from course_lib.dialogue import Dialogue, Entity
from course_lib.widgets.chat import escaped

_MARK = "background: #ffe9a8; color: #111; border-radius: 0.3em; padding: 0 0.2em"
_BOX = (
    "border: 1px solid #bbb; padding: 0.5em; white-space: pre-wrap; overflow-wrap: anywhere; "
    "max-height: 24em; overflow-y: auto; line-height: 1.5"
)


class Label:
    """A labelling widget for the customers' turns of dialogues.

        Label(dialogues, ["ask_price", "thanks"], ["product"], "labels-ana.jsonl")

    Mark spans first (choose a slot, type or paste their text), then click the intent, which goes on
    to the next message. `Undo` revokes the latest click, wherever it was. `log.labels()` holds what
    was said so far; `annotation.apply_labels` puts it into dialogues.
    """

    def __init__(
        self,
        dialogues: Iterable[Dialogue],
        intents: Sequence[str],
        slots: Sequence[str] = (),
        path: str | Path = "labels.jsonl",
        roles: tuple[str, ...] = ("user",),
    ) -> None:
        self.items = list(examples(dialogues, roles, with_intent=False))
        if not self.items or not intents:
            raise ValueError(
                f"{len(self.items)} messages by {', '.join(roles)} and {len(intents)} intents: "
                "a labeller needs one of each at least"
            )
        self.log = LabelLog(path)
        self._places = {_place(item): i for i, item in enumerate(self.items)}
        self.at = self._next_open(0)
        self._build(intents, slots)

    def _build(self, intents: Sequence[str], slots: Sequence[str]) -> None:
        self.page, self.status = widgets.HTML(), widgets.HTML()
        self.intent_buttons = {
            name: self._button(name, partial(self._say_intent, name)) for name in intents
        }
        self.slot = widgets.Dropdown(options=[(_plain(slot), slot) for slot in slots])
        self.text = widgets.Text(placeholder="text of the span")
        self.add_button = self._button("Mark span", self._say_span)
        self.skip_button = self._button("Skip", self._skip)
        self.undo_button = self._button("Undo", self._undo)
        self.back_button = self._button("Back", partial(self._move, -1))
        self.next_button = self._button("Next", partial(self._move, 1))
        wrap = widgets.Layout(flex_flow="row wrap")
        moves = [self.back_button, self.next_button, self.skip_button, self.undo_button]
        spans = [widgets.HBox([self.slot, self.text, self.add_button])] if slots else []
        buttons = widgets.Box(list(self.intent_buttons.values()), layout=wrap)
        self.view = widgets.VBox([self.page, *spans, buttons, widgets.HBox(moves), self.status])
        self._draw()

    def _button(self, name: str, action: Callable[[], str]) -> Any:
        button = widgets.Button(description=_plain(name), layout=widgets.Layout(width="auto"))
        button.on_click(lambda _: self._run(action))
        return button

    def __repr__(self) -> str:
        return f"Label({len(self.items)} messages, {self.log.path.name})"

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

    def _say_intent(self, name: str) -> str:
        item = self.items[self.at]
        self.log.append("intent", _place(item), intent=name)
        self.at = self._next_open(self.at + 1)
        return f"saved: {name}"

    def _say_span(self) -> str:
        item = self.items[self.at]
        span = self._find_span(item.text, self.text.value)
        if span is None:
            return f"{self.text.value!r} stands nowhere in this message where no span is yet"
        start, end = span
        found = item.text[start:end]
        self.log.append(
            "span", _place(item), slot=self.slot.value, start=start, end=end, text=found
        )
        self.text.value = ""
        return f"marked: {found}"

    def _find_span(self, text: str, wanted: str) -> tuple[int, int] | None:
        """The first place of the wanted text that overlaps no span; its edges' spaces go."""
        wanted = wanted.strip()
        taken = self.current.entities
        start = text.find(wanted) if wanted else -1
        while start >= 0:
            end = start + len(wanted)
            if all(end <= entity.start or start >= entity.end for entity in taken):
                return start, end
            start = text.find(wanted, start + 1)
        return None

    def _skip(self) -> str:
        self.log.append("skip", _place(self.items[self.at]))
        self.at = self._next_open(self.at + 1)
        return "skipped"

    def _undo(self) -> str:
        click = self.log.undo()
        if click is None:
            return "nothing to undo"
        self.at = self._places.get((click["dialogue_id"], click["message"]), self.at)
        return f"undone: {click['action']} {click.get('intent') or click.get('slot') or ''}"

    def _move(self, by: int) -> str:
        self.at = min(max(self.at + by, 0), len(self.items) - 1)
        return ""

    # --- what is shown

    @property
    def current(self) -> Labels:
        """What was said of the message that is shown."""
        return self.log.labels().get(_place(self.items[self.at]), Labels())

    def _next_open(self, start: int) -> int:
        """The next message that nobody has dealt with, from `start` on and then from the top."""
        labels = self.log.labels()
        order = [*range(start, len(self.items)), *range(min(start, len(self.items)))]
        still = (i for i in order if not labels.get(_place(self.items[i]), Labels()).done)
        return next(still, len(self.items) - 1)

    def _draw(self, said: str = "") -> None:
        item, labels, now = self.items[self.at], self.log.labels(), self.current
        done = sum(labels.get(_place(each), Labels()).done for each in self.items)
        history = "".join(f"{escaped(m.role)}: {escaped(m.content)}\n" for m in item.history)
        message = _marked(item.text, now.entities)
        self.page.value = (
            f'<div style="{_BOX}"><i>{history}</i><b>{escaped(_title(item))}: {message}</b></div>'
        )
        label = now.intent or ("skipped" if now.skipped else "no intent yet")
        parts = [f"{done} of {len(self.items)} done", f"this one: {label}", said]
        self.status.value = escaped(" · ".join(part for part in parts if part))
        for name, button in self.intent_buttons.items():
            button.button_style = "success" if name == now.intent else ""


def _title(item: Example) -> str:
    return f"{item.dialogue_id}, message {item.turn}"


def _place(item: Example) -> Place:
    return item.dialogue_id, item.turn


def _marked(text: str, entities: Iterable[Entity]) -> str:
    """The text as HTML with its spans marked; spans that do not fit the text are left out."""
    parts, at = [], 0
    for entity in sorted(entities, key=lambda e: e.start):
        if entity.start >= at and text[entity.start : entity.end] == entity.text:
            slot = f"<small> {escaped(entity.slot)}</small>"
            parts.append(escaped(text[at : entity.start]))
            parts.append(f'<span style="{_MARK}">{escaped(entity.text)}{slot}</span>')
            at = entity.end
    return "".join([*parts, escaped(text[at:])])


def _plain(text: str) -> str:
    """Half surrogate pairs cannot travel to the browser and become "?"."""
    return text.encode("utf-8", "replace").decode("utf-8")
