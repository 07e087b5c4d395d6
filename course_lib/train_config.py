"""How to train: one frozen dataclass, checked when it is made, that shows what it changes."""

from __future__ import annotations

from dataclasses import dataclass, fields

from course_lib.losses import LossConfig
from course_lib.optimizers import OPTIMIZERS
from course_lib.precision import PRECISIONS
from course_lib.schedules import SCHEDULES

_CHOICES = {"schedule": tuple(SCHEDULES), "optimizer": OPTIMIZERS, "precision": PRECISIONS}


@dataclass(frozen=True, slots=True, repr=False)
class TrainConfig:
    """How to train; it shows itself as a table of what differs from the defaults.

    `learning_rate` is the peak; `clip` the greatest gradient norm let through; `decay_share` the
    share of all steps that "wsd" spends on its decay.

    Token embeddings with an id below `frozen_tokens` stay as they are. With tied weights and Adam,
    tokens that the data never mentions would drift a full step each time, and with them what the
    model knows of the things they name.

    With `patience` training stops after so many evaluations without a gain in `watch` of more than
    `min_delta`, and the model gets its best weights back. `dropout` None leaves the model's own.
    `log` is a JSONL file of records; a run that starts anew replaces it.
    """

    epochs: float = 1.0
    max_steps: int | None = None
    learning_rate: float = 1e-3
    optimizer: str = "adamw"
    warmup_steps: int = 20
    schedule: str = "cosine"
    weight_decay: float = 0.01
    clip: float = 1.0
    accumulation: int = 1
    frozen_tokens: int = 0
    eval_every: int = 0
    precision: str = "auto"
    seed: int = 0
    checkpoint: str | None = None
    checkpoint_every: int = 100
    log: str | None = None
    decay_share: float = 0.2
    loss: LossConfig = LossConfig()
    patience: int = 0
    watch: str = "eval_loss"
    min_delta: float = 0.0
    higher_is_better: bool = False
    dropout: float | None = None
    neftune_alpha: float = 0.0
    gradient_checkpointing: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} {getattr(self, name)!r}: choose from {', '.join(known)}")
        if self.accumulation < 1 or self.learning_rate <= 0 or self.clip <= 0:
            raise ValueError("accumulation, learning_rate and clip must be positive")
        if self.checkpoint_every < 1 or (self.max_steps is not None and self.max_steps < 1):
            raise ValueError("max_steps and checkpoint_every must be at least 1")
        if not 0 <= self.decay_share <= 1 or not 0 <= (self.dropout or 0) < 1:
            raise ValueError("decay_share is a share from 0 to 1, dropout one below 1")
        small = ("warmup_steps", "weight_decay", "eval_every", "patience", "neftune_alpha")
        if negative := [name for name in small if getattr(self, name) < 0]:
            raise ValueError(f"{', '.join(negative)} must not be negative")
        if self.patience and not self.eval_every:
            raise ValueError("patience counts evaluations: set eval_every to a number of steps")

    def __repr__(self) -> str:
        changed = [f for f in fields(self) if getattr(self, f.name) != f.default]
        rows = [(f.name, str(getattr(self, f.name)), str(f.default)) for f in changed]
        if not rows:
            return "TrainConfig: all as by default"
        rows.insert(0, ("TrainConfig", "value", "by default"))
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        return "\n".join(f"{name:<{widths[0]}}  {v:<{widths[1]}}  {d}" for name, v, d in rows)
