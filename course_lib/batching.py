"""From rendered dialogues to tensors: truncate, pad, pack, and count what is wasted.

A batch is a dict that any Hugging Face causal model takes: `input_ids`, `position_ids` (B, T),
`attention_mask` (B, T) when padded or (B, 1, T, T) when packed, and `labels` (B, T), which are the
ids where a token is trained and -100 elsewhere. The shift by one belongs to the loss.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch

from course_lib.chat_format import Encoded

IGNORE = -100

Batch = dict[str, torch.Tensor]


@dataclass(slots=True)
class Truncation:
    """What truncation did: dialogues shortened, dialogues set aside (by id, with the reason)."""

    kept: int = 0
    shortened: int = 0
    tokens_cut: int = 0
    trained_tokens_cut: int = 0
    set_aside: list[tuple[str, str]] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.kept} kept ({self.shortened} shortened by {self.tokens_cut} tokens, "
            f"{self.trained_tokens_cut} of them trained), {len(self.set_aside)} set aside"
        )


def truncate_all(encoded: Iterable[Encoded], max_length: int) -> tuple[list[Encoded], Truncation]:
    """Fits each dialogue into `max_length` tokens; sets aside what then has nothing to train."""
    kept, report = [], Truncation()
    for dialogue in encoded:
        short = truncate(dialogue, max_length)
        reason = _unusable(dialogue, short, max_length)
        if short is None or reason:
            report.set_aside.append((dialogue.dialogue_id, reason))
            continue
        kept.append(short)
        report.kept += 1
        report.shortened += len(short) < len(dialogue)
        report.tokens_cut += len(dialogue) - len(short)
        report.trained_tokens_cut += sum(dialogue.mask) - sum(short.mask)
    return kept, report


def _unusable(dialogue: Encoded, short: Encoded | None, max_length: int) -> str:
    if not any(dialogue.mask):
        return "no trained token: it has no assistant reply to learn from"
    if short is None:
        return f"its last reply alone is longer than {max_length} tokens"
    return ""


def truncate(encoded: Encoded, max_length: int) -> Encoded | None:
    """Drops the oldest turns until the dialogue fits; never cuts a reply; None if none fits.

    When the last trained reply and the turn before it are still too long, the context before the
    reply is cut from its left. What stands before the first turn (BOS) stays.
    """
    if len(encoded) <= max_length:
        return encoded
    head = encoded.turns[0][0] if encoded.turns else 0
    answers = [i for i, turn in enumerate(encoded.turns) if any(encoded.mask[slice(*turn)])]
    if not answers:
        return None
    last_start = encoded.turns[answers[-1]][0]
    end = encoded.turns[answers[-1]][1]  # what follows the last trained reply teaches nothing
    starts = [start for start, _ in encoded.turns[: answers[-1]]]
    fitting = [start for start in starts if head + end - start <= max_length]
    start = fitting[0] if fitting else end - (max_length - head)
    if start > last_start:
        return None
    return _slice(encoded, head, start, end)


def _slice(encoded: Encoded, head: int, start: int, end: int) -> Encoded:
    shift = start - head
    inside = [(a, b) for a, b in encoded.turns if b > start and b <= end]
    mask = list(encoded.mask)
    for a, b in inside:
        if a < start:  # a turn that lost its beginning is context, never an answer
            mask[a:b] = [False] * (b - a)
    return Encoded(
        encoded.ids[:head] + encoded.ids[start:end],
        mask[:head] + mask[start:end],
        encoded.dialogue_id,
        [(max(a, start) - shift, b - shift) for a, b in inside],
    )


def _labels(encoded: Encoded) -> list[int]:
    return [
        token if trained else IGNORE
        for token, trained in zip(encoded.ids, encoded.mask, strict=True)
    ]


def pad_batch(dialogues: Sequence[Encoded], pad_id: int, length: int | None = None) -> Batch:
    """One dialogue a row, filled on the right to the longest (or to `length`) with `pad_id`.

    Padding is never trained, also when `pad_id` is the end token: labels come from the mask.
    """
    width = length or max(len(dialogue) for dialogue in dialogues)
    longest = max(dialogues, key=len)
    if len(longest) > width:
        raise ValueError(
            f"dialogue {longest.dialogue_id!r} has {len(longest)} tokens, more than the {width} "
            "of the batch; call truncate_all first"
        )
    shape = (len(dialogues), width)
    batch = {
        "input_ids": torch.full(shape, pad_id),
        "labels": torch.full(shape, IGNORE),
        "attention_mask": torch.zeros(shape, dtype=torch.long),
        "position_ids": torch.arange(width).expand(shape).contiguous(),
    }
    for row, dialogue in enumerate(dialogues):
        size = len(dialogue)
        batch["input_ids"][row, :size] = torch.tensor(dialogue.ids)
        batch["labels"][row, :size] = torch.tensor(_labels(dialogue))
        batch["attention_mask"][row, :size] = 1
    return batch


def pack(dialogues: Sequence[Encoded], row_length: int) -> list[list[Encoded]]:
    """Fills rows of `row_length` tokens with whole dialogues, best fit first, longest first."""
    rows: list[list[Encoded]] = []
    by_room: dict[int, list[int]] = {}  # free tokens -> rows that have just so many
    for dialogue in sorted(dialogues, key=len, reverse=True):
        size = len(dialogue)
        if size > row_length:
            raise ValueError(
                f"dialogue {dialogue.dialogue_id!r} has {size} tokens, more than the row length "
                f"{row_length}; call truncate_all first"
            )
        room = next((free for free in range(size, row_length + 1) if by_room.get(free)), None)
        if room is None:
            rows.append([])
            row, room = len(rows) - 1, row_length
        else:
            row = by_room[room].pop()
        rows[row].append(dialogue)
        by_room.setdefault(room - size, []).append(row)
    return rows


def collate_packed(rows: Sequence[Sequence[Encoded]], pad_id: int, row_length: int) -> Batch:
    """Packed rows as a batch in which no dialogue sees its neighbour.

    `attention_mask` is (B, 1, T, T) bool, True = may look: causal and within one dialogue;
    `position_ids` restart at 0 with every dialogue.
    """
    shape = (len(rows), row_length)
    ids, labels = torch.full(shape, pad_id), torch.full(shape, IGNORE)
    owner, positions = torch.full(shape, -1), torch.zeros(shape, dtype=torch.long)
    for row, dialogues in enumerate(rows):
        start = 0
        for number, dialogue in enumerate(dialogues):
            span = slice(start, start + len(dialogue))
            ids[row, span] = torch.tensor(dialogue.ids)
            labels[row, span] = torch.tensor(_labels(dialogue))
            owner[row, span] = number
            positions[row, span] = torch.arange(len(dialogue))
            start += len(dialogue)
    mask = block_causal_mask(owner)
    return {
        "input_ids": ids,
        "labels": labels,
        "attention_mask": mask,
        "position_ids": positions,
    }


def block_causal_mask(owner: torch.Tensor) -> torch.Tensor:
    """(B, T) dialogue number of each position -> (B, 1, T, T) bool, True = may look."""
    width = owner.shape[-1]
    same = owner[:, :, None] == owner[:, None, :]  # padding (-1) sees padding: no empty softmax row
    causal = torch.ones(width, width, dtype=torch.bool).tril()
    return (same & causal).unsqueeze(1)


@dataclass(frozen=True, slots=True)
class PackedDialogues:
    """Training data: `epoch(n)` yields packed batches in an order that only seed and n decide.

    `len()` is the number of batches in epoch 0 (packing may need one more or fewer in others).
    """

    dialogues: Sequence[Encoded]
    pad_id: int
    row_length: int = 256
    rows_per_batch: int = 4
    seed: int = 0

    def __len__(self) -> int:
        return -(-len(self.rows(0)) // self.rows_per_batch)

    def rows(self, epoch: int) -> list[list[Encoded]]:
        """Shuffles, packs in groups of about 64 rows (so rows differ by epoch), shuffles rows."""
        rng = random.Random(f"{self.seed}/{epoch}")
        order = list(self.dialogues)
        rng.shuffle(order)
        groups = _groups(order, 64 * self.row_length)
        rows = [row for group in groups for row in pack(group, self.row_length)]
        rng.shuffle(rows)
        return rows

    def epoch(self, number: int) -> Iterator[Batch]:
        rows = self.rows(number)
        for start in range(0, len(rows), self.rows_per_batch):
            chosen = rows[start : start + self.rows_per_batch]
            yield collate_packed(chosen, self.pad_id, self.row_length)


def _groups(dialogues: Sequence[Encoded], tokens: int) -> Iterator[list[Encoded]]:
    group: list[Encoded] = []
    size = 0
    for dialogue in dialogues:
        group.append(dialogue)
        size += len(dialogue)
        if size >= tokens:
            yield group
            group, size = [], 0
    if group:
        yield group


def padded_batches(
    dialogues: Sequence[Encoded], rows_per_batch: int, pad_id: int, by_length: bool = True
) -> Iterator[Batch]:
    """Padded batches in a fixed order, for evaluation; `by_length` wastes fewer positions."""
    order = sorted(dialogues, key=len) if by_length else list(dialogues)
    for start in range(0, len(order), rows_per_batch):
        yield pad_batch(order[start : start + rows_per_batch], pad_id)


def trained_ids(batch: Batch) -> list[int]:
    """The ids that a batch trains, row by row: what the mask's equality is asserted on."""
    labels = batch["labels"]
    return labels[labels != IGNORE].tolist()


def wasted_share(dialogues: Sequence[Encoded], positions: int) -> float:
    """Share of `positions` (rows times row length) that hold no token of a dialogue."""
    return 1.0 - sum(len(dialogue) for dialogue in dialogues) / positions
