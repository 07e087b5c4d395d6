"""The rows of a batch while replies grow: prompts join, finished rows leave, the others go on.

A few long replies would otherwise hold up a batch that is nearly empty: here the next prompts
take the free places. Each row's reply is what it would be alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from course_lib.cache import is_roomy, roomy_cache

PREFILL_TOKENS = {"cpu": 512}  # a larger pass falls out of the processor's cache
PREFILL_TOKENS_ELSEWHERE = 32_768


class Rows:
    """Rows that end at one column, `end`, and begin at their `starts`; before that is padding."""

    def __init__(self, model: Any, pad_id: int, rows: int, room: int) -> None:
        self.model, self.pad_id, self.most, self.room = model, pad_id, rows, room
        self.numbers: list[int] = []
        self.starts = torch.zeros(0, dtype=torch.long, device=model.device)
        self.end = 0
        self.cache = roomy_cache(model, rows, room)
        self._joinable = is_roomy(self.cache)

    def places(self) -> int:
        """How many prompts may join now; none before half of the places are free."""
        used = len(self.numbers)
        if not used:
            return self.most
        return self.most - used if self._joinable and used <= self.most // 2 else 0

    def join(self, numbers: Sequence[int], prompts: Sequence[list[int]]) -> torch.Tensor:
        """Reads prompts, the shortest first, into new rows; (new rows, V) logits of their ends."""
        width = self.end - int(self.starts.min()) if self.numbers else 0
        self._end_at(max(width, max(len(prompt) for prompt in prompts)), width)
        if not self._joinable:
            return self._read_alone(numbers, prompts)
        found = []
        for start, stop in _chunks(prompts, _prefill_tokens(self.model)):
            found.append(self._read(prompts[start:stop]))
        self.numbers += numbers
        return torch.cat(found)

    def _end_at(self, end: int, width: int) -> None:
        """Moves the rows that are there so that they end at another column."""
        if self.numbers and end != self.end:
            for layer in self.cache.layers:
                layer.shift(len(self.numbers), width, end)  # type: ignore[union-attr]
            self.starts = self.starts + (end - self.end)
        self.end = end

    def _read(self, prompts: Sequence[list[int]]) -> torch.Tensor:
        """Reads a few prompts of like length in a pass of their own, then files their states."""
        ids, mask = (t.to(self.model.device) for t in left_padded(prompts, self.pad_id))
        piece = roomy_cache(self.model, *ids.shape)
        logits = self._forward(ids, mask, (mask.cumsum(1) - 1).clamp(min=0), piece)
        first = len(self.starts)
        for layer, read in zip(self.cache.layers, piece.layers, strict=True):
            if read.keys is not None:  # type: ignore[union-attr]  # a model may keep nothing
                layer.put(first, (read.keys, read.values), self.end)  # type: ignore[union-attr]
        self.starts = torch.cat([self.starts, self.end - mask.sum(1)])
        return logits

    def _read_alone(self, numbers: Sequence[int], prompts: Sequence[list[int]]) -> torch.Tensor:
        """For caches of other kinds: one pass, and nobody joins until all have left."""
        ids, mask = (t.to(self.model.device) for t in left_padded(prompts, self.pad_id))
        self.cache = roomy_cache(self.model, *ids.shape)
        self.numbers, self.starts = list(numbers), self.end - mask.sum(1)
        return self._forward(ids, mask, (mask.cumsum(1) - 1).clamp(min=0), self.cache)

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B,) tokens that the rows go on with -> (B, V) logits of what follows."""
        positions = self.end - self.starts[:, None]
        self.end += 1
        columns = torch.arange(self.end, device=self.starts.device)
        mask = (columns >= self.starts[:, None]).long()
        return self._forward(tokens[:, None], mask, positions, self.cache)

    def _forward(
        self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: Any
    ) -> torch.Tensor:
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    def keep(self, alive: Sequence[bool]) -> list[int]:
        """Drops the rows that are not alive; the old places of the others, in their new order.

        As few rows move as can be: the last ones into the gaps.
        """
        count = sum(alive)
        gaps = (i for i in range(count) if not alive[i])
        moves = [(i, next(gaps)) for i in range(count, len(alive)) if alive[i]]
        order = list(range(count))
        for old, new in moves:
            order[new] = old
        if self._joinable:
            for layer in self.cache.layers:
                layer.move_rows(moves, count)  # type: ignore[union-attr]
        elif count:
            self.cache.batch_select_indices(torch.tensor(order, device=self.starts.device))
        self.numbers = [self.numbers[i] for i in order]
        self.starts = self.starts[order]
        return order


def left_padded(prompts: Sequence[list[int]], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, T) ids and (B, T) mask, prompts flush right so that every row continues at its end."""
    width = max(len(prompt) for prompt in prompts)
    ids = [[pad_id] * (width - len(prompt)) + prompt for prompt in prompts]
    mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(ids), torch.tensor(mask)


def _prefill_tokens(model: Any) -> int:
    return PREFILL_TOKENS.get(model.device.type, PREFILL_TOKENS_ELSEWHERE)


def _chunks(prompts: Sequence[list[int]], most: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of neighbours whose padded batch holds at most so many tokens."""
    start, width = 0, 0
    for stop, prompt in enumerate(prompts):
        width = max(width, len(prompt))
        if stop > start and width * (stop + 1 - start) > most:
            yield start, stop
            start, width = stop, len(prompt)
    if len(prompts):
        yield start, len(prompts)
