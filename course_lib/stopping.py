"""Early stopping: when to stop on an evaluation measure, and the best weights until then."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(slots=True)
class EarlyStopping:
    """Watches one measure; `over` after `patience` evaluations without a gain that counts.

    Any gain moves the best. Patience has a mark of its own: the best at the last gain of more than
    `min_delta`. Slow steady gains add up against that mark, where measured against the best each
    alone would be too small. With `patience` 0 it watches nothing and keeps no weights.
    """

    watch: str = "eval_loss"
    patience: int = 0
    min_delta: float = 0.0
    higher_is_better: bool = False
    best: float | None = None
    best_step: int | None = None
    counted: float | None = None
    waited: int = 0
    weights: dict[str, torch.Tensor] | None = None

    @property
    def over(self) -> bool:
        return 0 < self.patience <= self.waited

    def see(self, measures: dict[str, Any], step: int, model: Any) -> None:
        """Takes the evaluation after `step`; keeps a copy of the weights when it is the best.

        Raises KeyError that lists the measures when the watched one is not among them.
        """
        if not self.patience:
            return
        if self.watch not in measures:
            raise KeyError(
                f"early stopping watches {self.watch!r}, but evaluation returned "
                f"{', '.join(measures)}; set `watch` to one of these"
            )
        value = float(measures[self.watch])
        if self._gain(value, self.best) > 0:
            self.best, self.best_step, self.weights = value, step, _copy(model)
        if self._gain(value, self.counted) > self.min_delta:
            self.counted, self.waited = value, 0
        else:
            self.waited += 1

    def _gain(self, value: float, over: float | None) -> float:
        """How much better; a value that is no number is no gain."""
        if math.isnan(value):
            return -math.inf
        if over is None:
            return math.inf
        return value - over if self.higher_is_better else over - value

    def restore(self, model: Any) -> None:
        """Gives the model the best weights back, where any were kept."""
        if self.weights is not None:
            model.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        names = ("best", "best_step", "counted", "waited", "weights")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)


def _copy(model: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
