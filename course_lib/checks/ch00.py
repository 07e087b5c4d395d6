"""Checks of chapter 00."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from course_lib.checks.exercises import Wrong, call, exercise

Piece = tuple[str, list[int]]
Mask = list[bool]

_SHAPE = "wrong shape"
_EXPLAIN = {
    "end token lost": (
        "the last token of each reply is left out. It is the end token, and only what is trained "
        "is learned: this model would never know when to stop."
    ),
    "user turns trained": (
        "the user's turns are trained as well. The model would learn to write the customer's part."
    ),
    "last reply only": (
        "only the last reply of the dialogue is trained. Every assistant turn is an example."
    ),
    "first reply only": (
        "only the first reply of the dialogue is trained. Every assistant turn is an example."
    ),
    "one position late": (
        "the mask is one position late: it starts on the second token of a reply and ends on the "
        "first token after it. mask[i] belongs to ids[i]."
    ),
    "one position early": (
        "the mask is one position early. mask[i] belongs to ids[i]; the shift to the token before "
        "is the loss function's work."
    ),
    "everything trained": (
        "every token is marked, so that prompts and replies are trained alike: that is "
        "pretraining, not SFT."
    ),
    "nothing trained": "no token is marked, so there is nothing to learn from.",
    "roles swapped": "the mask is the wrong way round: True is what the assistant says.",
}


def _by_piece(pieces: Sequence[Piece], mark: Callable[[int, str, int], Mask]) -> Mask:
    """Joins mark(place of the piece, role, length) over the pieces."""
    marks = (mark(place, role, len(ids)) for place, (role, ids) in enumerate(pieces))
    return [value for marked in marks for value in marked]


def _right(pieces: Sequence[Piece]) -> Mask:
    return _by_piece(pieces, lambda _, role, n: [role == "assistant"] * n)


def _one_reply(pieces: Sequence[Piece], which: int) -> Mask:
    replies = [place for place, (role, _) in enumerate(pieces) if role == "assistant"]
    chosen = replies[which] if replies else None
    return _by_piece(pieces, lambda place, _, n: [place == chosen] * n)


def _without_end(_: int, role: str, n: int) -> Mask:
    return [role == "assistant"] * max(n - 1, 0) + [False] * min(n, 1)


# Each mistake as the mask it would give; the first that fits every case is what is reported.
_MISTAKES: dict[str, Callable[[Sequence[Piece]], Mask]] = {
    "nothing trained": lambda pieces: [False] * len(_right(pieces)),
    "everything trained": lambda pieces: [True] * len(_right(pieces)),
    "end token lost": lambda pieces: _by_piece(pieces, _without_end),
    "user turns trained": lambda pieces: _by_piece(
        pieces, lambda _, role, n: [role in ("assistant", "user")] * n
    ),
    "roles swapped": lambda pieces: [not value for value in _right(pieces)],
    "last reply only": lambda pieces: _one_reply(pieces, -1),
    "first reply only": lambda pieces: _one_reply(pieces, 0),
    "one position late": lambda pieces: ([False] + _right(pieces))[: len(_right(pieces))],
    "one position early": lambda pieces: (_right(pieces) + [False])[1:] if _right(pieces) else [],
}

_END = 2
_CASES: list[list[Piece]] = [
    [("user", [11, 12, 13, _END]), ("assistant", [21, 22, _END])],
    [
        ("system", [31, 32, _END]),
        ("user", [11, _END]),
        ("assistant", [21, 22, 23, _END]),
        ("user", [12, 13, _END]),
        ("assistant", [24, _END]),
        ("user", [14, _END]),
    ],
    # The assistant opens, speaks twice in a row, and repeats the user's very tokens.
    [("assistant", [21, _END]), ("user", [11, 12, _END]), ("assistant", [11, 12, _END])],
    [("assistant", [21, 22, _END]), ("assistant", [23, _END]), ("user", [11, _END])],
    [("user", [11, 12, _END])],
]


def _as_list(value: Any) -> list[Any]:
    """A list from what a learner may give: a list, a tuple, an array or a tensor."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(value, (list, tuple)):
        raise Wrong(_SHAPE, f"expected two flat lists (ids, mask), found {type(value).__name__}.")
    return list(value)


def _read(outcome: Any, pieces: Sequence[Piece]) -> Mask:
    """The learner's mask, once ids and lengths are right."""
    if not isinstance(outcome, (tuple, list)) or len(outcome) != 2:
        raise Wrong(_SHAPE, "return two lists of the same length: return ids, mask.")
    ids, mask = _as_list(outcome[0]), _as_list(outcome[1])
    expected = [token for _, piece in pieces for token in piece]
    if ids != expected:
        raise Wrong("ids changed", f"ids should be every piece in order, {expected}, not {ids}.")
    if len(mask) != len(ids):
        raise Wrong(_SHAPE, f"{len(ids)} ids, but {len(mask)} mask values: one for each token.")
    if any(value not in (0, 1) for value in mask):
        raise Wrong(_SHAPE, f"the mask holds True and False only, not {mask}.")
    return [bool(value) for value in mask]


def _first_difference(mask: Mask, pieces: Sequence[Piece]) -> str:
    roles = [role for role, ids in pieces for _ in ids]
    right = _right(pieces)
    place = next(i for i, value in enumerate(mask) if value != right[i])
    return (
        f"for {list(pieces)} mask[{place}] is {mask[place]}, but that token stands in a turn of "
        f"the {roles[place]}."
    )


@exercise(
    "0.1",
    "Build a loss mask",
    answer_name="loss_mask",
    difficulty=1,
    minutes=8,
    hints=(
        "walk over the pieces once and extend both lists together; a piece of n ids adds n mask "
        "values.",
        "the value depends on the role alone: role == 'assistant'. The end token belongs to its "
        "piece, so it needs no case of its own.",
        "for role, piece in pieces: ids += piece; mask += [role == 'assistant'] * len(piece)",
    ),
)
def check_loss_mask(answer: Callable[..., Any]) -> None:
    """Judges loss_mask(pieces) -> (ids, mask): True on the assistant's replies and their ends."""
    masks = [_read(call(answer, pieces), pieces) for pieces in _CASES]
    wrong = [i for i, pieces in enumerate(_CASES) if masks[i] != _right(pieces)]
    if not wrong:
        return
    for mistake, mask_of in _MISTAKES.items():
        if masks == [mask_of(pieces) for pieces in _CASES]:
            raise Wrong(mistake, _EXPLAIN[mistake])
    raise Wrong("mask differs", _first_difference(masks[wrong[0]], _CASES[wrong[0]]))
