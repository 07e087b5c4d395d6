"""From rendered dialogues to tensors: pad, bucket, pack, and count what is wasted.

A batch is a dict that any Hugging Face causal model takes: `input_ids`, `position_ids` (B, T),
`attention_mask` (B, T) when padded or (B, 1, T, T) when packed, and `labels` (B, T), which are the
ids where a token is trained and -100 elsewhere. The shift by one belongs to the loss.

Training data are `PackedDialogues` or `PaddedDialogues`: batches of an epoch in an order that only
seed and epoch decide. What is too long is shortened before, by `truncate_all`.
"""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
import torch

from course_lib.chat_format import Encoded
from course_lib.truncation import (
    STRATEGIES,
    Truncation,
    has_loss,
    truncate,
    truncate_all,
)

__all__ = [
    "IGNORE",
    "STRATEGIES",
    "Batch",
    "BatchSize",
    "PackedDialogues",
    "PaddedDialogues",
    "Truncation",
    "block_causal_mask",
    "collate_packed",
    "has_loss",
    "pack",
    "pad_batch",
    "padded_batches",
    "trained_ids",
    "truncate",
    "truncate_all",
    "waste",
    "wasted_share",
]

IGNORE = -100
WEIGHTINGS = ("token", "dialogue")
ORDERS = ("random", "length")
POOL = 64  # rows or batches that are arranged together: large enough to fit, small enough to mix

Batch = dict[str, torch.Tensor]
Rows = list[list[int]]  # of each row, the numbers of its dialogues


# ---- dialogues end to end, so that filling a row is one copy a dialogue


@dataclass(frozen=True, slots=True)
class _Tokens:
    """`ids` and `trained` of all dialogues (N,); of each, start, length and trained tokens (D,)."""

    ids: np.ndarray
    trained: np.ndarray
    starts: list[int]
    lengths: list[int]
    counts: list[int]


def _tokens(dialogues: Sequence[Encoded]) -> _Tokens:
    _require_masks(dialogues)
    lengths = np.array([len(dialogue) for dialogue in dialogues], dtype=np.int64)
    ends, total = lengths.cumsum(), int(lengths.sum())
    ids = np.fromiter(chain.from_iterable(d.ids for d in dialogues), np.int32, total)
    trained = np.fromiter(chain.from_iterable(d.mask for d in dialogues), bool, total)
    # Nothing of its own dialogue stands before a first token. In a packed row the neighbour's
    # last token does, and must not learn to predict it.
    trained[(ends - lengths)[lengths > 0]] = False
    up_to = np.concatenate([[0], trained.cumsum()])
    counts = up_to[ends] - up_to[ends - lengths]
    return _Tokens(ids, trained, (ends - lengths).tolist(), lengths.tolist(), counts.tolist())


def _require_masks(dialogues: Sequence[Encoded]) -> None:
    for dialogue in dialogues:
        if len(dialogue.ids) != len(dialogue.mask):
            raise ValueError(
                f"dialogue {dialogue.dialogue_id!r} has {len(dialogue.ids)} ids, but "
                f"{len(dialogue.mask)} mask values; render it with chat_format.encode"
            )


def _require_room(dialogues: Sequence[Encoded], room: int, what: str) -> None:
    for dialogue in dialogues:
        if len(dialogue) > room:
            raise ValueError(
                f"dialogue {dialogue.dialogue_id!r} has {len(dialogue)} tokens, more than {what} "
                f"{room}; call truncate_all first"
            )


def _fill(tokens: _Tokens, rows: Rows, width: int, pad_id: int, weighted: bool) -> _Filled:
    """Dialogues into rows (B, T) from the left; `owner` is their number in the row, or -1."""
    filled = _Filled(len(rows), width, pad_id, weighted)
    for row, members in enumerate(rows):
        start = 0
        for number, dialogue in enumerate(members):
            size, first = tokens.lengths[dialogue], tokens.starts[dialogue]
            here, there = (row, slice(start, start + size)), slice(first, first + size)
            filled.ids[here] = ids = tokens.ids[there]
            filled.labels[here] = np.where(tokens.trained[there], ids, IGNORE)
            filled.positions[here] = filled.count[:size]
            filled.owner[here] = number
            if filled.weights is not None:
                filled.weights[here] = tokens.trained[there] / max(1, tokens.counts[dialogue])
            start += size
    return filled


class _Filled:
    """The arrays of a batch, (B, T), at first nothing but padding."""

    def __init__(self, rows: int, width: int, pad_id: int, weighted: bool) -> None:
        shape = (rows, width)
        self.count = np.arange(width)
        self.ids, self.labels = np.full(shape, pad_id), np.full(shape, IGNORE)
        self.owner, self.positions = np.full(shape, -1), np.zeros(shape, dtype=np.int64)
        self.weights = np.zeros(shape, dtype=np.float32) if weighted else None

    def batch(self, attention_mask: torch.Tensor, positions: torch.Tensor) -> Batch:
        batch = {
            "input_ids": torch.from_numpy(self.ids),
            "labels": torch.from_numpy(self.labels),
            "attention_mask": attention_mask,
            "position_ids": positions,
        }
        if self.weights is not None:
            batch["weights"] = torch.from_numpy(self.weights)
        return batch


# ---- padding


def pad_batch(dialogues: Sequence[Encoded], pad_id: int, length: int | None = None) -> Batch:
    """One dialogue a row, filled on the right to the longest (or to `length`) with `pad_id`.

    Padding is never trained, also when `pad_id` is the end token: labels come from the mask.
    """
    width = length or max(len(dialogue) for dialogue in dialogues)
    _require_room(dialogues, width, "the width of the batch,")
    return _padded(_tokens(dialogues), list(range(len(dialogues))), width, pad_id, False)


def _padded(
    tokens: _Tokens, members: Sequence[int], width: int, pad_id: int, weighted: bool
) -> Batch:
    filled = _fill(tokens, [[dialogue] for dialogue in members], width, pad_id, weighted)
    there = torch.from_numpy((filled.owner >= 0).astype(np.int64))
    positions = torch.arange(width).expand(there.shape).contiguous()
    return filled.batch(there, positions)


def padded_batches(
    dialogues: Sequence[Encoded], rows_per_batch: int, pad_id: int, by_length: bool = True
) -> Iterator[Batch]:
    """Padded batches in a fixed order, for evaluation; `by_length` wastes fewer positions."""
    order = sorted(dialogues, key=len) if by_length else list(dialogues)
    for start in range(0, len(order), rows_per_batch):
        yield pad_batch(order[start : start + rows_per_batch], pad_id)


# ---- packing


def pack(dialogues: Sequence[Encoded], row_length: int) -> list[list[Encoded]]:
    """Fills rows of `row_length` tokens with whole dialogues: the longest first, best fit.

    Each dialogue goes into the row where it leaves the least room ("best fit decreasing").
    """
    _require_room(dialogues, row_length, "the row length")
    rows = _best_fit([len(dialogue) for dialogue in dialogues], row_length)
    return [[dialogues[number] for number in row] for row in rows]


def _best_fit(lengths: Sequence[int], row_length: int) -> Rows:
    rows: Rows = []
    by_room: dict[int, list[int]] = {}  # free tokens -> rows that have just so many
    rooms: list[int] = []  # the keys of by_room that have a row, in order
    for number in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        size = lengths[number]
        place = bisect_left(rooms, size)
        if place == len(rooms):
            rows.append([])
            row, room = len(rows) - 1, row_length
        else:
            room = rooms[place]
            row = by_room[room].pop()
            if not by_room[room]:
                del by_room[room], rooms[place]
        rows[row].append(number)
        left = room - size
        if left not in by_room:
            by_room[left] = []
            insort(rooms, left)
        by_room[left].append(row)
    return rows


def collate_packed(rows: Sequence[Sequence[Encoded]], pad_id: int, row_length: int) -> Batch:
    """Packed rows as a batch in which no dialogue sees its neighbour.

    `attention_mask` is (B, 1, T, T) bool, True = may look: causal and within one dialogue;
    `position_ids` restart at 0 with every dialogue, whose first token is never trained.
    """
    for row in rows:
        if (size := sum(map(len, row))) > row_length:
            names = ", ".join(repr(dialogue.dialogue_id) for dialogue in row)
            raise ValueError(f"{names} have {size} tokens together, more than {row_length}")
    members, numbers = list(chain.from_iterable(rows)), iter(range(sum(map(len, rows))))
    chosen = [[next(numbers) for _ in row] for row in rows]
    return _packed(_tokens(members), chosen, row_length, pad_id, False)


def _packed(tokens: _Tokens, rows: Rows, width: int, pad_id: int, weighted: bool) -> Batch:
    filled = _fill(tokens, rows, width, pad_id, weighted)
    mask = block_causal_mask(torch.from_numpy(filled.owner))
    return filled.batch(mask, torch.from_numpy(filled.positions))


def block_causal_mask(owner: torch.Tensor) -> torch.Tensor:
    """(B, T) dialogue number of each position -> (B, 1, T, T) bool, True = may look."""
    numbers = owner.numpy().astype(np.int16)  # NumPy: small batches gain nothing from threads
    may_look = numbers[:, :, None] == numbers[:, None, :]  # padding sees padding: no empty row
    may_look &= np.tri(numbers.shape[-1], dtype=bool)
    return torch.from_numpy(may_look).unsqueeze(1)


# ---- training data


@dataclass(frozen=True, slots=True)
class BatchSize:
    """A batch in numbers: rows, width, tokens of dialogues in it, and how many are trained."""

    rows: int
    width: int
    tokens: int
    trained: int

    @property
    def positions(self) -> int:
        return self.rows * self.width


class _TrainingDialogues:
    """What packed and padded data have in common; a plan says which dialogues are in which row."""

    dialogues: Sequence[Encoded]
    pad_id: int
    seed: int
    weighting: str

    def plan(self, epoch: int) -> list[Rows]:
        """Of each batch the rows, of each row the numbers of its dialogues."""
        raise NotImplementedError

    def _collate(self, rows: Rows) -> Batch:
        raise NotImplementedError

    def _width(self, rows: Rows) -> int:
        raise NotImplementedError

    @cached_property
    def _tokens(self) -> _Tokens:
        return _tokens(self.dialogues)

    def __len__(self) -> int:
        return self.batches_in(0)

    def batches_in(self, epoch: int) -> int:
        """Number of batches of that epoch; packing may need one more or fewer in another."""
        return len(self.plan(epoch))

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from batch `start` on; the earlier ones are not built."""
        if start < 0:
            raise ValueError(f"start={start}: a batch's number is at least 0")
        for rows in self.plan(number)[start:]:
            yield self._collate(rows)

    def ids_of(self, epoch: int, index: int) -> list[str]:
        """Ids of the dialogues in that batch, for messages about it."""
        members = chain.from_iterable(self.plan(epoch)[index])
        return [self.dialogues[number].dialogue_id for number in members]

    def sizes(self, epoch: int = 0) -> list[BatchSize]:
        """Every batch of the epoch in numbers, without building it."""
        return [self._size(rows) for rows in self.plan(epoch)]

    def _size(self, rows: Rows) -> BatchSize:
        members = list(chain.from_iterable(rows))
        tokens = sum(self._tokens.lengths[number] for number in members)
        trained = sum(self._tokens.counts[number] for number in members)
        return BatchSize(len(rows), self._width(rows), tokens, trained)

    def _shuffled(self, epoch: int) -> tuple[random.Random, list[int]]:
        rng = random.Random(f"{self.seed}/{epoch}")
        order = list(range(len(self.dialogues)))
        rng.shuffle(order)
        return rng, order

    def _require_trainable(self) -> None:
        _require_one_of("weighting", self.weighting, WEIGHTINGS)
        if not self.dialogues:
            raise ValueError("no dialogue to train on; did truncate_all set all of them aside?")
        for dialogue in self.dialogues:
            if not has_loss(dialogue):
                raise ValueError(
                    f"dialogue {dialogue.dialogue_id!r} has no trained token, so that its loss "
                    "would be 0/0; truncate_all sets such dialogues aside"
                )


def _require_one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ValueError(f"{name}={value!r}: choose from {', '.join(allowed)}")


@dataclass(frozen=True)
class PackedDialogues(_TrainingDialogues):
    """Training data in packed rows of one length, several dialogues a row.

    `len()` is the number of batches in epoch 0. With weighting "dialogue" a batch also holds
    `weights` (B, T): 1 / (trained tokens of the dialogue) where a token is trained, 0 elsewhere.
    """

    dialogues: Sequence[Encoded]
    pad_id: int
    row_length: int = 256
    rows_per_batch: int = 4
    seed: int = 0
    weighting: str = "token"

    def __post_init__(self) -> None:
        self._require_trainable()
        _require_room(self.dialogues, self.row_length, "the row length")
        if self.rows_per_batch < 1:
            raise ValueError(f"rows_per_batch={self.rows_per_batch}: a batch needs a row")

    def plan(self, epoch: int) -> list[Rows]:
        """Shuffles, packs in pools of about 64 rows (so rows differ by epoch), shuffles rows."""
        rng, order = self._shuffled(epoch)
        lengths = self._tokens.lengths
        rows: Rows = []
        for pool in _pools(order, lengths, POOL * self.row_length):
            packed = _best_fit([lengths[number] for number in pool], self.row_length)
            rows += [[pool[place] for place in row] for row in packed]
        rng.shuffle(rows)
        starts = range(0, len(rows), self.rows_per_batch)
        return [rows[start : start + self.rows_per_batch] for start in starts]

    def rows(self, epoch: int) -> list[list[Encoded]]:
        """The epoch's rows in order, each with its dialogues."""
        rows = chain.from_iterable(self.plan(epoch))
        return [[self.dialogues[number] for number in row] for row in rows]

    def _collate(self, rows: Rows) -> Batch:
        weighted = self.weighting == "dialogue"
        return _packed(self._tokens, rows, self.row_length, self.pad_id, weighted)

    def _width(self, rows: Rows) -> int:
        return self.row_length


def _pools(order: Sequence[int], lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Cuts `order` into runs of dialogues that reach `tokens` tokens."""
    pool: list[int] = []
    size = 0
    for number in order:
        pool.append(number)
        size += lengths[number]
        if size >= tokens:
            yield pool
            pool, size = [], 0
    if pool:
        yield pool


@dataclass(frozen=True)
class PaddedDialogues(_TrainingDialogues):
    """Training data with one dialogue a row, each batch as wide as its longest dialogue.

    A batch holds `rows_per_batch` rows, or as many as keep rows times width within
    `tokens_per_batch`: give one of the two. With order "length" dialogues of like length come
    together, in batches of random order; with "random" they come as they are shuffled. The first
    wastes less; with a fixed number of rows its tokens a step swing, with a budget they do not.
    `weighting` as in `PackedDialogues`.
    """

    dialogues: Sequence[Encoded]
    pad_id: int
    rows_per_batch: int | None = None
    tokens_per_batch: int | None = None
    order: str = "random"
    seed: int = 0
    weighting: str = "token"

    def __post_init__(self) -> None:
        self._require_trainable()
        _require_one_of("order", self.order, ORDERS)
        sizes = [size for size in (self.rows_per_batch, self.tokens_per_batch) if size is not None]
        if len(sizes) != 1 or sizes[0] < 1:
            raise ValueError("give either rows_per_batch or tokens_per_batch, at least 1")
        if self.tokens_per_batch:
            _require_room(self.dialogues, self.tokens_per_batch, "the batch's budget of")

    def plan(self, epoch: int) -> list[Rows]:
        """Shuffled dialogues cut into batches; by length, if so ordered, within large pools."""
        rng, order = self._shuffled(epoch)
        batches = self._cut(order) if self.order == "random" else self._buckets(order)
        rng.shuffle(batches)  # no order of length from step to step
        return [[[number] for number in batch] for batch in batches]

    def _buckets(self, order: Sequence[int]) -> Rows:
        """Sorts pools of many batches by length; what a pool leaves over joins the next one."""
        batches: Rows = []
        left: list[int] = []
        for pool in self._pools(order):
            *full, left = self._cut(sorted(left + pool, key=self._tokens.lengths.__getitem__))
            batches += full
        return [*batches, left]

    def _pools(self, order: Sequence[int]) -> Iterable[list[int]]:
        if self.tokens_per_batch:
            return _pools(order, self._tokens.lengths, POOL * self.tokens_per_batch)
        size = POOL * (self.rows_per_batch or 1)
        return [list(order[start : start + size]) for start in range(0, len(order), size)]

    def _cut(self, order: Sequence[int]) -> Rows:
        batches: Rows = [[]]
        width = 0
        for number in order:
            width = max(width, self._tokens.lengths[number])
            if batches[-1] and self._too_large(len(batches[-1]) + 1, width):
                batches.append([])
                width = self._tokens.lengths[number]
            batches[-1].append(number)
        return batches

    def _too_large(self, rows: int, width: int) -> bool:
        if self.rows_per_batch:
            return rows > self.rows_per_batch
        return rows * width > (self.tokens_per_batch or 0)

    def _collate(self, rows: Rows) -> Batch:
        members, weighted = [row[0] for row in rows], self.weighting == "dialogue"
        return _padded(self._tokens, members, self._width(rows), self.pad_id, weighted)

    def _width(self, rows: Rows) -> int:
        return max(self._tokens.lengths[row[0]] for row in rows)


# ---- what a batch trains, and what it wastes


def trained_ids(batch: Batch) -> list[int]:
    """The ids that a batch trains, row by row: what the mask's equality is asserted on."""
    labels = batch["labels"]
    return labels[labels != IGNORE].tolist()


def wasted_share(dialogues: Sequence[Encoded], positions: int) -> float:
    """Share of `positions` (rows times row length) that hold no token of a dialogue."""
    return 1.0 - sum(len(dialogue) for dialogue in dialogues) / positions


def waste(data: PackedDialogues | PaddedDialogues, epoch: int = 0) -> float:
    """Share of an epoch's positions that hold no token of a dialogue: computed, and for nothing."""
    sizes = data.sizes(epoch)
    return 1.0 - sum(size.tokens for size in sizes) / sum(size.positions for size in sizes)
