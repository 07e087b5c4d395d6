"""Dialogues that are too long: strategies to shorten them, and what each of them costs.

A strategy takes a dialogue that does not fit and gives back the pieces to train on: one, several
or none. `oldest_turns` is the course's own; `left` and `right` are what a plain cut does. None of
them lets a row without a trained token through: such a dialogue is set aside, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from course_lib.chat_format import Encoded


@dataclass(slots=True)
class Truncation:
    """What truncation did.

    `kept` counts dialogues, `pieces` the rows made of them; `shortened`, `tokens_cut` and
    `trained_tokens_cut` concern the kept ones. Every trained reply is in one of three counts:
    `answers_whole`, `answers_cut` (trained in part), `answers_lost` (those of dialogues that
    were set aside included). `set_aside` names those dialogues by id, with the reason.
    """

    kept: int = 0
    pieces: int = 0
    shortened: int = 0
    tokens_cut: int = 0
    trained_tokens_cut: int = 0
    answers_whole: int = 0
    answers_cut: int = 0
    answers_lost: int = 0
    set_aside: list[tuple[str, str]] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.kept} kept ({self.shortened} shortened by {self.tokens_cut} tokens, "
            f"{self.trained_tokens_cut} of them trained), {len(self.set_aside)} set aside"
        )


def truncate_all(
    encoded: Iterable[Encoded], max_length: int, strategy: str = "oldest_turns"
) -> tuple[list[Encoded], Truncation]:
    """Fits each dialogue into `max_length` tokens; sets aside what then has nothing to train.

    `strategy` is a name in `STRATEGIES`.
    """
    cut, too_long = _strategy(strategy)
    kept: list[Encoded] = []
    report = Truncation()
    for dialogue in encoded:
        pieces = _pieces(dialogue, max_length, cut)
        if not pieces:
            reason = too_long if has_loss(dialogue) else _SILENT
            report.set_aside.append((dialogue.dialogue_id, reason.format(max_length)))
        _count(report, dialogue, pieces)
        kept += [_at(dialogue, piece) for piece in pieces]
    return kept, report


def truncate(encoded: Encoded, max_length: int) -> Encoded | None:
    """Drops the oldest turns until the dialogue fits; never cuts a reply; None if none fits.

    When the last trained reply and the turn before it are still too long, the context before the
    reply is cut from its left. What stands before the first turn (BOS) stays.
    """
    if len(encoded) <= max_length:
        return encoded
    head = encoded.turns[0][0] if encoded.turns else 0
    answers = _answers(encoded)
    if not answers:
        return None
    last_start, end = answers[-1]  # what follows the last trained reply teaches nothing
    starts = [start for start, _ in encoded.turns if start < last_start]
    fitting = [start for start in starts if head + end - start <= max_length]
    start = fitting[0] if fitting else end - (max_length - head)
    if start > last_start:
        return None
    return _window(encoded, start, end, head)


def has_loss(encoded: Encoded) -> bool:
    """Whether any token is trained and can be: the first has nothing before it to predict it."""
    return any(encoded.mask[1:])


# ---- the strategies: a dialogue that is too long -> its pieces


def _oldest_turns(encoded: Encoded, max_length: int) -> list[Encoded]:
    short = truncate(encoded, max_length)
    return [] if short is None else [short]


def _windows(encoded: Encoded, max_length: int) -> list[Encoded]:
    """As `oldest_turns`, again and again on what stands before the first reply that fitted."""
    pieces: list[Encoded] = []
    answers = _answers(encoded)
    while answers:
        rest = _window(encoded, 0, answers[-1][1])
        piece = truncate(rest, max_length)
        if piece is None:  # this reply alone is too long
            answers.pop()
            continue
        pieces.insert(0, piece)
        del answers[-len(_answers(piece)) :]
    return pieces


def _left(encoded: Encoded, max_length: int) -> list[Encoded]:
    size = len(encoded)
    return [_window(encoded, size - max_length, size, cut_answers="train")]


def _right(encoded: Encoded, max_length: int) -> list[Encoded]:
    return [_window(encoded, 0, max_length, cut_answers="train")]


def _whole_only(encoded: Encoded, max_length: int) -> list[Encoded]:
    return []


_SILENT = "no trained token: it has no assistant reply to learn from"
_NOTHING_LEFT = "no trained token is left within {} tokens"

Strategy = Callable[[Encoded, int], list[Encoded]]

# name -> (what it does, why it may leave nothing)
STRATEGIES: dict[str, tuple[Strategy, str]] = {
    "oldest_turns": (_oldest_turns, "its last reply alone is longer than {} tokens"),
    "windows": (_windows, "each of its replies alone is longer than {} tokens"),
    "set_aside": (_whole_only, "it is longer than {} tokens"),
    "left": (_left, _NOTHING_LEFT),
    "right": (_right, _NOTHING_LEFT),
}


def _strategy(name: str) -> tuple[Strategy, str]:
    if name not in STRATEGIES:
        raise ValueError(f"truncation strategy {name!r}: choose from {', '.join(STRATEGIES)}")
    return STRATEGIES[name]


# ---- cutting, and counting what was cut


def _window(
    encoded: Encoded, start: int, end: int, head: int = 0, cut_answers: str = "context"
) -> Encoded:
    """The first `head` tokens and those from `start` to `end`.

    A turn that lost its beginning is context, never an answer, unless `cut_answers` is "train".
    """
    shift = start - head
    inside = [(a, b) for a, b in encoded.turns if b > start and a < end]
    mask = list(encoded.mask)
    for a, b in inside:
        if a < start and cut_answers == "context":
            mask[a:b] = [False] * (b - a)
    mask = mask[:head] + mask[start:end]
    mask[:1] = [False]  # nothing stands before it, so nothing predicts it
    return Encoded(
        encoded.ids[:head] + encoded.ids[start:end],
        mask,
        encoded.dialogue_id,
        [(max(a, start) - shift, min(b, end) - shift) for a, b in inside],
    )


def _answers(encoded: Encoded) -> list[tuple[int, int]]:
    """The (start, end) ranges of the turns that hold a trained token."""
    return [turn for turn in encoded.turns if any(encoded.mask[slice(*turn)])]


def _pieces(dialogue: Encoded, max_length: int, cut: Strategy) -> list[Encoded]:
    """The pieces with the places of their tokens instead of the ids: so losses can be counted."""
    places = list(range(len(dialogue)))
    whole = Encoded(places, dialogue.mask, dialogue.dialogue_id, dialogue.turns)
    pieces = [whole] if len(dialogue) <= max_length else cut(whole, max_length)
    return [piece for piece in pieces if has_loss(piece)]


def _at(dialogue: Encoded, piece: Encoded) -> Encoded:
    if len(piece) == len(dialogue):
        return dialogue
    ids = [dialogue.ids[place] for place in piece.ids]
    return Encoded(ids, piece.mask, piece.dialogue_id, piece.turns)


def _count(report: Truncation, dialogue: Encoded, pieces: Sequence[Encoded]) -> None:
    trained = {place for piece in pieces for place in piece.trained_ids}
    for start, end in _answers(dialogue):
        places = [place for place in range(start, end) if dialogue.mask[place]]
        left = sum(place in trained for place in places)
        report.answers_whole += left == len(places)
        report.answers_cut += 0 < left < len(places)
        report.answers_lost += left == 0
    if not pieces:
        return
    here = {place for piece in pieces for place in piece.ids}
    report.kept += 1
    report.pieces += len(pieces)
    report.shortened += len(here) < len(dialogue)
    report.tokens_cut += len(dialogue) - len(here)
    report.trained_tokens_cut += sum(dialogue.mask) - len(trained)
