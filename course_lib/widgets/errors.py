"""The error browser: judged replies by kind, intent and product, one at a time with their history.

It writes nothing and runs no model, so it can be opened on any table of judged replies. Callbacks
set widget values only: what they would print is lost in JupyterLab (jupyterlab#3151).
"""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

from course_lib.errors import KINDS, ErrorTable, Judged
from course_lib.widgets.chat import escaped

_BOX = (
    "border: 1px solid #bbb; padding: 0.5em; white-space: pre-wrap; overflow-wrap: anywhere; "
    "max-height: 24em; overflow-y: auto; line-height: 1.5"
)
_GOLD = "background: #bfe3c0; color: #111; padding: 0 0.2em"
_REPLY = "background: #f6c6c0; color: #111; padding: 0 0.2em"
_FILTERS = ("kind", "intent", "product")


class ErrorBrowser:
    """Browses judged replies: three filters, Back and Next, and an example at a time.

        ErrorBrowser(table)             # the errors; ErrorBrowser(table, right_too=True): all

    `current` is the reply that is shown, or None when no reply fits the filters. Its parts carry
    the classes error-browser, error-kind, error-intent, error-product, error-page, error-back,
    error-next and error-status.
    """

    def __init__(self, table: ErrorTable, right_too: bool = False) -> None:
        self.table = table if right_too else table.errors()
        self.fitting, self.at = self.table, 0
        self.filters = {by: self._filter(by) for by in _FILTERS}
        self.page, self.status = (
            _classed(widgets.HTML(), "page"),
            _classed(widgets.HTML(), "status"),
        )
        self.back_button, self.next_button = self._button("Back", -1), self._button("Next", 1)
        moves = widgets.HBox([self.back_button, self.next_button, self.status])
        wrap = widgets.Layout(flex_flow="row wrap")
        chosen = widgets.Box(list(self.filters.values()), layout=wrap)
        self.view = widgets.VBox([chosen, self.page, moves])
        self.view.add_class("error-browser")
        self._draw()

    def _filter(self, by: str) -> Any:
        counts = {"all": len(self.table), **self.table.counts(by)}
        options = [(f"{_plain(name)} ({counts[name]})", name) for name in self.table.options(by)]
        box = _classed(widgets.Dropdown(options=options, value="all", description=by), by)
        box.observe(lambda _: self._choose(), names="value")
        return box

    def _button(self, name: str, by: int) -> Any:
        button = _classed(widgets.Button(description=name), name.casefold())
        button.on_click(lambda _: self._move(by))
        return button

    def __repr__(self) -> str:
        return f"ErrorBrowser({len(self.table)} replies, {len(self.table.counts())} kinds)"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.view.model_id}
        return {"text/plain": repr(self), "application/vnd.jupyter.widget-view+json": view}

    @property
    def current(self) -> Judged | None:
        """The reply that is shown."""
        return self.fitting.rows[self.at] if len(self.fitting) else None

    def _choose(self) -> None:
        self.fitting = self.table.filtered(**{by: box.value for by, box in self.filters.items()})
        self.at = 0
        self._draw()

    def _move(self, by: int) -> None:
        self.at = min(max(self.at + by, 0), max(len(self.fitting) - 1, 0))
        self._draw()

    def _draw(self) -> None:
        row = self.current
        self.page.value = f'<div style="{_BOX}">{_page(row) if row else "nothing fits"}</div>'
        self.status.value = f"{self.at + 1 if row else 0} of {len(self.fitting)}"
        self.back_button.disabled = self.at == 0
        self.next_button.disabled = self.at >= len(self.fitting) - 1


def _classed(box: Any, name: str) -> Any:
    box.add_class(f"error-{name}")
    return box


def _page(row: Judged) -> str:
    said = "".join(f"{escaped(m['role'])}: {escaped(m['content'])}\n" for m in row.case.history)
    head = f"{row.kind}: {KINDS[row.kind]}"
    place = f"{row.case.dialogue_id}, message {row.case.turn}"
    return (
        f"<b>{escaped(head)}</b> <small>{escaped(place)}</small>\n<i>{said}</i>"
        f'gold:  <span style="{_GOLD}">{escaped(row.case.gold.content)}</span>\n'
        f'reply: <span style="{_REPLY}">{escaped(row.reply)}</span>'
    )


def _plain(text: str) -> str:
    """Half surrogate pairs cannot travel to the browser and become "?"."""
    return text.encode("utf-8", "replace").decode("utf-8")
