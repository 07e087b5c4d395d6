"""A chat with a model: the session that every surface shares, and the one in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TextIO

from course_lib.generation import GREEDY, Sampling, stream


@dataclass(slots=True)
class ChatSession:
    """A model with the history of one conversation."""

    model: Any
    tokenizer: Any
    max_new_tokens: int = 96
    sampling: Sampling = GREEDY
    messages: list[dict[str, str]] = field(default_factory=list)

    def reply(self, messages: list[dict[str, str]]) -> Iterator[str]:
        """The reply to a history in pieces, without touching the session's own history."""
        return stream(self.model, self.tokenizer, messages, self.max_new_tokens, self.sampling)

    def ask(self, text: str) -> Iterator[str]:
        """Adds the user's turn, yields the reply in pieces, then adds the reply."""
        self.messages.append({"role": "user", "content": text})
        pieces: list[str] = []
        for piece in self.reply(self.messages):
            pieces.append(piece)
            yield piece
        self.messages.append({"role": "assistant", "content": "".join(pieces)})

    def clear(self) -> None:
        self.messages.clear()


def terminal_chat(session: ChatSession, source: TextIO | None = None) -> None:
    """Reads lines and streams replies until an empty line or the end of input."""
    source = source or sys.stdin
    print("Ask about a product or an order; /clear starts anew, an empty line ends.")
    while True:
        print("you> ", end="", flush=True)
        line = source.readline().strip()
        if not line:
            print()
            return
        if line == "/clear":
            session.clear()
            continue
        print("bot> ", end="", flush=True)
        for piece in session.ask(line):
            print(piece, end="", flush=True)
        print()
