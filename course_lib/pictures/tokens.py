"""Tokens as pictures: how a text is cut, and who says what in a rendered dialogue (chapter 04)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from course_lib.chat_format import Encoded
from course_lib.plots import View, _token, side_by_side

_CUTS = ("#cfe2f3", "#fde3a7", "#d5e8d4", "#f8cecc", "#e1d5e7")
_ROLES = {"system": "#e1d5e7", "user": "#cfe2f3", "assistant": "#bfe3c0", "tool": "#fde3a7"}
_CONTROL = "#d0d0d0"


def pieces_of(text: str, tokenizer: Any) -> list[str]:
    """The stretch of `text` that each token covers; "" where it covers only part of a character.

    The pieces joined give the text again: bytes of one character all go to its last token.
    """
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    ends = [len(_whole(tokenizer.decode(ids[: n + 1]))) for n in range(len(ids))]
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _whole(text: str) -> str:
    """The text without the sign for a character whose bytes are not all there yet."""
    return text.rstrip("\ufffd")


def cut_strip(pieces: Sequence[str]) -> View:
    """Tokens side by side in changing colours; spaces as "·". In the text form "|" parts them."""
    shown = [piece.replace(" ", "·") for piece in pieces]
    spans = (_token(piece, _CUTS[n % len(_CUTS)]) for n, piece in enumerate(shown))
    return View(f'<div style="line-height: 2">{"".join(spans)}</div>', "|".join(shown))


def cut_table(rows: Mapping[Any, tuple[str, Any]]) -> View:
    """For each name its text as its tokenizer cuts it: {name: (text, tokenizer)}."""
    cuts = {name: pieces_of(*row) for name, row in rows.items()}
    table = [[name, len(cut), cut_strip(cut)] for name, cut in cuts.items()]
    return side_by_side(table, ["", "tokens", "cut"])


def role_strip(encoded: Encoded, tokenizer: Any) -> View:
    """A rendered dialogue, each turn in its role's colour, control tokens grey, trained underlined.

    In the text form control tokens stand between ‹ and ›, and a trained token is followed by "_".
    """
    colours = _colours(encoded, tokenizer)
    texts = [tokenizer.decode([token]) for token in encoded.ids]
    rows = list(zip(texts, colours, encoded.mask, strict=True))
    page = "".join(_underlined(_token(text, colour), on) for text, colour, on in rows)
    legend = "".join(
        _token(name, colour) for name, colour in (_ROLES | {"control": _CONTROL}).items()
    )
    words = "".join(
        (f"‹{text}›" if colour == _CONTROL else text) + "_" * on for text, colour, on in rows
    )
    legend += _underlined(_token("trained", "#ffffff"), True)
    return View(f'<div style="line-height: 2.2">{page}</div><div>{legend}</div>', words)


def _underlined(page: str, on: bool) -> str:
    return f'<span style="border-bottom: 3px solid #2d7a3d">{page}</span>' if on else page


def _colours(encoded: Encoded, tokenizer: Any) -> list[str]:
    colours = [_CONTROL] * len(encoded.ids)
    special = set(tokenizer.all_special_ids)
    for start, end in encoded.turns:
        role = tokenizer.decode([encoded.ids[start]]).strip("<|>")
        for place in range(start, end):
            if encoded.ids[place] not in special:
                colours[place] = _ROLES.get(role, _CONTROL)
    return colours
