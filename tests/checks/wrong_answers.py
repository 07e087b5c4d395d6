"""Typical wrong answers to each exercise, and the diagnosis each must get.

Written as a learner would write them, without a look at the check. An exercise has at least two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

Pieces = list[tuple[str, list[int]]]
Marked = tuple[list[int], list[Any]]


class WrongAnswer(NamedTuple):
    answer: Callable[..., Any]
    mistake: str


def end_token_forgotten(pieces: Pieces) -> Marked:
    ids, mask = [], []
    for role, piece in pieces:
        for token in piece:
            ids.append(token)
            mask.append(role == "assistant" and token != piece[-1])
    return ids, mask


def user_trained_too(pieces: Pieces) -> Marked:
    ids, mask = [], []
    for role, piece in pieces:
        ids += piece
        mask += [role != "system"] * len(piece)
    return ids, mask


def last_assistant_turn_only(pieces: Pieces) -> Marked:
    ids, mask = [], []
    for role, piece in pieces:
        if role == "assistant":
            mask = [False] * len(ids)
        ids += piece
        mask += [role == "assistant"] * len(piece)
    return ids, mask


def stops_after_first_reply(pieces: Pieces) -> Marked:
    ids: list[int] = []
    mask: list[bool] = []
    for role, piece in pieces:
        mask += [role == "assistant" and True not in mask] * len(piece)
        ids += piece
    return ids, mask


def shifted_right(pieces: Pieces) -> Marked:
    ids, mask = [], [False]
    for role, piece in pieces:
        ids += piece
        mask += [role == "assistant"] * len(piece)
    return ids, mask[:-1]


def shifted_left(pieces: Pieces) -> Marked:
    ids, mask = [], []
    for role, piece in pieces:
        ids += piece
        mask += [role == "assistant"] * len(piece)
    return ids, mask[1:] + [False]


def all_ones(pieces: Pieces) -> Marked:
    ids = [token for _, piece in pieces for token in piece]
    return ids, [1] * len(ids)


def all_zero(pieces: Pieces) -> Marked:
    ids = [token for _, piece in pieces for token in piece]
    return ids, [0] * len(ids)


def the_other_way_round(pieces: Pieces) -> Marked:
    ids, mask = [], []
    for role, piece in pieces:
        ids += piece
        mask += [role != "assistant"] * len(piece)
    return ids, mask


def one_value_a_turn(pieces: Pieces) -> Marked:
    return [t for _, piece in pieces for t in piece], [role == "assistant" for role, _ in pieces]


def replies_only(pieces: Pieces) -> Marked:
    ids = [token for role, piece in pieces if role == "assistant" for token in piece]
    return ids, [True] * len(ids)


def mask_alone(pieces: Pieces) -> Any:
    return [role == "assistant" for role, piece in pieces for _ in piece]


def searched_by_token(pieces: Pieces) -> Marked:
    """Marks the tokens of the replies wherever they stand, as a search afterwards would."""
    replies = {t for role, piece in pieces if role == "assistant" for t in piece}
    ids = [token for _, piece in pieces for token in piece]
    return ids, [token in replies for token in ids]


WRONG_ANSWERS: dict[str, list[WrongAnswer]] = {
    "0.1": [
        WrongAnswer(end_token_forgotten, "end token lost"),
        WrongAnswer(user_trained_too, "user turns trained"),
        WrongAnswer(last_assistant_turn_only, "last reply only"),
        WrongAnswer(stops_after_first_reply, "first reply only"),
        WrongAnswer(shifted_right, "one position late"),
        WrongAnswer(shifted_left, "one position early"),
        WrongAnswer(all_ones, "everything trained"),
        WrongAnswer(all_zero, "nothing trained"),
        WrongAnswer(the_other_way_round, "roles swapped"),
        WrongAnswer(one_value_a_turn, "wrong shape"),
        WrongAnswer(replies_only, "ids changed"),
        WrongAnswer(mask_alone, "wrong shape"),
        WrongAnswer(searched_by_token, "mask differs"),
    ],
}
