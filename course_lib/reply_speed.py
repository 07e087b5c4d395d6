"""How fast a reply comes: seconds to the first token, tokens a second from there on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(slots=True)
class Speed:
    """Seconds to the first piece of a reply, and pieces a second from there on.

    A piece is a token, or several where one character needs more.
    """

    first: float = 0.0
    pieces: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Pieces a second after the first; 0 where there was no second."""
        later = self.seconds - self.first
        return (self.pieces - 1) / later if self.pieces > 1 and later > 0 else 0.0

    def __str__(self) -> str:
        rate = f", then {self.rate:.0f} tokens a second" if self.rate else ""
        return f"{1000 * self.first:.0f} ms to the first token{rate}" if self.pieces else ""


def timed(pieces: Iterable[str], speed: Speed) -> Iterator[str]:
    """Passes the pieces on and notes in `speed` when they came; closes what it reads from."""
    started = time.perf_counter()
    try:
        for piece in pieces:
            speed.seconds = time.perf_counter() - started
            speed.first = speed.first or speed.seconds
            speed.pieces += 1
            yield piece
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()
