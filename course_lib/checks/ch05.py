"""Checks of chapter 05."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from course_lib.checks.exercises import Wrong, exercise
from course_lib.checks.judging import SHAPE, Case, Mistake, judge

IGNORE = -100


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


def _ints(value: Any) -> tuple[int, ...]:
    value = _plain(value)
    if not isinstance(value, (list, tuple)) or not all(isinstance(_plain(v), int) for v in value):
        raise Wrong(SHAPE, "return a list of integers.")
    return tuple(int(_plain(v)) for v in value)


def _rows(value: Any) -> tuple[tuple[int, ...], ...]:
    value = _plain(value)
    if not isinstance(value, (list, tuple)):
        raise Wrong(SHAPE, "return a list of lists.")
    return tuple(map(_ints, value))


# ---- 5.1 what each position has to predict

Ids = list[int]
Mask = list[bool]


def _labels(ids: Ids, mask: Mask) -> tuple[int, ...]:
    return tuple(token if on else IGNORE for token, on in zip(ids, mask, strict=True))


def _targets(ids: Ids, mask: Mask) -> tuple[int, ...]:
    return _labels(ids, mask)[1:]


_TARGET_CASES: list[Case] = [
    ([0, 7, 8, 2, 9, 4, 5, 2], [False, False, False, False, False, True, True, True]),
    ([0, 9, 3, 2, 7, 6, 2, 9, 5, 2], [False, False, True, True, *[False] * 4, True, True]),
    ([3, 5, 2], [True, True, True]),
]
_TARGET_MISTAKES: dict[str, Mistake] = {
    "labels, not targets": (
        _labels,
        "those are the labels: each stands at its own token. Position t must predict token t + 1, "
        "so the list begins with what follows the first token, and is one shorter.",
    ),
    "not shifted": (
        lambda i, m: _labels(i, m)[:-1],
        "the length is right, but nothing is shifted: position t is asked for token t, which it "
        "has just read. Leave out the first label, not the last.",
    ),
    "shifted the wrong way": (
        lambda i, m: (IGNORE, *_labels(i, m)[:-2]),
        "the shift goes the wrong way: position t is asked for token t - 1.",
    ),
    "mask one late": (
        lambda i, m: _labels(i[1:], m[:-1]),
        "the ids are shifted and the mask is not. Then the first word of a reply has no loss, and "
        "the token after its end has one.",
    ),
    "ids not shifted": (
        lambda i, m: _labels(i[:-1], m[1:]),
        "the mask is shifted and the ids are not: each position is asked for its own token.",
    ),
    "everything trained": (
        lambda i, m: tuple(i[1:]),
        "the mask has no effect: every token is a target. Put -100 where the token is not trained.",
    ),
    "mask the wrong way round": (
        lambda i, m: _targets(i, [not on for on in m]),
        "the prompt is trained and the reply is not. True means trained.",
    ),
    "gaps closed": (
        lambda i, m: tuple(token for token in _targets(i, m) if token != IGNORE),
        "you left out the positions without a loss. Keep them, with -100, or a target no longer "
        "stands at the position that has to predict it.",
    ),
}


@exercise(
    "5.1",
    "What must each position predict?",
    answer_name="targets",
    difficulty=1,
    minutes=6,
    hints=(
        "position 0 has read the first token, and must predict the second.",
        "make the labels first (the id where the mask is True, else -100), then leave one out.",
        "labels = [i if on else -100 for i, on in zip(ids, mask)]; return labels[1:]",
    ),
)
def check_targets(answer: Callable[..., Any]) -> None:
    """Judges targets(ids, mask): the id that each position but the last must predict, or -100."""
    judge(answer, _targets, _TARGET_CASES, _TARGET_MISTAKES, _ints)


# ---- 5.2 a padded batch

Batch = tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]


def _pad_to(rows: list[Ids], pad_id: int, width: int, left: bool = False) -> Batch:
    ids, attention = [], []
    for row in rows:
        fill = max(0, width - len(row))
        there, pad = tuple(row[:width]), (pad_id,) * fill
        on, off = (1,) * len(there), (0,) * fill
        ids.append(pad + there if left else there + pad)
        attention.append(off + on if left else on + off)
    return tuple(ids), tuple(attention)


def _pad(rows: list[Ids], pad_id: int) -> Batch:
    return _pad_to(rows, pad_id, max(map(len, rows)))


def _by_id(rows: list[Ids], pad_id: int) -> Batch:
    ids, _ = _pad(rows, pad_id)
    return ids, tuple(tuple(int(token != pad_id) for token in row) for row in ids)


def _attention_of(rows: list[Ids], pad_id: int, change: Callable[[int], int]) -> Batch:
    ids, attention = _pad(rows, pad_id)
    return ids, tuple(tuple(map(change, row)) for row in attention)


_PAD_CASES: list[Case] = [
    ([[5, 6, 7, 8], [9, 4]], 0),
    ([[0, 5, 2], [0, 6, 7, 2, 8, 2], [3]], 2),  # the end token fills, too
    ([[4, 4], [1, 3]], 1),
]
_PAD_MISTAKES: dict[str, Mistake] = {
    "found by the id": (
        _by_id,
        "attention is 0 wherever the id is pad_id. In the second case the end token serves as "
        "padding, so real end tokens are hidden. Use the lengths of the rows instead.",
    ),
    "filled on the left": (
        lambda r, p: _pad_to(r, p, max(map(len, r)), left=True),
        "the rows are filled on the left. That is for generation; here fill on the right.",
    ),
    "cut to the shortest": (
        lambda r, p: _pad_to(r, p, min(map(len, r))),
        "the rows are cut to the shortest one. Fill them up to the longest.",
    ),
    "attention the wrong way round": (
        lambda r, p: _attention_of(r, p, lambda on: 1 - on),
        "1 means a token, 0 means padding.",
    ),
    "nothing is padding": (
        lambda r, p: _attention_of(r, p, lambda on: 1),
        "the attention mask is 1 everywhere, as if padding were text.",
    ),
    "one too wide": (
        lambda r, p: _pad_to(r, p, max(map(len, r)) + 1),
        "every row has padding, also the longest one. The width is the longest row's.",
    ),
}


def _two_tables(value: Any) -> Batch:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise Wrong(SHAPE, "return two lists of lists: return ids, attention.")
    return _rows(value[0]), _rows(value[1])


@exercise(
    "5.2",
    "A padded batch",
    answer_name="pad",
    difficulty=1,
    minutes=8,
    hints=(
        "the width is the length of the longest row: max(len(row) for row in rows).",
        "a row lacks width - len(row) ids; its attention is that many zeros after len(row) ones.",
        "ids = [row + [pad_id] * (width - len(row)) for row in rows], and the same with 1 and 0.",
    ),
)
def check_pad(answer: Callable[..., Any]) -> None:
    """Judges pad(rows, pad_id) -> (ids, attention), filled on the right to the longest row."""
    judge(answer, _pad, _PAD_CASES, _PAD_MISTAKES, _two_tables)


# ---- 5.3 batches within a budget

Groups = tuple[tuple[int, ...], ...]


def _cut_by(lengths: Ids, full: Callable[[Ids], bool]) -> Groups:
    """Closes a batch before the row with which it would be full."""
    groups: list[Ids] = [[]]
    for length in lengths:
        if groups[-1] and full([*groups[-1], length]):
            groups.append([])
        groups[-1].append(length)
    return tuple(map(tuple, groups))


def _positions(rows: Ids) -> int:
    return len(rows) * max(rows)


def _budgeted(lengths: Ids, budget: int) -> Groups:
    return _cut_by(lengths, lambda rows: _positions(rows) > budget)


def _one_over(lengths: Ids, budget: int) -> Groups:
    groups: list[Ids] = [[]]
    for length in lengths:
        if groups[-1] and _positions(groups[-1]) > budget:
            groups.append([])
        groups[-1].append(length)
    return tuple(map(tuple, groups))


def _fixed(lengths: Ids, budget: int) -> Groups:
    size = max(1, budget // max(lengths))
    return tuple(tuple(lengths[i : i + size]) for i in range(0, len(lengths), size))


_BUDGET_CASES: list[Case] = [
    ([10, 10, 12, 20, 30, 30, 50], 60),
    ([5, 5, 5, 5, 40, 41], 100),
    ([30, 8, 8, 8, 30, 6], 64),
    ([7], 10),
    ([20, 20, 20], 60),
]
_BUDGET_MISTAKES: dict[str, Mistake] = {
    "padding not counted": (
        lambda n, b: _cut_by(n, lambda rows: sum(rows) > b),
        "you add up the lengths. A batch has rows times width positions, and the padding is "
        "computed as well: compare len(rows) * max(rows) with the budget.",
    ),
    "budget never used up": (
        lambda n, b: _cut_by(n, lambda rows: _positions(rows) >= b),
        "a batch of exactly `budget` positions is allowed.",
    ),
    "width of the last row": (
        lambda n, b: _cut_by(n, lambda rows: len(rows) * rows[-1] > b),
        "the width of a batch is its longest row, not the one that came last.",
    ),
    "width of the first row": (
        lambda n, b: _cut_by(n, lambda rows: len(rows) * rows[0] > b),
        "the width of a batch is its longest row, not the one that came first. A later row may "
        "widen all of them.",
    ),
    "one row too many": (
        _one_over,
        "a batch is closed only when it is already too large. Ask before you add the row.",
    ),
    "a fixed number of rows": (
        _fixed,
        "every batch has the same number of rows. Then batches of short rows hold few tokens: let "
        "the number of rows depend on the width.",
    ),
    "last batch lost": (
        lambda n, b: _budgeted(n, b)[:-1],
        "the last batch is missing. What is left after the loop is a batch, too.",
    ),
}


@exercise(
    "5.3",
    "Batches within a budget",
    answer_name="budget_batches",
    difficulty=2,
    minutes=12,
    hints=(
        "keep a list for the batch you are filling, and ask before each row whether it still fits.",
        "with the new row it would take (rows + 1) * max(longest so far, length) positions.",
        "for n in lengths: if batch and (len(batch) + 1) * max([*batch, n]) > budget: close it.",
    ),
)
def check_budget_batches(answer: Callable[..., Any]) -> None:
    """Judges budget_batches(lengths, budget): the lengths in order, cut into batches."""
    judge(answer, _budgeted, _BUDGET_CASES, _BUDGET_MISTAKES, _rows)


# ---- 5.4 who may look at whom


def _square(lengths: Ids, sees: Callable[[int, int, bool], bool]) -> Groups:
    owner = [number for number, size in enumerate(lengths) for _ in range(size)]
    places = range(len(owner))
    return tuple(tuple(int(sees(t, s, owner[t] == owner[s])) for s in places) for t in places)


def _may_look(lengths: Ids) -> Groups:
    return _square(lengths, lambda t, s, same: same and s <= t)


_LOOK_CASES: list[Case] = [([3, 2],), ([2, 1, 3],), ([4],)]
_LOOK_MISTAKES: dict[str, Mistake] = {
    "neighbours seen": (
        lambda n: _square(n, lambda t, s, same: s <= t),
        "that is the usual causal mask: the second dialogue looks at the first. Both positions "
        "must belong to one dialogue.",
    ),
    "looks ahead": (
        lambda n: _square(n, lambda t, s, same: same),
        "each dialogue is by itself, but a token looks at those after it, and reads what it has "
        "to predict. Allow only s <= t.",
    ),
    "does not see itself": (
        lambda n: _square(n, lambda t, s, same: same and s < t),
        "a token must see itself, too: the diagonal is 1. A first token would see nothing.",
    ),
    "rows and columns swapped": (
        lambda n: _square(n, lambda t, s, same: same and s >= t),
        "rows and columns are swapped: row t says where token t may look, and that is back.",
    ),
    "neighbours only": (
        lambda n: _square(n, lambda t, s, same: not same and s <= t),
        "a token sees its neighbours and not its own dialogue: turn the comparison round.",
    ),
    "everything seen": (
        lambda n: _square(n, lambda t, s, same: True),
        "every token sees every other one.",
    ),
}


@exercise(
    "5.4",
    "Who may look at whom?",
    answer_name="may_look",
    difficulty=2,
    minutes=10,
    hints=(
        "first make a list that says for every position which dialogue it belongs to.",
        "for lengths [3, 2] that list is [0, 0, 0, 1, 1].",
        "row t, column s: owner[s] == owner[t] and s <= t.",
    ),
)
def check_may_look(answer: Callable[..., Any]) -> None:
    """Judges may_look(lengths): the (T, T) attention mask of one packed row."""
    judge(answer, _may_look, _LOOK_CASES, _LOOK_MISTAKES, _rows)


# ---- 5.5 best fit


def _fit(lengths: Ids, row_length: int, choose: Callable[..., Any], ordered: bool = True) -> Groups:
    """`choose` takes [(free tokens, number of the row)] of the rows with room."""
    rows: list[Ids] = []
    for length in sorted(lengths, reverse=True) if ordered else lengths:
        room = [(row_length - sum(row), i) for i, row in enumerate(rows)]
        fitting = [(free, i) for free, i in room if free >= length]
        if not fitting:
            rows.append([length])
            continue
        rows[choose(fitting)[1]].append(length)
    return _as_packed(rows)


def _as_packed(rows: Any) -> Groups:
    """One form for all: neither the order of rows nor that within a row matters."""
    return tuple(sorted(tuple(sorted(row, reverse=True)) for row in rows))


def _best_fit(lengths: Ids, row_length: int) -> Groups:
    return _fit(lengths, row_length, min)


def _next_fit(lengths: Ids, row_length: int) -> Groups:
    rows: list[Ids] = [[]]
    for length in sorted(lengths, reverse=True):
        if sum(rows[-1]) + length > row_length:
            rows.append([])
        rows[-1].append(length)
    return _as_packed(rows)


_FIT_CASES: list[Case] = [
    ([7, 6, 4, 3], 10),
    ([5, 5, 5, 5], 10),
    ([2, 3, 4, 5, 6, 7, 8], 11),
    ([60, 44, 40, 30, 16, 10], 100),
    ([9], 10),
    ([2, 4, 11, 3, 6, 6], 16),  # first fit needs a third row
    ([5, 2, 5, 8], 12),
]
_FIT_MISTAKES: dict[str, Mistake] = {
    "first fit": (
        lambda n, w: _fit(n, w, lambda fitting: min(fitting, key=lambda pair: pair[1])),
        "each dialogue goes into the first row that has room. Take the row in which it leaves "
        "the least room.",
    ),
    "not sorted": (
        lambda n, w: _fit(n, w, min, ordered=False),
        "the dialogues are placed in the order in which they come. Place the longest first: short "
        "ones fill the gaps.",
    ),
    "last row only": (
        _next_fit,
        "you look at the last row only. Look at every row that still has room.",
    ),
    "worst fit": (
        lambda n, w: _fit(n, w, max),
        "each dialogue goes into the emptiest row. Take the fullest one that has room.",
    ),
    "a row each": (
        lambda n, w: _as_packed([[length] for length in n]),
        "every dialogue has a row of its own: that is padding, not packing.",
    ),
    "rows not filled up": (
        lambda n, w: _best_fit(n, w - 1),
        "a row may be exactly full: sum(row) + length <= row_length.",
    ),
}


@exercise(
    "5.5",
    "Best fit",
    answer_name="best_fit",
    difficulty=3,
    minutes=15,
    hints=(
        "walk over sorted(lengths, reverse=True), and keep a list of rows.",
        "the rows with room are those with sum(row) + length <= row_length; if there is none, "
        "begin a new row.",
        "of the rows with room take max(fitting, key=sum): the fullest one.",
    ),
)
def check_best_fit(answer: Callable[..., Any]) -> None:
    """Judges best_fit(lengths, row_length): rows of lengths, packed best fit decreasing."""
    judge(answer, _best_fit, _FIT_CASES, _FIT_MISTAKES, lambda value: _as_packed(_rows(value)))
