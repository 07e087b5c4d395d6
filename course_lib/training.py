"""Training: one readable loop with warm-up, clipping, evaluation and exact resume.

`train(model, data, config)` takes any data with `epoch(n) -> batches` and a length: dialogues
(`batching.PackedDialogues`) as well as the plain text of pretraining (`world.pretrain`).
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import torch

from course_lib.batching import Batch
from course_lib.losses import count_trained, lm_loss
from course_lib.optimizers import OPTIMIZERS, make_optimizer, token_weights

Record = dict[str, Any]


class TrainingData(Protocol):
    """What `train` needs of its data."""

    def __len__(self) -> int: ...
    def epoch(self, number: int) -> Iterator[Batch]: ...


class TrainingDiverged(RuntimeError):
    """The loss or the gradient is no longer a number."""


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """How to train. Learning rate at its peak; `clip` is the greatest gradient norm let through.

    Token embeddings with an id below `frozen_tokens` stay as they are. With tied weights and Adam,
    tokens that the data never mentions would drift a full step each time, and with them what the
    model knows of the things they name.
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

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule {self.schedule!r}: choose from {', '.join(SCHEDULES)}")
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer {self.optimizer!r}: choose from {', '.join(OPTIMIZERS)}")
        if self.precision not in ("auto", "fp32", "bf16"):
            raise ValueError(f"precision {self.precision!r}: choose from auto, fp32, bf16")
        if self.accumulation < 1 or self.learning_rate <= 0 or self.clip <= 0:
            raise ValueError("accumulation, learning_rate and clip must be positive")


@dataclass(slots=True)
class History:
    """What a run left behind: one record a step, and the seconds it took."""

    records: list[Record] = field(default_factory=list)
    seconds: float = 0.0

    def values(self, name: str) -> list[tuple[int, float]]:
        """(step, value) of every record that has `name`."""
        return [(record["step"], record[name]) for record in self.records if name in record]


def _linear(progress: float) -> float:
    return 1.0 - progress


def _cosine(progress: float) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def _constant(progress: float) -> float:
    return 1.0


SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": _constant,
    "linear": _linear,
    "cosine": _cosine,
}


def learning_rate_at(step: int, total_steps: int, config: TrainConfig) -> float:
    """Learning rate of optimiser step `step` (from 0): straight up in warm-up, then the schedule.

    Equal to `transformers.get_scheduler` with the same name, warm-up and number of steps.
    """
    if step < config.warmup_steps:
        return config.learning_rate * step / max(1, config.warmup_steps)
    rest = max(1, total_steps - config.warmup_steps)
    progress = min(1.0, (step - config.warmup_steps) / rest)
    return config.learning_rate * SCHEDULES[config.schedule](progress)


def train(
    model: Any,
    data: TrainingData,
    config: TrainConfig,
    evaluate: Callable[[Any], dict[str, float]] | None = None,
    on_record: Callable[[Record], None] | None = None,
) -> History:
    """Trains `model` in place and returns the history.

    Each record holds step, loss (nats per trained token), lr, grad_norm, tokens, seconds; every
    `eval_every` steps and at the end also what `evaluate(model)` returns. With `checkpoint` set,
    an interrupted run goes on from its last checkpoint and ends in the same weights. Raises
    TrainingDiverged when the loss is no longer a number.
    """
    total = total_steps(data, config)
    optimizer = optimizer_for(model, config)
    history = History()
    done = _resume(config, model, optimizer, history)
    autocast = autocast_for(model, config.precision)
    model.train()
    for step, batches in enumerate(islice(_steps(data, config), done, total), start=done):
        started = time.perf_counter()
        set_learning_rate(optimizer, learning_rate_at(step, total, config))
        record = _optimizer_step(model, optimizer, batches, config, autocast, step)
        record["seconds"] = time.perf_counter() - started
        last = step + 1 == total
        if evaluate and (last or (config.eval_every and (step + 1) % config.eval_every == 0)):
            record |= evaluate(model)
            model.train()
        history.seconds += time.perf_counter() - started
        history.records.append(record)
        _tell(record, config, on_record)
        if config.checkpoint and (last or (step + 1) % config.checkpoint_every == 0):
            save_checkpoint(config.checkpoint, model, optimizer, history, step + 1, config)
    model.eval()
    return history


def total_steps(data: TrainingData, config: TrainConfig) -> int:
    """Optimiser steps of the whole run."""
    if config.max_steps is not None:
        return config.max_steps
    return max(1, math.ceil(config.epochs * len(data) / config.accumulation))


def _steps(data: TrainingData, config: TrainConfig) -> Iterator[list[Batch]]:
    """Micro-batches of each optimiser step, epoch after epoch, without end."""
    waiting: list[Batch] = []
    epoch = 0
    while True:
        for batch in data.epoch(epoch):
            waiting.append(batch)
            if len(waiting) == config.accumulation:
                yield waiting
                waiting = []
        epoch += 1


def _optimizer_step(
    model: Any,
    optimizer: torch.optim.Optimizer,
    batches: list[Batch],
    config: TrainConfig,
    autocast: AbstractContextManager[Any],
    step: int,
) -> Record:
    tokens = sum(count_trained(batch) for batch in batches)  # over the step: no mean of means
    loss = 0.0
    for batch in batches:
        with autocast:
            part = lm_loss(model, to_device(batch, model.device), num_tokens=tokens)
        part.backward()
        loss += part.item()
    _hold_embeddings(model, config.frozen_tokens)
    norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip))
    if not math.isfinite(loss) or not math.isfinite(norm):
        raise TrainingDiverged(
            f"step {step + 1}: loss {loss}, gradient norm {norm}. Lower learning_rate "
            f"(now {config.learning_rate}), lengthen the warm-up, or go back to a checkpoint"
        )
    rate = optimizer.param_groups[0]["lr"]
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return {"step": step + 1, "loss": loss, "lr": rate, "grad_norm": norm, "tokens": tokens}


def optimizer_for(model: Any, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimiser that `config` names, over the model's trainable parameters."""
    return make_optimizer(
        model, config.optimizer, config.learning_rate, config.weight_decay, config.frozen_tokens > 0
    )


def _hold_embeddings(model: Any, count: int) -> None:
    """Takes the gradient off the first `count` rows of the embedding and of the output layer."""
    for weight in token_weights(model):
        if count and weight.grad is not None:
            weight.grad[:count] = 0.0


def _tell(record: Record, config: TrainConfig, on_record: Callable[[Record], None] | None) -> None:
    if config.log:
        with Path(config.log).open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
    if on_record:
        on_record(record)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def to_device(batch: Batch, device: torch.device) -> Batch:
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


def autocast_for(model: Any, precision: str = "auto") -> AbstractContextManager[Any]:
    """bf16 autocast where it is asked for, or where "auto" measures it to be faster."""
    kind = model.device.type
    if precision == "auto":
        precision = "bf16" if bf16_is_fast(kind) else "fp32"
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(kind, dtype=torch.bfloat16)


def bf16_is_fast(kind: str) -> bool:
    """Measures it: a matrix product in bf16 beside one in fp32 (a flag would not tell)."""
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return kind == "cpu" and 1.3 * _product_seconds(torch.bfloat16) < _product_seconds(torch.float)


def _product_seconds(dtype: torch.dtype) -> float:
    a, b = torch.ones(1024, 512, dtype=dtype), torch.ones(512, 512, dtype=dtype)
    best = math.inf
    for _ in range(5):
        started = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - started)
    return best


def save_checkpoint(
    path: str | Path,
    model: Any,
    optimizer: torch.optim.Optimizer,
    history: History,
    step: int,
    config: TrainConfig,
) -> None:
    """Writes weights, optimiser and history aside, syncs, then renames: never half a file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "records": history.records,
        "seconds": history.seconds,
        "step": step,
        "rng": torch.get_rng_state(),
        "config": _what_decides(config),
    }
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with aside.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _what_decides(config: TrainConfig) -> Record:
    """The settings that must not change between a run and its resumption."""
    places = ("checkpoint", "checkpoint_every", "log", "eval_every")
    return {name: value for name, value in asdict(config).items() if name not in places}


def _resume(
    config: TrainConfig, model: Any, optimizer: torch.optim.Optimizer, history: History
) -> int:
    """Loads the checkpoint if there is one; returns the number of steps already done."""
    if not config.checkpoint or not Path(config.checkpoint).exists():
        torch.manual_seed(config.seed)
        return 0
    state = torch.load(config.checkpoint, map_location=model.device, weights_only=True)
    changed = [k for k, v in _what_decides(config).items() if state["config"].get(k) != v]
    if changed:
        raise ValueError(
            f"{config.checkpoint} was written with other settings ({', '.join(changed)}); "
            "use them again, or delete the file to start anew"
        )
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    history.records, history.seconds = state["records"], state["seconds"]
    torch.set_rng_state(state["rng"].cpu())
    return int(state["step"])
