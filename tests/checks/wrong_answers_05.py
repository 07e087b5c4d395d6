"""Typical wrong answers to the exercises of chapter 05: (function, the diagnosis it must get)."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

Ids = list[int]
Mask = list[bool]
Table = list[list[int]]

# ---- 5.1


def with_labels(ids: Ids, mask: Mask) -> Ids:
    return [token if on else -100 for token, on in zip(ids, mask, strict=True)]


def drops_the_last(ids: Ids, mask: Mask) -> Ids:
    return with_labels(ids, mask)[:-1]


def looks_back(ids: Ids, mask: Mask) -> Ids:
    return [-100, *with_labels(ids, mask)][:-2]


def late_mask(ids: Ids, mask: Mask) -> Ids:
    return [ids[t + 1] if mask[t] else -100 for t in range(len(ids) - 1)]


def early_mask(ids: Ids, mask: Mask) -> Ids:
    return [ids[t] if mask[t + 1] else -100 for t in range(len(ids) - 1)]


def all_targets(ids: Ids, mask: Mask) -> Ids:
    return ids[1:]


def turned_mask(ids: Ids, mask: Mask) -> Ids:
    return [-100 if mask[t + 1] else ids[t + 1] for t in range(len(ids) - 1)]


def without_gaps(ids: Ids, mask: Mask) -> Ids:
    return [ids[t + 1] for t in range(len(ids) - 1) if mask[t + 1]]


def zeros_for_gaps(ids: Ids, mask: Mask) -> Ids:
    return [ids[t + 1] if mask[t + 1] else 0 for t in range(len(ids) - 1)]


def their_number(ids: Ids, mask: Mask) -> int:
    return sum(mask)


# ---- 5.2


def padded(rows: Table, pad_id: int, width: int) -> tuple[Table, Table]:
    ids = [row[:width] + [pad_id] * (width - len(row)) for row in rows]
    return ids, [[1] * min(len(row), width) + [0] * (width - len(row)) for row in rows]


def looks_for_the_id(rows: Table, pad_id: int) -> Any:
    ids, _ = padded(rows, pad_id, max(map(len, rows)))
    return ids, [[int(token != pad_id) for token in row] for row in ids]


def on_the_left(rows: Table, pad_id: int) -> Any:
    width = max(map(len, rows))
    return (
        [[pad_id] * (width - len(row)) + row for row in rows],
        [[0] * (width - len(row)) + [1] * len(row) for row in rows],
    )


def to_the_shortest(rows: Table, pad_id: int) -> Any:
    return padded(rows, pad_id, min(map(len, rows)))


def marks_padding(rows: Table, pad_id: int) -> Any:
    ids, there = padded(rows, pad_id, max(map(len, rows)))
    return ids, [[1 - on for on in row] for row in there]


def ones(rows: Table, pad_id: int) -> Any:
    ids, there = padded(rows, pad_id, max(map(len, rows)))
    return ids, [[1] * len(row) for row in there]


def one_more(rows: Table, pad_id: int) -> Any:
    return padded(rows, pad_id, max(map(len, rows)) + 1)


def to_sixteen(rows: Table, pad_id: int) -> Any:
    return padded(rows, pad_id, 16)


def ids_alone(rows: Table, pad_id: int) -> Any:
    return padded(rows, pad_id, max(map(len, rows)))[0]


# ---- 5.3


def cut_when(lengths: Ids, full: Any) -> Table:
    batches: Table = []
    batch: Ids = []
    for length in lengths:
        if batch and full([*batch, length]):
            batches.append(batch)
            batch = []
        batch.append(length)
    return [*batches, batch]


def adds_up(lengths: Ids, budget: int) -> Table:
    return cut_when(lengths, lambda rows: sum(rows) > budget)


def keeps_one_free(lengths: Ids, budget: int) -> Table:
    return cut_when(lengths, lambda rows: len(rows) * max(rows) >= budget)


def by_the_last(lengths: Ids, budget: int) -> Table:
    return cut_when(lengths, lambda rows: len(rows) * rows[-1] > budget)


def by_the_first(lengths: Ids, budget: int) -> Table:
    return cut_when(lengths, lambda rows: len(rows) * rows[0] > budget)


def asks_too_late(lengths: Ids, budget: int) -> Table:
    return cut_when(lengths, lambda rows: (len(rows) - 1) * max(rows[:-1]) > budget)


def same_number(lengths: Ids, budget: int) -> Table:
    rows = max(1, budget // max(lengths))
    return [lengths[at : at + rows] for at in range(0, len(lengths), rows)]


def forgets_the_rest(lengths: Ids, budget: int) -> Table:
    return cut_when(lengths, lambda rows: len(rows) * max(rows) > budget)[:-1]


def sorts_down(lengths: Ids, budget: int) -> Table:
    return cut_when(
        sorted(lengths, reverse=True), lambda rows: len(rows) * max(rows) > budget
    )  # fmt: skip


def their_sizes(lengths: Ids, budget: int) -> Any:
    return [len(rows) for rows in cut_when(lengths, lambda r: len(r) * max(r) > budget)]


# ---- 5.4


def grid(lengths: Ids, sees: Any) -> Table:
    owner = [number for number, size in enumerate(lengths) for _ in range(size)]
    return [[int(sees(t, s, owner)) for s in range(len(owner))] for t in range(len(owner))]


def causal(lengths: Ids) -> Table:
    return grid(lengths, lambda t, s, owner: s <= t)


def blocks(lengths: Ids) -> Table:
    return grid(lengths, lambda t, s, owner: owner[s] == owner[t])


def strictly_before(lengths: Ids) -> Table:
    return grid(lengths, lambda t, s, owner: owner[s] == owner[t] and s < t)


def transposed(lengths: Ids) -> Table:
    return grid(lengths, lambda s, t, owner: owner[s] == owner[t] and s <= t)


def the_others(lengths: Ids) -> Table:
    return grid(lengths, lambda t, s, owner: owner[s] != owner[t] and s <= t)


def anything(lengths: Ids) -> Table:
    return grid(lengths, lambda t, s, owner: True)


def first_of_each(lengths: Ids) -> Table:
    starts = [0, *accumulate(lengths)]
    return grid(lengths, lambda t, s, owner: s in starts and s <= t)


def a_number(lengths: Ids) -> int:
    return sum(size * (size + 1) // 2 for size in lengths)


# ---- 5.5


def fit(lengths: Ids, row_length: int, key: Any) -> Table:
    rows: Table = []
    for length in lengths:
        fitting = [row for row in rows if sum(row) + length <= row_length]
        if fitting:
            key(fitting).append(length)
        else:
            rows.append([length])
    return rows


def falling(lengths: Ids) -> Ids:
    return sorted(lengths, reverse=True)


def the_first(lengths: Ids, row_length: int) -> Table:
    return fit(falling(lengths), row_length, lambda rows: rows[0])


def as_they_come(lengths: Ids, row_length: int) -> Table:
    return fit(lengths, row_length, lambda rows: max(rows, key=sum))


def the_last_row(lengths: Ids, row_length: int) -> Table:
    rows: Table = [[]]
    for length in falling(lengths):
        if sum(rows[-1]) + length > row_length:
            rows.append([])
        rows[-1].append(length)
    return rows


def the_emptiest(lengths: Ids, row_length: int) -> Table:
    return fit(falling(lengths), row_length, lambda rows: min(rows, key=sum))


def alone(lengths: Ids, row_length: int) -> Table:
    return [[length] for length in lengths]


def never_quite_full(lengths: Ids, row_length: int) -> Table:
    return fit(falling(lengths), row_length - 1, lambda rows: max(rows, key=sum))


def all_in_one(lengths: Ids, row_length: int) -> Table:
    return [lengths]


def how_many_rows(lengths: Ids, row_length: int) -> int:
    return len(fit(falling(lengths), row_length, lambda rows: max(rows, key=sum)))


CHAPTER_05: dict[str, list[tuple[Any, str]]] = {
    "5.1": [
        (with_labels, "labels, not targets"),
        (drops_the_last, "not shifted"),
        (looks_back, "shifted the wrong way"),
        (late_mask, "mask one late"),
        (early_mask, "ids not shifted"),
        (all_targets, "everything trained"),
        (turned_mask, "mask the wrong way round"),
        (without_gaps, "gaps closed"),
        (zeros_for_gaps, "differs"),
        (their_number, "wrong shape"),
    ],
    "5.2": [
        (looks_for_the_id, "found by the id"),
        (on_the_left, "filled on the left"),
        (to_the_shortest, "cut to the shortest"),
        (marks_padding, "attention the wrong way round"),
        (ones, "nothing is padding"),
        (one_more, "one too wide"),
        (to_sixteen, "differs"),
        (ids_alone, "wrong shape"),
    ],
    "5.3": [
        (adds_up, "padding not counted"),
        (keeps_one_free, "budget never used up"),
        (by_the_last, "width of the last row"),
        (by_the_first, "width of the first row"),
        (asks_too_late, "one row too many"),
        (same_number, "a fixed number of rows"),
        (forgets_the_rest, "last batch lost"),
        (sorts_down, "differs"),
        (their_sizes, "wrong shape"),
    ],
    "5.4": [
        (causal, "neighbours seen"),
        (blocks, "looks ahead"),
        (strictly_before, "does not see itself"),
        (transposed, "rows and columns swapped"),
        (the_others, "neighbours only"),
        (anything, "everything seen"),
        (first_of_each, "differs"),
        (a_number, "wrong shape"),
    ],
    "5.5": [
        (the_first, "first fit"),
        (as_they_come, "not sorted"),
        (the_last_row, "last row only"),
        (the_emptiest, "worst fit"),
        (alone, "a row each"),
        (never_quite_full, "rows not filled up"),
        (all_in_one, "differs"),
        (how_many_rows, "wrong shape"),
    ],
}
