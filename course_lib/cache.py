"""A key-value cache with room for what is to come, so that no step copies what is there.

`transformers`' dynamic cache makes all keys and values anew at each token, and a row that leaves
the batch costs another copy of all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer


class RoomyLayer(DynamicLayer):
    """One layer's keys and values, written into the room that was set aside for them.

    `keys` and `values` are views (rows, heads, length so far, head size) of it.
    """

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Sets the room aside once the shapes are known."""
        super().lazy_initialization(key_states, value_states)
        self._keys, self._values = (
            states.new_empty(*states.shape[:2], self.room, states.shape[3])
            for states in (key_states, value_states)
        )
        self.keys, self.values = self._keys[:, :, :0], self._values[:, :, :0]

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Appends (rows, heads, new, head size) states; returns all so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        rows, start = len(key_states), self.keys.shape[2]
        end = start + key_states.shape[2]
        self._keys[:rows, :, start:end] = key_states
        self._values[:rows, :, start:end] = value_states
        self.keys, self.values = self._keys[:rows, :, :end], self._values[:rows, :, :end]
        return self.keys, self.values

    def move_rows(self, source: Sequence[int], target: Sequence[int], rows: int) -> None:
        """Copies the rows `source` over the rows `target`, then keeps the first `rows`."""
        length = self.keys.shape[2]
        for states in (self._keys, self._values):
            for old, new in zip(source, target, strict=True):
                states[new, :, :length] = states[old, :, :length]
        self.keys, self.values = self._keys[:rows, :, :length], self._values[:rows, :, :length]


def roomy_cache(model: Any, room: int) -> DynamicCache:
    """A cache for `room` tokens; the model's own kind where a layer needs more than plain ones."""
    cache = DynamicCache(config=model.config)
    if all(type(layer) is DynamicLayer for layer in cache.layers):
        cache.layers = [RoomyLayer(room) for _ in cache.layers]
    return cache


def keep_rows(cache: DynamicCache, alive: Sequence[bool]) -> list[int]:
    """Drops the rows that are not alive; returns the others by number in their new order.

    As few rows move as can be: the last ones into the gaps.
    """
    count = sum(alive)
    gaps = [i for i in range(count) if not alive[i]]
    movers = [i for i in range(count, len(alive)) if alive[i]]
    order = list(range(count))
    for gap, mover in zip(gaps, movers, strict=True):
        order[gap] = mover
    if all(isinstance(layer, RoomyLayer) for layer in cache.layers):
        for layer in cache.layers:
            layer.move_rows(movers, gaps, count)
    else:
        cache.batch_select_indices(torch.tensor(order, device=cache.layers[0].device))
    return order
