"""A chat in the notebook, with one model or with several side by side.

The model is a function `reply(messages) -> Iterator[str]`, so anything that streams text can be
tried. A worker thread runs it and sets widget values only: prints from threads and callbacks are
lost in JupyterLab (jupyterlab#3151). Colab drops widget updates from threads (colabtools#3373), so
there the reply streams inside the click itself, and Stop cannot interrupt it.
"""

from __future__ import annotations

import html
import inspect
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets

Messages = list[dict[str, str]]
Reply = Callable[..., Iterable[str]]

_REDRAW = 0.05  # seconds between redraws while a reply streams
_HEIGHT = "24em"
_BUBBLES = {"user": "#dbe9f8", "assistant": "#ececec", "error": "#f8dcdc"}


@dataclass(slots=True)
class Turn:
    """One message as shown. `note` is a remark beside it; a `failed` turn is no longer history."""

    role: str
    content: str
    note: str = ""
    failed: bool = False
    complete: bool = False


class Chat:
    """A chat widget: transcript, text box, Send, Stop and Clear.

        Chat(reply)
        Chat({"base": reply_of_base, "tuned": reply_of_tuned})    # answers side by side

    `reply(messages)` gets the conversation so far as [{"role", "content"}] and yields the answer in
    pieces. When it has a parameter `stop`, it is given a threading.Event that is set when the user
    stops it; between pieces the widget looks by itself. `system` is put before the first turn.
    What a model raises is shown in the transcript, and the chat goes on.
    """

    def __init__(self, reply: Reply | Mapping[str, Reply], system: str | None = None) -> None:
        self.models = dict(reply) if isinstance(reply, Mapping) else {"assistant": reply}
        if not self.models or not all(callable(model) for model in self.models.values()):
            raise TypeError(
                "Chat needs a function reply(messages), or a dict of names to functions"
            )
        self.system = system
        self.turns: dict[str, list[Turn]] = {name: [] for name in self.models}
        self._stop = threading.Event()
        self._clear_after = False
        self._worker: threading.Thread | None = None
        self._busy = threading.Lock()
        self._build()

    def _build(self) -> None:
        self.transcript = widgets.HTML()
        self.box = widgets.Text(
            placeholder="Write to the assistant",
            layout=widgets.Layout(flex="1 1 auto", width="auto"),
        )
        self.send_button = widgets.Button(description="Send", button_style="primary")
        self.stop_button = widgets.Button(description="Stop", disabled=True)
        self.clear_button = widgets.Button(description="Clear")
        self.status = widgets.Label("ready")
        self.send_button.on_click(self._on_send)
        self.stop_button.on_click(lambda _: self.stop())
        self.clear_button.on_click(lambda _: self.clear())
        with warnings.catch_warnings():  # deprecated in 8, but the only way for Enter in 7 and 8
            warnings.simplefilter("ignore", DeprecationWarning)
            self.box.on_submit(self._on_send)
        buttons = [self.box, self.send_button, self.stop_button, self.clear_button]
        self.view = widgets.VBox([self.transcript, widgets.HBox(buttons), self.status])
        self._draw()

    # --- what a user does

    def send(self, text: str) -> None:
        """Adds the user's turn and lets every model answer; nothing while one still does."""
        if not text.strip() or not self._busy.acquire(blocking=False):
            return
        self._stop.clear()
        for turns in self.turns.values():
            turns += [Turn("user", text), Turn("assistant", "")]
        self._set_busy(True)
        if "google.colab" in sys.modules:
            self._answer()
            return
        self._worker = threading.Thread(target=self._answer, daemon=True)
        self._worker.start()

    def stop(self) -> None:
        """Ends the reply that is streaming; what came so far stays."""
        self._stop.set()

    def clear(self) -> None:
        """Empties the conversation; a reply that is streaming is stopped first."""
        self._clear_after = True
        self._stop.set()
        if self._busy.acquire(blocking=False):
            self._finish()

    def wait(self, timeout: float = 60.0) -> None:
        """Waits until no reply is streaming; raises TimeoutError after `timeout` seconds."""
        worker = self._worker
        if worker is not None:
            worker.join(timeout)
            if worker.is_alive():
                raise TimeoutError(f"a reply is still streaming after {timeout} seconds")

    def messages(self, name: str | None = None) -> Messages:
        """The history that a model (by default the first) would see now."""
        turns = self.turns[name if name is not None else next(iter(self.models))]
        before = [{"role": "system", "content": self.system}] if self.system else []
        return before + [
            {"role": turn.role, "content": turn.content}
            for turn in turns
            if not turn.failed and (turn.content or turn.role == "user")
        ]

    def __repr__(self) -> str:
        return f"Chat({', '.join(self.models)})"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.view.model_id}
        return {"text/plain": repr(self), "application/vnd.jupyter.widget-view+json": view}

    # --- the worker: sets values, never prints

    def _on_send(self, _: Any) -> None:
        text = self.box.value
        if text.strip() and not self._busy.locked():
            self.box.value = ""
            self.send(text)

    def _answer(self) -> None:
        try:
            for name, model in self.models.items():
                if self._stop.is_set():
                    break
                self.status.value = f"{name} is answering …"
                self._stream(name, model)
        finally:
            self._finish()

    def _stream(self, name: str, model: Reply) -> None:
        asked, answer = self.turns[name][-2:]
        drawn = 0.0
        pieces: Iterable[str] = ()
        try:
            pieces = iter(self._call(model, self.messages(name)))
            for piece in self._until_stopped(pieces):
                answer.content += str(piece)
                if time.monotonic() - drawn >= _REDRAW:
                    self._draw()
                    drawn = time.monotonic()
            answer.complete = not self._stop.is_set()
        except BaseException as error:  # also SystemExit: nothing may end the worker unseen
            asked.failed = answer.failed = True
            answer.role, answer.note = "error", f"{type(error).__name__}: {error}"
        finally:
            _close(pieces)

    def _call(self, model: Reply, messages: Messages) -> Iterable[str]:
        if _takes_stop(model):
            return model(messages, stop=self._stop)
        return model(messages)

    def _until_stopped(self, pieces: Iterable[str]) -> Iterator[str]:
        for piece in pieces:
            if self._stop.is_set():
                return
            yield piece

    def _finish(self) -> None:
        """Marks what was stopped, clears when asked to, and takes the next message."""
        for turns in self.turns.values():
            if turns and turns[-1].role == "assistant" and not turns[-1].complete:
                turns[-1].note = "stopped"
                if not turns[-1].content:  # an unanswered question is no history
                    turns[-2].failed = turns[-1].failed = True
        if self._clear_after:
            self._clear_after = False
            self.turns = {name: [] for name in self.models}
        self._set_busy(False)
        self._busy.release()
        if self._clear_after and self._busy.acquire(blocking=False):  # asked for just now
            self._finish()

    def _set_busy(self, busy: bool) -> None:
        if not busy:
            self._draw()  # before the page says "ready", so that then nothing is missing
        self.send_button.disabled = busy
        self.stop_button.disabled = not busy
        self.status.value = "answering …" if busy else "ready"
        if busy:
            self._draw()

    def _draw(self) -> None:
        columns = "".join(self._column(name) for name in list(self.models))
        self.transcript.value = f'<div style="display: flex; gap: 0.8em">{columns}</div>'

    def _column(self, name: str) -> str:
        # column-reverse keeps the end of the conversation in view while it grows
        outer = f"display: flex; flex-direction: column-reverse; max-height: {_HEIGHT}"
        turns = "".join(_bubble(turn) for turn in list(self.turns[name]))
        title = f"<b>{escaped(name)}</b>" if len(self.models) > 1 else ""
        return (
            f'<div style="flex: 1 1 0; min-width: 0">{title}'
            f'<div style="{outer}; overflow-y: auto; border: 1px solid #bbb; min-height: 6em; '
            f'padding: 0.4em"><div>{turns}</div></div></div>'
        )


def _bubble(turn: Turn) -> str:
    side = "margin-left: 3em" if turn.role == "user" else "margin-right: 3em"
    style = (
        f"background: {_BUBBLES[turn.role]}; color: #111; {side}; margin-bottom: 0.3em; "
        "padding: 0.3em 0.6em; border-radius: 0.5em; white-space: pre-wrap; "
        "overflow-wrap: anywhere; line-height: 1.35"
    )
    note = f'<div style="font-size: 85%"><i>{escaped(turn.note)}</i></div>' if turn.note else ""
    return f'<div class="chat-{turn.role}" style="{style}">{escaped(turn.content)}{note}</div>'


def escaped(text: str) -> str:
    """Text for HTML; half surrogate pairs cannot travel to the browser and become "?"."""
    return html.escape(text.encode("utf-8", "replace").decode("utf-8"))


def _takes_stop(model: Reply) -> bool:
    try:
        return "stop" in inspect.signature(model).parameters
    except (TypeError, ValueError):
        return False  # a builtin without a signature


def _close(pieces: Any) -> None:
    """Ends a generator, so that what it holds is freed; an error in its clean-up says no more."""
    close = getattr(pieces, "close", None)
    if close is not None:
        try:
            close()
        except Exception:
            return
