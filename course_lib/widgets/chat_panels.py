"""What stands around a chat: settings, thumbs and corrections, the state, what the model sees.

Only core widgets that ipywidgets 7.7 and 8 share. Callbacks set values and never print.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from course_lib.feedback import FeedbackLog

if TYPE_CHECKING:
    from course_lib.chat import Seen
    from course_lib.generation import Sampling

Messages = list[dict[str, str]]
State = Callable[[Messages], Mapping[str, Any]]
SeenBy = Callable[[Messages], "Seen"]

_MOST_TEXT = 300  # characters of one value in the state's table
_NAMES = {"description_width": "9em"}


def escaped(text: str) -> str:
    """Text for HTML; half surrogate pairs cannot travel to the browser and become "?"."""
    return html.escape(text.encode("utf-8", "replace").decode("utf-8"))


def told(error: BaseException) -> str:
    """An error as one escaped line."""
    return escaped(f"{type(error).__name__}: {error}")


class Settings:
    """Sliders for how the next token is drawn, and the system prompt; valid from the next reply."""

    def __init__(self, system: str | None, sampling: Sampling | None) -> None:
        def slider(name: str, low: float, high: float, step: float, value: float) -> Any:
            return widgets.FloatSlider(
                value=value, min=low, max=high, step=step, description=name, style=_NAMES
            )

        start = sampling
        self._seed = start.seed if start else 0
        self.temperature = slider("temperature", 0, 2, 0.05, start.temperature if start else 0)
        self.top_k = widgets.IntSlider(
            value=start.top_k if start else 0, min=0, max=200, description="top-k", style=_NAMES
        )
        self.top_p = slider("top-p", 0.05, 1, 0.05, start.top_p if start else 1)
        self.penalty = slider("repetition", 1, 2, 0.05, start.repetition_penalty if start else 1)
        self.system = widgets.Textarea(
            value=system or "",
            placeholder="System prompt; empty for none",
            layout=widgets.Layout(width="auto", height="4em"),
        )
        hint = widgets.HTML(
            "<small>temperature 0 takes the likeliest token; top-k 0, top-p 1 and repetition 1 "
            "change nothing</small>"
        )
        self.sliders = [self.temperature, self.top_k, self.top_p, self.penalty]
        self._start = [(setting, setting.value) for setting in (*self.sliders, self.system)]
        self.view = widgets.VBox([*self.sliders, hint, self.system])
        self.view.add_class("chat-settings")

    def reset(self) -> None:
        """Puts the sliders and the system prompt back to where they started."""
        for setting, value in self._start:
            setting.value = value

    def sampling(self, attempt: int = 0) -> Sampling:
        """As the sliders stand; each attempt draws with a seed of its own."""
        from course_lib.generation import Sampling

        return Sampling(
            temperature=self.temperature.value,
            top_k=self.top_k.value,
            top_p=self.top_p.value,
            repetition_penalty=self.penalty.value,
            seed=self._seed + attempt,
        )


class FeedbackBar:
    """Thumbs and a corrected answer for the newest reply; each click is a line in the log.

    `judged()` gives the conversation up to the reply that is meant.
    """

    def __init__(self, log: FeedbackLog, judged: Callable[[], Messages]) -> None:
        self.log, self._judged = log, judged
        self.up = self._button("Good", "a good reply", self._like, "thumbs-up")
        self.down = self._button("Bad", "a bad reply", self._dislike, "thumbs-down")
        self.better = widgets.Text(
            placeholder="A better answer to this",
            layout=widgets.Layout(flex="1 1 auto", width="auto"),
        )
        self.save = self._button("Save correction", "write the better answer down", self._correct)
        self.status = widgets.HTML()
        row = widgets.HBox([self.up, self.down, self.better, self.save])
        self.view = widgets.VBox([row, self.status])
        self.view.add_class("chat-feedback")

    def _button(self, name: str, tip: str, action: Callable[[], str], icon: str = "") -> Any:
        layout = widgets.Layout(width="auto")
        button = widgets.Button(description=name, tooltip=tip, icon=icon, layout=layout)
        button.add_class(f"chat-{name.split()[0].lower()}")
        button.on_click(lambda _: self._run(action))
        return button

    def _run(self, action: Callable[[], str]) -> None:
        try:
            self.status.value = escaped(action())
        except Exception as error:  # nothing may be lost unseen in a callback
            self.status.value = f"not saved: {told(error)}"

    def _like(self) -> str:
        return f"saved: {self.log.like(self._judged()).id}, liked"

    def _dislike(self) -> str:
        return f"saved: {self.log.dislike(self._judged()).id}, disliked"

    def _correct(self) -> str:
        saved = self.log.correct(self._judged(), self.better.value)
        self.better.value = ""
        return f"saved: {saved.id}, corrected"


class StatePanel:
    """What is known of the customer, as a table; what changed with the last exchange is bold."""

    def __init__(self, state: State) -> None:
        self._state, self._before = state, dict[str, str]()
        self.view = widgets.HTML()
        self.view.add_class("chat-state")

    def show(self, messages: Messages, whole: bool = True) -> None:
        """Draws the state after these messages; `whole` says that the exchange is complete."""
        try:
            now = {str(name): str(value) for name, value in self._state(messages).items()}
        except Exception as error:  # a state that fails must not end the chat
            self.view.value = f"<i>no state: {told(error)}</i>"
            return
        rows = "".join(
            _state_row(name, value, self._before.get(name) != value) for name, value in now.items()
        )
        if whole:
            self._before = now
        self.view.value = f"<table>{rows}</table>" if rows else "<i>nothing known yet</i>"


def _state_row(name: str, value: str, new: bool) -> str:
    shown = escaped(value if len(value) <= _MOST_TEXT else value[:_MOST_TEXT] + " …")
    cell = f"<b>{shown}</b>" if new else shown
    return f'<tr><td style="padding-right: 1em">{escaped(name)}</td><td>{cell}</td></tr>'


class SeenPanel:
    """The tokens that the model was given, coloured by role; what training would train underlined.

    A model without `seen` has nothing to show.
    """

    def __init__(self) -> None:
        self.view = widgets.HTML()
        self.view.add_class("chat-seen")

    def show(self, model: Any, messages: Messages) -> None:
        """Draws the newest prompt of this model with its reply."""
        seen: SeenBy | None = getattr(model, "seen", None)
        if seen is None:
            self.view.value = "<i>this model does not show its prompt</i>"
            return
        if not messages:
            self.view.value = "<i>nothing yet</i>"
            return
        try:
            self.view.value = _seen_page(seen(messages), model.tokenizer)
        except Exception as error:
            self.view.value = f"<i>{told(error)}</i>"


def _seen_page(seen: Seen, tokenizer: Any) -> str:
    from course_lib.pictures.tokens import role_strip

    reply = len(seen.encoded.ids) - seen.prompt
    counts = f"{seen.prompt} tokens of prompt, {max(0, reply)} of reply"
    note = f"<div><i>{escaped(seen.note)}</i></div>" if seen.note else ""
    return f"<div>{counts}</div>{note}{role_strip(seen.encoded, tokenizer).page}"


def about_dropdown(names: Sequence[str]) -> Any:
    """Which of several models the panels are about; the last at first."""
    options = [(name.encode("utf-8", "replace").decode("utf-8"), name) for name in names]
    return widgets.Dropdown(options=options, value=names[-1], description="about")
