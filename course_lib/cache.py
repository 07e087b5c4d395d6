"""A key-value cache with room for what is to come, so that no step copies what is there.

`transformers`' dynamic cache makes all keys and values anew at each token, and a row that leaves
the batch costs another copy of all others. Here rows end at one column, `length`, and begin
where their text does; what stands before that is masked.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer


class RoomyLayer(DynamicLayer):
    """One layer's keys and values, written into the room that was set aside for them.

    `keys` and `values` are views (rows, heads, length so far, head size) of it.
    """

    def __init__(self, rows: int, room: int) -> None:
        super().__init__()
        self.rows, self.room = rows, room
        self._states: tuple[torch.Tensor, ...] = ()  # all keys and all values, seen or not

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Appends (rows, heads, new, head size) states; returns all so far."""
        length = self.get_seq_length() + key_states.shape[2]
        self.put(0, (key_states, value_states), length)
        keys, values = (states[: len(key_states), :, :length] for states in self._states)
        return keys, values

    def put(self, row: int, states: tuple[torch.Tensor, ...], end: int) -> None:
        """Writes keys and values of some rows, from `row` on, so that they end at column `end`."""
        if not self._states and (len(states[0]), end) == (self.rows, self.room):
            self._states = states  # they fill the room: nothing need be copied
            self.dtype, self.device = states[0].dtype, states[0].device
            self.is_initialized = True
            self.show(self.rows, end)
            return
        if not self._states:
            # zeros: what is masked is multiplied by 0, and 0 times a stray NaN would be NaN
            shape = (self.rows, states[0].shape[1], self.room)
            self._states = tuple(s.new_zeros(*shape, s.shape[3]) for s in states)
            self.dtype, self.device = states[0].dtype, states[0].device
            self.is_initialized = True
        rows, start = row + len(states[0]), end - states[0].shape[2]
        for room, new in zip(self._states, states, strict=True):
            room[row:rows, :, start:end] = new
        self.show(rows, end)

    def show(self, rows: int, length: int) -> None:
        """Keeps the first `rows` rows and `length` columns in view."""
        if not self._states:
            return
        self.keys, self.values = (states[:rows, :, :length] for states in self._states)

    def shift(self, rows: int, width: int, end: int) -> None:
        """Moves the last `width` columns of the rows so that they end at column `end`."""
        old = self.get_seq_length()
        for states in self._states:
            states[:rows, :, end - width : end] = states[:rows, :, old - width : old].clone()
        self.show(rows, end)

    def move_rows(self, moves: list[tuple[int, int]], rows: int) -> None:
        """Copies row a over row b for each (a, b), then keeps the first `rows`."""
        length = self.get_seq_length()
        for states in self._states:
            for old, new in moves:
                states[new, :, :length] = states[old, :, :length]
        self.show(rows, length)


def roomy_cache(model: Any, rows: int, room: int) -> DynamicCache:
    """A cache for `rows` rows of `room` tokens.

    Of the model's own kind where a layer is more than plain keys and values (a sliding window).
    """
    cache = DynamicCache(config=model.config)
    if cache.layers and all(type(layer) is DynamicLayer for layer in cache.layers):
        cache.layers = [RoomyLayer(rows, room) for _ in cache.layers]
    return cache


def is_roomy(cache: DynamicCache) -> bool:
    """Whether rows may join a batch under way."""
    return bool(cache.layers) and all(isinstance(layer, RoomyLayer) for layer in cache.layers)
