"""A chat in the notebook, with one model or with several side by side.

The model is a function `reply(messages) -> Iterator[str]`, so anything that streams text can be
tried. A worker thread runs it and sets widget values only: prints from threads and callbacks are
lost in JupyterLab (jupyterlab#3151). Colab drops widget updates from threads (colabtools#3373), so
there the reply streams inside the click itself, and Stop cannot interrupt it.
"""

from __future__ import annotations

import inspect
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from course_lib.feedback import FeedbackLog
from course_lib.reply_speed import Speed, timed
from course_lib.widgets.chat_panels import (
    FeedbackBar,
    SeenPanel,
    Settings,
    State,
    StatePanel,
    about_dropdown,
    escaped,
)

if TYPE_CHECKING:
    from course_lib.generation import Sampling

__all__ = ["Chat", "Turn", "escaped"]

Messages = list[dict[str, str]]
Reply = Callable[..., Iterable[str]]

_DRAWN_TURNS = 60  # of a long conversation the newest are drawn
_LONGEST = 200_000  # characters of a reply; a model that goes on beyond is stopped
_PATIENCE = 3.0  # seconds that a stopped model has to end, before it is left to itself
_REDRAW = 0.05  # seconds between redraws while a reply streams
_HEIGHT = "24em"
_NOTE = "font-size: 80%; color: #777; margin-bottom: 0.4em"
_BUBBLES = {"user": "#dbe9f8", "assistant": "#ececec", "error": "#f8dcdc"}


@dataclass(slots=True)
class Turn:
    """One message as shown. `note` is a remark beside it; a `failed` turn is no longer history."""

    role: str
    content: str
    note: str = ""
    failed: bool = False
    complete: bool = False
    speed: Speed = field(default_factory=Speed)


class Chat:
    """A chat widget: transcript, text box, Send, Stop, Retry, Edit and Clear.

        Chat(reply)
        Chat({"base": reply_of_base, "tuned": reply_of_tuned})    # answers side by side
        Chat(ChatSession(model, tokenizer), controls=True, feedback="feedback.jsonl")

    `reply(messages)` gets the conversation so far as [{"role", "content"}] and yields the answer in
    pieces. When it has a parameter `stop`, it is given a threading.Event that is set when the user
    stops it; between pieces the widget looks by itself. `system` is put before the first turn.
    What a model raises is shown in the transcript, and the chat goes on.

    `controls` adds sliders for sampling (for models with a parameter `sampling`, starting at
    `sampling`), the system prompt, and, for models that have `seen` as ChatSession has, what the
    model sees. `state(messages)` returns what is known, name by name, and is shown as it changes.
    `feedback`, a file or its log, adds thumbs and corrections.
    """

    def __init__(
        self,
        reply: Reply | Mapping[str, Reply],
        system: str | None = None,
        *,
        controls: bool = False,
        sampling: Sampling | None = None,
        state: State | None = None,
        feedback: FeedbackLog | str | Path | None = None,
    ) -> None:
        self.models = dict(reply) if isinstance(reply, Mapping) else {"assistant": reply}
        if not self.models or not all(callable(model) for model in self.models.values()):
            raise TypeError(
                "Chat needs a function reply(messages), or a dict of names to functions"
            )
        self.system = system
        self.turns: dict[str, list[Turn]] = {name: [] for name in self.models}
        self._attempts = 0
        self._stop = threading.Event()
        self._run = 0  # number of the answer under way; one that was left behind has an older
        self._ending = threading.Lock()
        self._clear_after = False
        self._worker: threading.Thread | None = None
        self._busy = threading.Lock()
        self.settings = Settings(system, sampling) if controls or sampling else None
        self.state = StatePanel(state) if state else None
        self.seen = SeenPanel() if controls else None
        self.about = about_dropdown(list(self.models)) if len(self.models) > 1 else None
        log = FeedbackLog(feedback) if isinstance(feedback, (str, Path)) else feedback
        self.feedback = FeedbackBar(log, self._judged) if log else None
        self._build()

    def _build(self) -> None:
        self.transcript = widgets.HTML()
        self.box = widgets.Text(
            placeholder="Write to the assistant",
            layout=widgets.Layout(flex="1 1 auto", width="auto"),
        )
        self.send_button = _button("Send", self._on_send, button_style="primary")
        self.stop_button = _button("Stop", lambda _: self.stop(), disabled=True)
        self.retry_button = _button("Retry", lambda _: self.retry())
        self.edit_button = _button("Edit", lambda _: self.edit())
        self.clear_button = _button("Clear", lambda _: self.clear())
        self.status = widgets.Label("ready")
        with warnings.catch_warnings():  # deprecated in 8, but the only way for Enter in 7 and 8
            warnings.simplefilter("ignore", DeprecationWarning)
            self.box.on_submit(self._on_send)
        if self.about:
            self.about.observe(lambda _: self._show_panels(), "value")
        row = widgets.HBox([self.box, *self._buttons()])
        self.view = widgets.VBox([self.transcript, row, self.status, *self._panels()])
        self.view.add_class("chat")
        self.status.add_class("chat-status")
        self._draw()
        self._show_panels()

    def _buttons(self) -> list[Any]:
        again = [self.retry_button, self.edit_button]
        return [self.send_button, self.stop_button, *again, self.clear_button]

    def _panels(self) -> list[Any]:
        """The panels that were asked for, in the order in which they stand."""
        panels = [self.about] if self.about and (self.state or self.feedback or self.seen) else []
        panels += [panel.view for panel in (self.feedback, self.state) if panel]
        folded = {"Settings": self.settings, "What the model sees": self.seen}
        titles = {title: panel.view for title, panel in folded.items() if panel}
        if titles:
            box = widgets.Accordion(children=list(titles.values()), selected_index=None)
            for number, title in enumerate(titles):
                box.set_title(number, title)
            panels.append(box)
        return panels

    # --- what a user does

    def send(self, text: str) -> None:
        """Adds the user's turn and lets every model answer; nothing while one still does."""
        if text.strip() and self._busy.acquire(blocking=False):
            self._start(text)

    def retry(self) -> None:
        """Asks the last question again, with another seed; nothing while a model answers."""
        if self._busy.acquire(blocking=False):
            text = self._take_back()
            if text is None:
                self._busy.release()
            else:
                self._start(text)

    def edit(self) -> None:
        """Takes the last exchange back and puts its question into the box, to be changed."""
        if self._busy.acquire(blocking=False):
            text = self._take_back()
            if text is not None:
                self.box.value = text
                self._draw()
                self._show_panels()
            self._busy.release()

    def _take_back(self) -> str | None:
        """Removes the last exchange of every model; what was asked, None at the beginning."""
        asked = None
        for turns in self.turns.values():
            if turns:
                asked = turns[-2].content
                del turns[-2:]
        return asked

    def _start(self, text: str) -> None:
        """Lets the models answer, in a thread where the page can follow it."""
        self._stop = threading.Event()
        self._attempts += 1
        if self.settings:
            self.system = self.settings.system.value.strip() or None
        for turns in self.turns.values():
            turns += [Turn("user", text), Turn("assistant", "")]
        self._set_busy(True)
        if self.state:  # what the policy knows now, before the reply
            self.state.show(self.messages(self._about()), whole=False)
        if "google.colab" in sys.modules:
            self._answer(self._run, self._stop)
            return
        given = (self._run, self._stop)
        self._worker = threading.Thread(target=self._answer, args=given, daemon=True)
        self._worker.start()

    def stop(self) -> None:
        """Ends the reply that is streaming; what came so far stays.

        A model that does not react for some seconds is left behind, and the chat goes on.
        """
        self._stop.set()
        if self._busy.locked():
            patience = threading.Timer(_PATIENCE, self._end, (self._run,))
            patience.daemon = True
            patience.start()

    def clear(self) -> None:
        """Empties the conversation; a reply that is streaming is stopped first."""
        self._clear_after = True
        self.stop()
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
            for turn in list(turns)
            if not turn.failed and (turn.content or turn.role == "user")
        ]

    def _about(self) -> str:
        """The name of the model that the panels are about."""
        return str(self.about.value) if self.about else next(iter(self.models))

    def _judged(self) -> Messages:
        """The conversation up to the newest reply of the model that the panels are about."""
        name = self._about()
        if self._busy.locked() and not (self.turns[name] and self.turns[name][-1].complete):
            raise ValueError("the reply is still coming: judge it when it is whole")
        if not self.turns[name] or self.turns[name][-1].failed:
            raise ValueError("there is no reply to judge yet")
        return self.messages(name)

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

    def _answer(self, run: int, stop: threading.Event) -> None:
        try:
            for name, model in self.models.items():
                if stop.is_set():
                    break
                self.status.value = f"{name} is answering …"
                self._stream(name, model, stop)
        finally:
            self._end(run)

    def _stream(self, name: str, model: Reply, stop: threading.Event) -> None:
        asked, answer = self.turns[name][-2:]
        drawn = 0.0
        pieces: Iterable[str] = ()
        try:
            history = self.messages(name)
            pieces = timed(self._call(model, history, stop), answer.speed)
            for piece in _until_stopped(pieces, stop):
                answer.content += str(piece)
                if len(answer.content) > _LONGEST:
                    answer.note = f"stopped at {_LONGEST:,} characters"
                    break
                if time.monotonic() - drawn >= _REDRAW:
                    self._draw()
                    drawn = time.monotonic()
            answer.note = answer.note or _left_out(model, history)
            answer.complete = not stop.is_set()
        except BaseException as error:  # also SystemExit: nothing may end the worker unseen
            asked.failed = answer.failed = True
            answer.role, answer.note = "error", f"{type(error).__name__}: {error}"
        finally:
            _close(pieces)

    def _call(self, model: Reply, messages: Messages, stop: threading.Event) -> Iterable[str]:
        given: dict[str, Any] = {"stop": stop} if _takes(model, "stop") else {}
        if self.settings and _takes(model, "sampling"):
            given["sampling"] = self.settings.sampling(self._attempts - 1)
        return model(messages, **given)

    def _end(self, run: int) -> None:
        """Ends the answer of this number, once: from its own thread, or when patience is over."""
        with self._ending:
            if run != self._run or not self._busy.locked():
                return
            self._run += 1
            if threading.current_thread() is not self._worker:  # left behind: not waited for
                self._worker = None
        self._finish()

    def _finish(self) -> None:
        """Marks what was stopped, clears when asked to, and takes the next message."""
        for turns in self.turns.values():
            if turns and turns[-1].role == "assistant" and not turns[-1].complete:
                turns[-1].note = "stopped"
                if not turns[-1].content:  # an unanswered question is no history
                    turns[-2].failed = turns[-1].failed = True
        if self._clear_after:
            self._clear_after = False
            self._attempts = 0
            self.turns = {name: [] for name in self.models}
        self._set_busy(False)
        self._busy.release()
        if self._clear_after and self._busy.acquire(blocking=False):  # asked for just now
            self._finish()

    def _set_busy(self, busy: bool) -> None:
        if not busy:
            self._draw()  # before the page says "ready", so that then nothing is missing
            self._show_panels()
        for button in (self.send_button, self.retry_button, self.edit_button):
            button.disabled = busy
        self.stop_button.disabled = not busy
        self.status.value = "answering …" if busy else "ready"
        if busy:
            self._draw()

    def _show_panels(self) -> None:
        name = self._about()
        if self.state:
            self.state.show(self.messages(name))
        if self.seen:
            self.seen.show(self.models[name], self.messages(name) if self.turns[name] else [])

    def _draw(self) -> None:
        columns = "".join(self._column(name) for name in list(self.models))
        # `data-answers` counts what was answered, so that a test can wait for the next one
        opened = f'<div class="chat-transcript" data-answers="{self._run}"'
        self.transcript.value = f'{opened} style="display: flex; gap: 0.8em">{columns}</div>'

    def _column(self, name: str) -> str:
        # column-reverse keeps the end of the conversation in view while it grows
        outer = f"display: flex; flex-direction: column-reverse; max-height: {_HEIGHT}"
        whole = list(self.turns[name])
        turns = "".join(_bubble(turn) for turn in whole[-_DRAWN_TURNS:])
        if len(whole) > _DRAWN_TURNS:
            earlier = len(whole) - _DRAWN_TURNS
            turns = f'<div class="chat-note"><i>{earlier} earlier messages</i></div>{turns}'
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
    beside = "; ".join(text for text in (turn.note, str(turn.speed)) if text)
    note = f'<div class="chat-note" style="{_NOTE}"><i>{escaped(beside)}</i></div>'
    bubble = f'<div class="chat-{turn.role}" style="{style}">{escaped(turn.content)}</div>'
    return bubble + (note if beside else "")


def _button(name: str, action: Callable[[Any], None], **options: Any) -> Any:
    button = widgets.Button(description=name, layout=widgets.Layout(width="auto"), **options)
    button.on_click(action)
    return button


def _until_stopped(pieces: Iterable[str], stop: threading.Event) -> Iterator[str]:
    for piece in pieces:
        if stop.is_set():
            return
        yield piece


def _left_out(model: Reply, messages: Messages) -> str:
    """What did not fit into the model's context, for models that can say."""
    say = getattr(model, "left_out", None)
    return str(say(messages)) if say else ""


def _takes(model: Reply, name: str) -> bool:
    try:
        return name in inspect.signature(model).parameters
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
