"""Checks of chapter 12."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import mean
from typing import Any

from course_lib.checks.exercises import Wrong, exercise
from course_lib.checks.judging import SHAPE, Case, Mistake, judge, number

Turns = list[tuple[str, int]]
Mask = list[bool]
Rows = list[list[int]]
Sums = list[tuple[float, int]]


def _list_of(value: Any) -> list[Any]:
    value = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(value, (list, tuple)):
        raise Wrong(SHAPE, f"expected a list, found {type(value).__name__}.")
    return list(value)


def _whole(value: Any) -> int:
    found = number(value)
    if found != int(found):
        raise Wrong(SHAPE, f"expected whole numbers, found {found}.")
    return int(found)


def _wholes(value: Any) -> list[int]:
    return [_whole(item) for item in _list_of(value)]


# ---- 12.1 name the broken mask

MASKS = ("healthy", "everything", "one late", "no end token", "last reply only", "nothing")


def _reply_mask(turns: Turns, head: int = 1, skip: int = 1, short: int = 0) -> Mask:
    """`head` tokens before the first turn, `skip` role tokens, `short` tokens off a reply's end."""
    mask = [False] * head
    for role, size in turns:
        trained = size - skip - short if role == "assistant" else 0
        before = skip if trained else size
        mask += [False] * before + [True] * trained + [False] * (size - before - trained)
    return mask


def _last_only(turns: Turns, mask: Mask) -> Mask:
    places = [number for number, (role, _) in enumerate(turns) if role == "assistant"]
    start = 1 + sum(size for _, size in turns[: places[-1]]) if places else 0
    return [on and place >= start for place, on in enumerate(mask)]


def _late(mask: Mask) -> Mask:
    return [False, *mask[:-1]]


def _early(mask: Mask) -> Mask:
    return [*mask[1:], False]


def _diagnose(
    turns: Turns,
    mask: Mask,
    right: Callable[..., Mask] = _reply_mask,
    shifted: Callable[[Mask], Mask] = _late,
    short: Callable[..., Mask] = lambda turns: _reply_mask(turns, short=1),
    order: Sequence[str] = MASKS,
) -> str:
    healthy = right(turns)
    forms = {
        "healthy": healthy,
        "everything": [True] * len(mask),
        "one late": shifted(healthy),
        "no end token": short(turns),
        "last reply only": _last_only(turns, healthy),
        "nothing": [False] * len(mask),
    }
    return next((name for name in order if forms[name] == mask), "unknown")


_TALK: Turns = [("user", 5), ("assistant", 6), ("user", 4), ("assistant", 3)]
_SHORT: Turns = [("system", 3), ("user", 4), ("assistant", 5)]
_OPENS: Turns = [("assistant", 4), ("user", 6), ("assistant", 7), ("user", 2)]


def _mask_cases() -> list[Case]:
    cases: list[Case] = []
    for turns in (_TALK, _SHORT, _OPENS):
        healthy = _reply_mask(turns)
        masks = [
            healthy,
            [True] * len(healthy),
            _late(healthy),
            _reply_mask(turns, short=1),
            _last_only(turns, healthy),
            [False] * len(healthy),
            _early(healthy),
        ]
        cases += [(turns, mask) for mask in masks]
    return cases


_MASK_MISTAKES: dict[str, Mistake] = {
    "one reply is also the last": (
        lambda t, m: _diagnose(t, m, order=(MASKS[4], *MASKS[:4], MASKS[5])),
        'in a dialogue with a single reply the healthy mask and "last reply only" are the same '
        "mask, and it is healthy. Ask for healthy first.",
    ),
    "role token trained": (
        lambda t, m: _diagnose(t, m, right=lambda turns: _reply_mask(turns, skip=0)),
        "your healthy mask trains the token <|assistant|>. In a chat the program writes it, so "
        "the first position of a turn is context.",
    ),
    "beginning forgotten": (
        lambda t, m: _diagnose(t, m, right=lambda turns: [*_reply_mask(turns, head=0), False]),
        "your mask begins with the first turn. One token stands before it: the beginning of text.",
    ),
    "early instead of late": (
        lambda t, m: _diagnose(t, m, shifted=_early),
        "late means that the whole mask has moved to the right; yours has moved to the left.",
    ),
    "no end token taken for healthy": (
        lambda t, m: _diagnose(
            t, m, right=lambda turns: _reply_mask(turns, short=1), short=_reply_mask
        ),
        "you call a mask healthy that leaves the end token out. Then nobody learns to stop.",
    ),
}


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise Wrong(SHAPE, f"expected a name as text, found {type(value).__name__}.")
    return value


@exercise(
    "12.1",
    "Name the broken mask",
    answer_name="diagnose_mask",
    difficulty=2,
    minutes=12,
    hints=(
        "first build the healthy mask: one False for the beginning, then turn by turn.",
        "an assistant's turn of n tokens gives [False] + [True] * (n - 1); any other [False] * n.",
        "build the five broken masks from the healthy one, and compare in the order of the table.",
    ),
)
def check_diagnose_mask(answer: Callable[..., Any]) -> None:
    """Exercise 12.1: turns (role, tokens) and a mask -> the name of what is wrong with it."""
    judge(answer, _diagnose, _mask_cases(), _MASK_MISTAKES, _name)


# ---- 12.2 do all answers end?


def _stretches(mask: Mask) -> list[tuple[int, int]]:
    """(first, last) position of every run of True."""
    padded = [False, *mask, False]
    starts = [i for i in range(1, len(padded)) if padded[i] and not padded[i - 1]]
    ends = [i for i in range(1, len(padded)) if not padded[i] and padded[i - 1]]
    return [(a - 1, b - 2) for a, b in zip(starts, ends, strict=True)]


def _cut_answers(ids: list[int], mask: Mask, end_id: int) -> list[int]:
    return [last for _, last in _stretches(mask) if ids[last] != end_id]


_END_CASES: list[Case] = [
    ([1, 5, 6, 2, 7, 8, 9, 2], [False] * 4 + [False, True, True, True], 2),
    ([1, 5, 2, 7, 8, 2, 5, 2, 7, 8, 9], [False] * 4 + [True] * 2 + [False] * 3 + [True] * 2, 2),
    ([1, 5, 2, 7, 8, 9, 5, 2, 7, 8, 2], [False] * 4 + [True] * 2 + [False] * 3 + [True] * 2, 2),
    ([1, 7, 8, 2, 5, 2, 7, 9, 5], [False] * 2 + [True] + [False] * 4 + [True] + [False], 2),
    ([4, 4, 0, 4, 3, 0], [False, True, True, False, True, False], 0),
    ([1, 5, 2], [False] * 3, 2),
]
_END_MISTAKES: dict[str, Mistake] = {
    "row's end forgotten": (
        lambda i, m, e: [p for p in _cut_answers(i, m, e) if p + 1 < len(i)],
        "an answer that runs to the very end of the row is not looked at. It is the one that a "
        "cut from the right leaves.",
    ),
    "last answer only": (
        lambda i, m, e: [p for _, p in _stretches(m)[-1:] if i[p] != e],
        "you look at the last answer of the row only; an earlier one may lack its end as well.",
    ),
    "whole answers": (
        lambda i, m, e: [p for _, p in _stretches(m) if i[p] == e],
        "these are the answers that do end. Give those that do not.",
    ),
    "first positions": (
        lambda i, m, e: [a for a, b in _stretches(m) if i[b] != e],
        "you give where the cut answers begin; give the position of their last trained token.",
    ),
    "one too far": (
        lambda i, m, e: [p + 1 for p in _cut_answers(i, m, e)],
        "your positions are one too high: the last trained token, not the one after it.",
    ),
    "the token after the answer": (
        lambda i, m, e: [p for _, p in _stretches(m) if i[p + 1 : p + 2] != [e]],
        "you look for the end token behind the trained stretch. There it would be in the row and "
        "not in the loss. It must be the last trained token.",
    ),
    "every trained token": (
        lambda i, m, e: [p for p, on in enumerate(m) if on and i[p] != e],
        "you give every trained token that is no end token. Only the last one of each stretch "
        "has to be one.",
    ),
}


@exercise(
    "12.2",
    "Do all answers end?",
    answer_name="cut_answers",
    difficulty=2,
    minutes=10,
    hints=(
        "a position is the last of a stretch if it is trained and the next one is not.",
        "the last position of the row has no next one: put a False behind the mask.",
        "for i, on in enumerate(mask): if on and not (mask + [False])[i + 1] and ids[i] != end_id.",
    ),
)
def check_cut_answers(answer: Callable[..., Any]) -> None:
    """Exercise 12.2: ids, mask, end id -> where trained stretches stop without the end token."""
    judge(answer, _cut_answers, _END_CASES, _END_MISTAKES, _wholes)


# ---- 12.3 pad for generation


def _left_pad(prompts: Rows, pad_id: int) -> tuple[Rows, Rows, Rows]:
    width = max(map(len, prompts))
    gaps = [width - len(prompt) for prompt in prompts]
    pairs = list(zip(gaps, prompts, strict=True))
    return (
        [[pad_id] * gap + prompt for gap, prompt in pairs],
        [[0] * gap + [1] * len(prompt) for gap, prompt in pairs],
        [[0] * gap + list(range(len(prompt))) for gap, prompt in pairs],
    )


def _right_pad(prompts: Rows, pad_id: int) -> tuple[Rows, Rows, Rows]:
    width = max(map(len, prompts))
    pairs = [(width - len(prompt), prompt) for prompt in prompts]
    return (
        [prompt + [pad_id] * gap for gap, prompt in pairs],
        [[1] * len(prompt) + [0] * gap for gap, prompt in pairs],
        [list(range(len(prompt))) + [0] * gap for gap, prompt in pairs],
    )


def _with_positions(
    change: Callable[[Rows, Rows], Rows],
) -> Callable[[Rows, int], tuple[Rows, Rows, Rows]]:
    def padded(prompts: Rows, pad_id: int) -> tuple[Rows, Rows, Rows]:
        ids, mask, _ = _left_pad(prompts, pad_id)
        return ids, mask, change(ids, mask)

    return padded


def _with_mask(
    change: Callable[[int, int, int], int],
) -> Callable[[Rows, int], tuple[Rows, Rows, Rows]]:
    """`change(id, mask, pad_id)` gives another mask."""

    def padded(prompts: Rows, pad_id: int) -> tuple[Rows, Rows, Rows]:
        ids, mask, positions = _left_pad(prompts, pad_id)
        rows = zip(ids, mask, strict=True)
        other = [[change(i, m, pad_id) for i, m in zip(*row, strict=True)] for row in rows]
        return ids, other, positions

    return padded


def _in_tuples(value: Any) -> tuple[Any, ...]:
    parts = value if isinstance(value, (list, tuple)) else _list_of(value)
    if len(parts) != 3:
        raise Wrong(SHAPE, f"expected ids, mask and positions, found {len(parts)} things.")
    return tuple(tuple(tuple(_wholes(row)) for row in _list_of(part)) for part in parts)


def _padded_as_tuples(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *case: _in_tuples(function(*case))


_LEFT_CASES: list[Case] = [
    ([[5, 6, 7], [8]], 0),
    ([[5, 3, 7], [3, 9, 9, 4], [6, 3]], 3),
    ([[5, 6], [7, 8]], 0),
    ([[9]], 1),
]
_LEFT_MISTAKES: dict[str, Mistake] = {
    "padded on the right": (
        _right_pad,
        "that is how training pads. A reply goes on from the last position of its row, so no "
        "padding may stand there.",
    ),
    "positions count the padding": (
        _with_positions(lambda ids, mask: [list(range(len(row))) for row in ids]),
        "your positions run over the padding. Then a prompt stands elsewhere in a batch than "
        "alone, and the model gives another reply: the first real token has position 0.",
    ),
    "positions from 1": (
        _with_positions(
            lambda ids, mask: [
                [sum(row[: i + 1]) if row[i] else 0 for i in range(len(row))] for row in mask
            ]
        ),
        "the first real token has position 0; yours has 1. A running sum of the mask needs - 1.",
    ),
    "the mask turned round": (
        _with_mask(lambda i, m, pad: 1 - m),
        "1 stands for a real token and 0 for padding; yours is the other way round.",
    ),
    "the mask by the padding's id": (
        _with_mask(lambda i, m, pad: int(i != pad)),
        "a prompt may hold the padding's id itself, for example where pad is the end token. Go "
        "by the lengths, not by the ids.",
    ),
    "the mask all ones": (
        _with_mask(lambda i, m, pad: 1),
        "your mask is 1 everywhere, so the prompts look at their padding.",
    ),
}


@exercise(
    "12.3",
    "Pad for generation",
    answer_name="left_pad",
    difficulty=2,
    minutes=8,
    hints=(
        "the width is that of the longest prompt; each row begins with width - len(prompt) gaps.",
        "the mask is [0] * gap + [1] * len(prompt).",
        "the positions are [0] * gap + list(range(len(prompt))).",
    ),
)
def check_left_pad(answer: Callable[..., Any]) -> None:
    """Exercise 12.3: prompts -> ids, mask and positions, ready for generation."""
    mistakes = {name: (_padded_as_tuples(f), words) for name, (f, words) in _LEFT_MISTAKES.items()}
    judge(answer, _padded_as_tuples(_left_pad), _LEFT_CASES, mistakes, _in_tuples)


# ---- 12.4 set the silent rows aside


def _split_by(has_loss: Callable[[Mask], bool]) -> Callable[[list[Mask]], tuple[Any, ...]]:
    def split(masks: list[Mask]) -> tuple[list[int], list[int]]:
        kept = [number for number, mask in enumerate(masks) if has_loss(mask)]
        return kept, [number for number in range(len(masks)) if number not in kept]

    return split


_split_silent = _split_by(lambda mask: any(mask[1:]))


def _all_or_none(masks: list[Mask]) -> tuple[list[int], list[int]]:
    kept, aside = _split_silent(masks)
    return ([], list(range(len(masks)))) if aside else (kept, aside)


def _two_lists(value: Any) -> tuple[list[int], list[int]]:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise Wrong(SHAPE, "expected two lists of row numbers, (kept, aside).")
    return _wholes(value[0]), _wholes(value[1])


_SILENT_CASES: list[Case] = [
    ([[False, True], [False, False], [False, False, True]],),
    ([[True, False, False], [False, True, False], [True]],),
    ([[False, False, True, True], [True, True]],),
    ([[False], [False, False]],),
]
_SILENT_MISTAKES: dict[str, Mistake] = {
    "first token counted": (
        _split_by(any),
        "nothing stands before a row's first token, so nothing can predict it. A row whose only "
        "trained token is its first has no loss.",
    ),
    "last token not counted": (
        _split_by(lambda mask: any(mask[:-1])),
        "the last token of a row is predicted by the one before it and counts. It is the first "
        "that does not.",
    ),
    "all must be trained": (
        _split_by(lambda mask: all(mask[1:])),
        "you keep rows in which everything is trained. One trained token is enough.",
    ),
    "swapped": (
        lambda masks: _split_silent(masks)[::-1],
        "the kept rows come first, those set aside second.",
    ),
    "all or none": (
        _all_or_none,
        "one silent row makes you drop the whole batch. Set aside that row alone.",
    ),
    "masks instead of numbers": (
        lambda masks: (
            [int(any(mask[1:])) for mask in masks],
            [int(not any(mask[1:])) for mask in masks],
        ),
        "you give a yes or no for each row. Give the numbers of the rows.",
    ),
}


@exercise(
    "12.4",
    "Set the silent rows aside",
    answer_name="split_silent",
    difficulty=1,
    minutes=6,
    hints=(
        "a row has a loss if any of its tokens is trained, but for the first.",
        "any(mask[1:]) is the whole question.",
        "kept = [i for i, mask in enumerate(masks) if any(mask[1:])]; the rest is set aside.",
    ),
)
def check_split_silent(answer: Callable[..., Any]) -> None:
    """Exercise 12.4: masks -> the numbers of the rows with a loss, and of those without."""
    judge(answer, _split_silent, _SILENT_CASES, _SILENT_MISTAKES, _two_lists)


# ---- 12.5 what a leak gained


def _per_token(sums: Sums) -> float:
    return sum(nats for nats, _ in sums) / sum(count for _, count in sums)


def _per_dialogue(sums: Sums) -> float:
    return mean(nats / count for nats, count in sums)


def _gain(
    leaked_before: Sums,
    clean_before: Sums,
    leaked_after: Sums,
    clean_after: Sums,
    loss: Callable[[Sums], float] = _per_token,
) -> float:
    return loss(clean_after) - loss(leaked_after) - (loss(clean_before) - loss(leaked_before))


_GAIN_CASES: list[Case] = [
    ([(20.0, 10)], [(30.0, 10)], [(5.0, 10)], [(25.0, 10)]),
    ([(8.0, 2), (12.0, 30)], [(9.0, 3), (20.0, 20)], [(2.0, 2), (4.0, 30)], [(8.0, 3), (30.0, 20)]),
    ([(6.0, 3), (2.0, 4)], [(9.0, 2), (1.0, 5)], [(6.0, 3), (2.0, 4)], [(8.0, 2), (3.0, 5)]),
]
_GAIN_MISTAKES: dict[str, Mistake] = {
    "no clean dialogues": (
        lambda lb, cb, la, ca: _per_token(lb) - _per_token(la),
        "you say by how much the leaked half got better. Any training that differs changes that; "
        "take off what the clean half gained in the same time.",
    ),
    "no healthy model": (
        lambda lb, cb, la, ca: _per_token(ca) - _per_token(la),
        "you compare the halves after the leak only. One half may be easier to begin with: take "
        "off the difference that the healthy model sees.",
    ),
    "sign": (
        lambda lb, cb, la, ca: -_gain(lb, cb, la, ca),
        "the sign is turned round: a leak that helps its half is a gain above 0.",
    ),
    "mean of means": (
        lambda lb, cb, la, ca: _gain(lb, cb, la, ca, _per_dialogue),
        "you average the dialogues' losses. A loss by token is the sum of the nats by the sum of "
        "the tokens, as in chapter 06.",
    ),
    "nats added up": (
        lambda lb, cb, la, ca: _gain(lb, cb, la, ca, lambda s: sum(nats for nats, _ in s)),
        "you compare sums of nats. Divide each by its number of tokens.",
    ),
    "both gains added": (
        lambda lb, cb, la, ca: _per_token(lb) - _per_token(la) + _per_token(cb) - _per_token(ca),
        "you add the gain of the clean half; take it off.",
    ),
}


@exercise(
    "12.5",
    "What did the leak gain?",
    answer_name="leak_gain",
    difficulty=2,
    minutes=10,
    hints=(
        "first the loss by token of each of the four lists: all nats, by all tokens.",
        "how far apart are the halves for the healthy model? That is no work of the leak.",
        "(clean after - leaked after) - (clean before - leaked before).",
    ),
)
def check_leak_gain(answer: Callable[..., Any]) -> None:
    """Exercise 12.5: four lists of (nats, tokens) -> what the leak gained, in nats per token."""
    judge(answer, _gain, _GAIN_CASES, _GAIN_MISTAKES)
