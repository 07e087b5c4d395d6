"""A chat with a model: the session that every surface shares, and the one in the terminal.

The prompt is fitted to the model's context in whole turns, so that its structure never breaks: the
oldest exchanges go first, the system turn stays, and of a message that is longer than the context
the end is kept. `ChatSession.seen` shows the tokens that the model was given.
"""

from __future__ import annotations

import sys
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TextIO

from course_lib.chat_format import Encoded, encode, prompt_ids
from course_lib.dialogue import Dialogue
from course_lib.feedback import plain
from course_lib.generation import GREEDY, Sampling, context_length, stream
from course_lib.reply_speed import Speed, timed

Message = dict[str, str]


class StopSign(Protocol):
    """What says that a reply is to end: a `threading.Event` is one."""

    def is_set(self) -> bool: ...


# ---- what fits into the context


@dataclass(frozen=True, slots=True)
class Fitted:
    """A history that fits, and what had to go: whole messages, and characters of the last one."""

    messages: list[Message]
    dropped: int = 0
    cut: int = 0

    @property
    def note(self) -> str:
        """What was left out, in words; empty where nothing was."""
        parts = []
        if self.dropped:
            parts.append(f"the {self.dropped} oldest messages")
        if self.cut:
            parts.append(f"the first {self.cut:,} characters of the last message")
        return f"left out, as the model's context is full: {' and '.join(parts)}" if parts else ""


def fit_history(messages: Sequence[Message], tokenizer: Any, limit: int) -> Fitted:
    """The newest part of a history whose chat prompt has at most `limit` tokens.

    System turns stay, what is kept of the rest starts with a user's turn, and the last message
    stays, if need be without its beginning. Raises ValueError when the system turns leave no room.
    """
    system = [m for m in messages if m["role"] == "system"]
    rest = [m for m in messages if m["role"] != "system"]
    newest = _within_reach(rest, tokenizer, limit)
    starts = [i for i, m in enumerate(newest) if i == 0 or m["role"] == "user"]

    def fits(start: int) -> bool:
        return len(prompt_ids([*system, *newest[start:]], tokenizer)) <= limit

    place = bisect_left(starts, True, key=fits)
    start = starts[min(place, len(starts) - 1)] if starts else 0
    kept = newest[start:]
    dropped = len(rest) - len(kept)
    if place < len(starts) or not kept:
        return Fitted([*system, *kept], dropped)
    last, cut = _shortened(kept[-1], system, tokenizer, limit)
    return Fitted([*system, last], len(rest) - 1, cut)


def _within_reach(messages: list[Message], tokenizer: Any, limit: int) -> list[Message]:
    """The newest messages of which the texts alone may fit; the last one always."""
    size = 0
    for place in range(len(messages) - 1, -1, -1):
        text = messages[place]["content"]
        size += len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
        if size > limit:
            return messages[min(place + 1, len(messages) - 1) :]
    return messages


def _shortened(
    message: Message, system: list[Message], tokenizer: Any, limit: int
) -> tuple[Message, int]:
    """The message without so much of its beginning that the prompt fits; how much has gone."""
    text = message["content"]
    for _ in range(len(text)):
        over = len(prompt_ids([*system, message | {"content": text}], tokenizer)) - limit
        if over <= 0:
            return message | {"content": text}, len(message["content"]) - len(text)
        text = text[_end_of_token(text, over, tokenizer) :]
        if not text:
            break
    raise ValueError(
        f"the system prompt leaves no room for a message: the prompt may have {limit} tokens; "
        "shorten it, or lower max_new_tokens"
    )


def _end_of_token(text: str, count: int, tokenizer: Any) -> int:
    """How many characters the first `count` tokens of a text cover; at least one."""
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)[
        "offset_mapping"
    ]
    return max(1, offsets[min(count, len(offsets)) - 1][1]) if offsets else len(text)


# ---- what the model saw


@dataclass(frozen=True, slots=True)
class Seen:
    """A conversation as tokens: `encoded`, of which the first `prompt` were given for the reply.

    `encoded.mask` is what training would train. `note` says what did not fit.
    """

    encoded: Encoded
    prompt: int
    note: str = ""


# ---- the session


@dataclass(slots=True)
class ChatSession:
    """A model with one conversation; also a function `session(messages)` that yields a reply.

    Every reply is drawn with a seed of its own (`sampling.seed` and the number of the question), so
    that a retry may come out differently and the same conversation comes out the same again.
    """

    model: Any
    tokenizer: Any
    max_new_tokens: int = 96
    sampling: Sampling = GREEDY
    system: str | None = None
    messages: list[Message] = field(default_factory=list)
    asked: int = 0

    @property
    def room(self) -> int:
        """The most tokens that a prompt may have beside a reply of `max_new_tokens`."""
        return context_length(self.model) - self.max_new_tokens

    def reply(
        self,
        messages: Sequence[Message],
        stop: StopSign | None = None,
        sampling: Sampling | None = None,
    ) -> Iterator[str]:
        """The reply to a history in pieces; the session's own conversation stays as it is."""
        fitted = fit_history(_writable(messages), self.tokenizer, self.room)
        return stream(
            self.model,
            self.tokenizer,
            fitted.messages,
            self.max_new_tokens,
            sampling or self.sampling,
            stop=stop.is_set if stop is not None else None,
        )

    def __call__(
        self,
        messages: Sequence[Message],
        stop: StopSign | None = None,
        sampling: Sampling | None = None,
    ) -> Iterator[str]:
        return self.reply(messages, stop, sampling)

    def history(self) -> list[Message]:
        """The conversation with its system turn, as the model would be given it now."""
        before = [{"role": "system", "content": self.system}] if self.system else []
        return before + self.messages

    def left_out(self, messages: Sequence[Message]) -> str:
        """What of a history the model cannot be given, in words; empty if all of it fits."""
        return fit_history(_writable(messages), self.tokenizer, self.room).note

    def seen(self, messages: Sequence[Message] | None = None) -> Seen:
        """The tokens of a conversation (by default this one), as they were given for its end.

        Ends it with a reply, they are the prompt of that reply and the reply itself; else the
        prompt of the reply that is to come.
        """
        talk = _writable(self.history() if messages is None else messages)
        if not talk:
            return Seen(Encoded([], []), 0)
        ends = talk[-1]["role"] == "assistant"
        reply = talk[-1:] if ends else []
        fitted = fit_history(talk[:-1] if ends else talk, self.tokenizer, self.room)
        prompt = prompt_ids(fitted.messages, self.tokenizer)
        record = {"id": "chat", "messages": [*fitted.messages, *reply]}
        encoded = encode(Dialogue.from_dict(record), self.tokenizer)
        if not ends:
            encoded = _waiting(encoded, prompt)
        return Seen(encoded, len(prompt), fitted.note)

    def ask(self, text: str, stop: StopSign | None = None) -> Iterator[str]:
        """Adds the user's turn, yields the reply in pieces, then adds the reply.

        What had come stays when the reply is broken off. Without any reply, or when the model
        raises, the question is taken back: an unanswered question is no history.
        """
        self.messages.append({"role": "user", "content": text})
        sampling = replace(self.sampling, seed=self.sampling.seed + self.asked)
        self.asked += 1
        pieces: list[str] = []
        try:
            with closing(self.reply(self.history(), stop, sampling)) as reply:  # type: ignore[type-var]
                for piece in reply:
                    pieces.append(piece)
                    yield piece
        except Exception:
            pieces.clear()
            raise
        finally:
            self._keep("".join(pieces))

    def _keep(self, reply: str) -> None:
        if reply:
            self.messages.append({"role": "assistant", "content": reply})
        elif self.messages and self.messages[-1]["role"] == "user":
            self.messages.pop()

    def take_back(self) -> str | None:
        """Removes the last exchange; returns what the user had said, None at the beginning."""
        while self.messages:
            message = self.messages.pop()
            if message["role"] == "user":
                return message["content"]
        return None

    def retry(self, stop: StopSign | None = None) -> Iterator[str]:
        """Asks the last question again; nothing at the beginning."""
        text = self.take_back()
        if text is not None:
            yield from self.ask(text, stop)

    def clear(self) -> None:
        """Forgets the conversation, not the system turn."""
        self.messages.clear()
        self.asked = 0


def _writable(messages: Sequence[Message]) -> list[Message]:
    """The messages without half surrogate pairs, which no tokenizer takes."""
    return [message | {"content": plain(message["content"])} for message in messages]


def _waiting(encoded: Encoded, prompt: list[int]) -> Encoded:
    """The prompt itself as a rendering: what follows the last turn is untrained."""
    rest = len(prompt) - len(encoded.ids)
    return Encoded(prompt, encoded.mask + [False] * rest, encoded.dialogue_id, encoded.turns)


# ---- the terminal

HELP = """\
/clear starts anew      /retry asks again       /system TEXT sets the system prompt
/temperature X draws    /seen shows the prompt  /help says this
Ctrl-C stops a reply; an empty line ends the chat."""


def terminal_chat(session: ChatSession, source: TextIO | None = None) -> None:
    """Reads lines and streams replies until an empty line, the end of input, or Ctrl-C at rest."""
    source = source or sys.stdin
    print("Ask about a product or an order; /help lists the commands, an empty line ends.")
    while True:
        print("you> ", end="", flush=True)
        try:
            line = source.readline().strip()
        except KeyboardInterrupt:
            line = ""
        if not line:
            print()
            return
        if line.startswith("/"):
            _command(session, line)
        else:
            _say(session, session.ask(line))


def _say(session: ChatSession, pieces: Iterator[str]) -> None:
    """Prints a reply as it comes; Ctrl-C ends the reply, an error is told, the chat goes on."""
    speed = Speed()
    print("bot> ", end="", flush=True)
    try:
        with closing(timed(pieces, speed)) as reply:  # type: ignore[type-var]
            for piece in reply:
                print(printable(piece), end="", flush=True)
        beside = "; ".join(text for text in (str(speed), session.seen().note) if text)
        print(f"\n     ({beside})" if speed.pieces else "(no reply)")
    except KeyboardInterrupt:
        print(" (stopped)")
    except Exception as error:
        print(f"\n     error, {type(error).__name__}: {printable(str(error))}")


def printable(text: str) -> str:
    """The text without what steers a terminal: control and format characters become "?"."""
    return "".join(
        "?" if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c not in "\n\t\u200d" else c
        for c in text
    )


def _command(session: ChatSession, line: str) -> None:
    name, _, value = line.partition(" ")
    command = _COMMANDS.get(name)
    if command is None:
        print(f"There is no {printable(name)}.\n{HELP}")
        return
    try:
        command(session, value.strip())
    except ValueError as error:
        print(f"{printable(name)}: {printable(str(error))}")


def _clear(session: ChatSession, value: str) -> None:
    session.clear()


def _retry(session: ChatSession, value: str) -> None:
    _say(session, session.retry())


def _system(session: ChatSession, value: str) -> None:
    session.system = value or None
    print(f"system prompt: {printable(value) or 'none'}")


def _temperature(session: ChatSession, value: str) -> None:
    session.sampling = replace(session.sampling, temperature=float(value))
    print(f"temperature {session.sampling.temperature:g}")


def _seen(session: ChatSession, value: str) -> None:
    seen = session.seen()
    print(printable(session.tokenizer.decode(seen.encoded.ids)))
    print(f"     ({seen.prompt} tokens of prompt{'; ' if seen.note else ''}{seen.note})")


def _help(session: ChatSession, value: str) -> None:
    print(HELP)


_COMMANDS: dict[str, Callable[[ChatSession, str], None]] = {
    "/clear": _clear,
    "/retry": _retry,
    "/system": _system,
    "/temperature": _temperature,
    "/seen": _seen,
    "/help": _help,
}
