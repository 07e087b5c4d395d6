"""Training: one readable loop with warm-up, clipping, evaluation and exact resume.

`train(model, data, config)` takes any data with `epoch(n) -> batches` and a length: dialogues
(`batching.PackedDialogues`) as well as the plain text of pretraining (`world.pretrain`). What the
loop calls stands beside it: `schedules`, `optimizers`, `precision`, `switches` (dropout, NEFTune,
compile), `stopping`, `checkpoints`, `interrupts`, `history`.
"""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch

from course_lib.batching import Batch
from course_lib.checkpoints import (
    load_checkpoint,
    random_state,
    save_checkpoint,
    set_random_state,
)
from course_lib.history import History, Record, append_record, read_records, start_log
from course_lib.interrupts import HeldInterrupts
from course_lib.losses import count_trained, lm_loss, step_normalizer
from course_lib.optimizers import make_optimizer, token_weights
from course_lib.precision import (
    autocast_for,
    loss_scaler,
    require_full_weights,
    resolve_precision,
)
from course_lib.schedules import SCHEDULES, rate_at
from course_lib.stopping import EarlyStopping
from course_lib.switches import switched_on
from course_lib.train_config import TrainConfig

__all__ = [
    "SCHEDULES",
    "History",
    "Record",
    "TrainConfig",
    "TrainingData",
    "TrainingDiverged",
    "TrainingInterrupted",
    "autocast_for",
    "learning_rate_at",
    "optimizer_for",
    "read_records",
    "set_learning_rate",
    "to_device",
    "total_steps",
    "train",
]


class TrainingData(Protocol):
    """What `train` needs of its data.

    Where it also has `epoch(number, start)`, a resumed run builds no batch twice; where it has
    `ids_of(epoch, index)`, a diverged run names the dialogues.
    """

    def __len__(self) -> int: ...
    def epoch(self, number: int) -> Iterator[Batch]: ...


class Place(NamedTuple):
    """Where a batch stands in the data: the epoch, and its number in it (both from 0)."""

    epoch: int = 0
    number: int = 0


class TrainingDiverged(RuntimeError):
    """The loss or the gradient is no longer a number; the weights are those before the step."""


class TrainingInterrupted(KeyboardInterrupt):
    """Somebody stopped the run after a whole step; the text says how to go on."""


# ---- the loop


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
    TrainingDiverged when the loss is no longer a number, TrainingInterrupted on Ctrl-C.
    """
    if config.patience and evaluate is None:
        raise ValueError("patience needs evaluate(model), which returns the measure to watch")
    total = total_steps(data, config)
    run = _Run(model, data, config)
    try:
        with switched_on(model, config), HeldInterrupts() as interrupts:
            for batches, place in islice(run.steps(), total - run.step):
                started, run.whole = time.perf_counter(), False
                set_learning_rate(run.optimizer, learning_rate_at(run.step, total, config))
                record = _optimizer_step(run, batches)
                record["seconds"] = time.perf_counter() - started
                last = run.step + 1 == total
                if evaluate and (last or _due(config.eval_every, run.step)):
                    record |= _evaluated(evaluate, model)
                    run.stopping.see(record, run.step + 1, model)
                    last = last or run.stopping.over
                run.finish_step(record, place, time.perf_counter() - started)
                if on_record:
                    on_record(record)
                if last or _due(config.checkpoint_every, run.step - 1):
                    run.save()
                if interrupts.asked:
                    raise KeyboardInterrupt
                if last:
                    break
    except KeyboardInterrupt:
        raise run.interrupted(total) from None
    return run.result()


def _optimizer_step(run: _Run, batches: list[tuple[Place, Batch]]) -> Record:
    """Forward and backward of each micro-batch, clipping, one update of the weights."""
    model, config = run.model, run.config
    parts = [batch for _, batch in batches]
    divisor = step_normalizer(parts)  # over the whole step: no mean of means
    loss = 0.0
    for place, batch in batches:
        with run.autocast:
            part = lm_loss(model, to_device(batch, model.device), divisor, config.loss)
        value = part.item()
        if not math.isfinite(value):
            raise run.diverged(f"loss {value}", [place])
        run.scaler.scale(part).backward()
        loss += value
    run.scaler.unscale_(run.optimizer)
    _hold_embeddings(model, config.frozen_tokens)
    norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip))
    if not math.isfinite(norm) and not run.can_rescale():
        raise run.diverged(f"loss {loss}, gradient norm {norm}", [place for place, _ in batches])
    rate = run.optimizer.param_groups[0]["lr"]
    run.scaler.step(run.optimizer)
    run.scaler.update()
    run.optimizer.zero_grad(set_to_none=True)
    tokens = sum(map(count_trained, parts))
    return {"step": run.step + 1, "loss": loss, "lr": rate, "grad_norm": norm, "tokens": tokens}


def _evaluated(evaluate: Callable[[Any], dict[str, float]], model: Any) -> dict[str, float]:
    """What `evaluate` measures, without dropout and noise; training mode again afterwards."""
    model.eval()
    measured = evaluate(model)
    model.train()
    return measured


def _due(every: int, step: int) -> bool:
    return every > 0 and (step + 1) % every == 0


# ---- what the loop stands on


class _Run:
    """All that a run is at one moment: what a checkpoint holds, and how to go on from it.

    `step` counts the finished optimiser steps, `place` is the next batch's; `whole` is False while
    the weights are neither those before a step nor those after it.
    """

    def __init__(self, model: Any, data: TrainingData, config: TrainConfig) -> None:
        require_full_weights(model)
        self.model, self.data, self.config = model, data, config
        self.step, self.place, self.whole = 0, Place(), True
        self.history = History()
        self.optimizer = optimizer_for(model, config)
        self.optimizer.zero_grad(set_to_none=True)  # a run that broke off may have left gradients
        self.stopping = EarlyStopping(
            config.watch, config.patience, config.min_delta, config.higher_is_better
        )
        saved = self._saved()
        self.precision = (saved or {}).get("precision") or resolve_precision(
            config.precision, model.device.type
        )
        self.autocast = autocast_for(model, self.precision)
        self.scaler = loss_scaler(self.precision, model.device.type)
        if saved is None:
            torch.manual_seed(config.seed)
        else:
            self._restore(saved)
        if config.log:
            start_log(config.log, self.history.records)

    def steps(self) -> Iterator[tuple[list[tuple[Place, Batch]], Place]]:
        """The micro-batches of each step still to do, and the place after them."""
        if not self.stopping.over:
            yield from _steps(self.data, self.config.accumulation, self.place)

    def finish_step(self, record: Record, place: Place, seconds: float) -> None:
        self.step, self.place, self.whole = self.step + 1, place, True
        self.history.seconds += seconds
        self.history.records.append(record)
        if self.config.log:
            append_record(self.config.log, record)

    def result(self) -> History:
        self.stopping.restore(self.model)
        self.history.best_step = self.stopping.best_step
        self.history.stopped_early = self.stopping.over
        return self.history

    def save(self) -> None:
        """Writes the checkpoint, where the config names a place for it."""
        if self.config.checkpoint:
            save_checkpoint(self.config.checkpoint, self.state())

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "stopping": self.stopping.state_dict(),
            "records": self.history.records,
            "seconds": self.history.seconds,
            "step": self.step,
            "place": list(self.place),
            "precision": self.precision,
            "random": random_state(),
            "config": _what_decides(self.config),
        }

    def _saved(self) -> dict[str, Any] | None:
        """The checkpoint to go on from; refuses one that other settings wrote."""
        path = self.config.checkpoint
        if not path or not Path(path).exists():
            return None
        state = load_checkpoint(path, self.model.device)
        now, then = _what_decides(self.config), state["config"]
        if changed := [k for k in now if then.get(k) != now[k]]:
            raise ValueError(
                f"{path} was written with other settings ({', '.join(changed)}); "
                "use them again, or delete the file to start anew"
            )
        return state

    def _restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.stopping.load_state_dict(state["stopping"])
        self.history.records, self.history.seconds = state["records"], state["seconds"]
        self.step, self.place = int(state["step"]), Place(*state["place"])
        set_random_state(state["random"])

    def can_rescale(self) -> bool:
        """Whether an infinite gradient may come from the scale of fp16: the step is left out."""
        return bool(self.scaler.is_enabled() and self.scaler.get_scale() > 1.0)

    def diverged(self, what: str, places: list[Place]) -> TrainingDiverged:
        where = "; ".join(self._named(place) for place in places)
        return TrainingDiverged(
            f"step {self.step + 1}: {what} in {where}. Lower learning_rate "
            f"(now {self.config.learning_rate}), lengthen the warm-up, look at these dialogues, "
            "or go back to a checkpoint"
        )

    def _named(self, place: Place) -> str:
        name = f"epoch {place.epoch}, batch {place.number}"
        ids_of = getattr(self.data, "ids_of", None)
        ids = list(ids_of(place.epoch, place.number)) if ids_of else []
        more = f" and {len(ids) - 12} more" if len(ids) > 12 else ""
        return f"{name} (dialogues {', '.join(ids[:12])}{more})" if ids else name

    def interrupted(self, total: int) -> TrainingInterrupted:
        """Saves what can be gone on from, and says how."""
        path, done = self.config.checkpoint, f"stopped after step {self.step} of {total}"
        if not self.whole:
            go_on = "in the middle of the next one: the model is no use, " + (
                f"but what {path} holds is; run the same call again"
                if path and Path(path).exists()
                else "load it anew"
            )
        elif path:
            self.save()
            go_on = f"and saved to {path}: run the same call again, and it goes on from there"
        else:
            go_on = "the model has these weights. Name a `checkpoint` in the config to go on later"
        return TrainingInterrupted(f"{done}, {go_on}")


def _what_decides(config: TrainConfig) -> Record:
    """The settings that must not change between a run and its resumption."""
    places = ["checkpoint", "checkpoint_every", "log"] + ["eval_every"] * (not config.patience)
    return {name: value for name, value in asdict(config).items() if name not in places}


def _steps(
    data: TrainingData, accumulation: int, place: Place
) -> Iterator[tuple[list[tuple[Place, Batch]], Place]]:
    """Micro-batches of each optimiser step from `place` on, epoch after epoch, without end."""
    waiting: list[tuple[Place, Batch]] = []
    epoch, index = place
    while True:
        for batch in _epoch_from(data, epoch, index):
            waiting.append((Place(epoch, index), batch))
            index += 1
            if len(waiting) == accumulation:
                yield waiting, Place(epoch, index)
                waiting = []
        if index == 0:
            raise ValueError(f"epoch {epoch} of the data has no batch; is the data empty?")
        epoch, index = epoch + 1, 0


def _epoch_from(data: TrainingData, number: int, start: int) -> Iterator[Batch]:
    if start == 0:
        return iter(data.epoch(number))
    if "start" in inspect.signature(data.epoch).parameters:
        return iter(data.epoch(number, start))  # type: ignore[call-arg]
    return islice(data.epoch(number), start, None)


def total_steps(data: TrainingData, config: TrainConfig) -> int:
    """Optimiser steps of the whole run."""
    if config.max_steps is not None:
        return config.max_steps
    return max(1, math.ceil(config.epochs * len(data) / config.accumulation))


def learning_rate_at(step: int, total_steps: int, config: TrainConfig) -> float:
    """Learning rate of optimiser step `step` (from 0): straight up in warm-up, then the schedule.

    Equal to `transformers.get_scheduler` with the same name, warm-up and number of steps.
    """
    decay = round(config.decay_share * total_steps)
    peak = config.learning_rate
    return rate_at(config.schedule, peak, step, total_steps, config.warmup_steps, decay)


def optimizer_for(model: Any, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimiser that `config` names, over the model's trainable parameters."""
    return make_optimizer(
        model, config.optimizer, config.learning_rate, config.weight_decay, config.frozen_tokens > 0
    )


def _hold_embeddings(model: Any, count: int) -> None:
    """Takes the gradient off the first `count` rows of the embedding and of the output layer."""
    for weight in token_weights(model) if count else ():
        if weight.grad is not None:
            weight.grad[:count] = 0.0


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def to_device(batch: Batch, device: torch.device) -> Batch:
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
