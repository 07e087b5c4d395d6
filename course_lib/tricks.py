"""Training tricks, measured: one small set-up, every trick over the same three seeds.

A seed decides the order of the dialogues (and dropout, noise, random starts). Runs of one seed are
compared with each other, so what the order does to both drops out of the difference.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from course_lib.batching import Batch, PackedDialogues
from course_lib.chat_format import Encoded, encode_all, known_tokens
from course_lib.dialogue import Dialogue
from course_lib.losses import count_trained
from course_lib.metrics import held_out_loss
from course_lib.norms import as_in_training
from course_lib.training import SCHEDULES, History, TrainConfig, learning_rate_at, train

SEEDS = (0, 1, 2)
ROW_LENGTH, ROWS, STEPS, WARMUP = 128, 4, 40, 8
# The 97.5% points of Student's t distribution, by degrees of freedom: half of a 95% interval.
T_95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}


@dataclass(frozen=True, slots=True)
class Effect:
    """What a trick changes: one difference a seed, their mean and its 95% interval (Student's t).

    Negative is less loss. Source of the interval: Student (1908), The probable error of a mean.
    """

    differences: tuple[float, ...]

    @property
    def value(self) -> float:
        return statistics.mean(self.differences)

    @property
    def interval(self) -> tuple[float, float]:
        count = len(self.differences)
        half = T_95[count - 1] * statistics.stdev(self.differences) / math.sqrt(count)
        return self.value - half, self.value + half

    @property
    def verdict(self) -> str:
        """Which way the loss goes, or that three seeds cannot tell."""
        low, high = self.interval
        return "lower loss" if high < 0 else "higher loss" if low > 0 else "within the noise"

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:+.3f} ({low:+.3f} to {high:+.3f}) {self.verdict}"


def effect(base: Sequence[float], tried: Sequence[float]) -> Effect:
    """The paired effect of a trick: losses of the same seeds without it and with it.

    Raises ValueError unless there are 2 to 10 seeds, the same number in both.
    """
    if len(base) != len(tried) or not 2 <= len(base) <= len(T_95) + 1:
        raise ValueError(
            f"{len(base)} losses without and {len(tried)} with the trick: give 2 to "
            f"{len(T_95) + 1} seeds, the same ones in both"
        )
    return Effect(tuple(b - a for a, b in zip(base, tried, strict=True)))


@dataclass(slots=True)
class Trial:
    """One run: its held-out loss, its records, and the model where it was asked for."""

    seed: int
    loss: float
    history: History
    model: Any = None


def losses(trials: Sequence[Trial]) -> list[float]:
    """The held-out loss of every trial, in the order of the seeds."""
    return [trial.loss for trial in trials]


def best_and_last(trial: Trial) -> tuple[int, float, float]:
    """Of a run evaluated on its way: step and value of the least held-out loss, and the last."""
    seen = trial.history.values("eval_loss")
    step, least = min(seen, key=lambda pair: pair[1])
    return step, least, seen[-1][1]


@dataclass(slots=True)
class Bench:
    """The small set-up: a prepared start, dialogues to learn from and others to measure on.

    Every run works on a copy of `start`. Rows are packed, `rows` of `row_length` tokens a batch.
    """

    start: Any
    tokenizer: Any
    learn: list[Encoded]
    held_out: list[Encoded]
    config: TrainConfig
    row_length: int = ROW_LENGTH
    rows: int = ROWS
    trials: dict[str, list[Trial]] = field(default_factory=dict)
    options: dict[str, dict[str, Any]] = field(default_factory=dict)  # of `run`, by name

    def data(self, seed: int = 0, rows: int | None = None) -> PackedDialogues:
        """The dialogues to learn from, in the order of a seed."""
        pad = self.tokenizer.pad_token_id
        return PackedDialogues(self.learn, pad, self.row_length, rows or self.rows, seed)

    def evaluate(self, model: Any) -> dict[str, float]:
        return held_out_loss(model, self.held_out, self.tokenizer.pad_token_id)

    def evaluate_by_own_batch(self, model: Any, rows: int) -> float:
        """The held-out loss with BatchNorm as in training: statistics of `rows` dialogues."""
        pad = self.tokenizer.pad_token_id
        return held_out_loss(as_in_training(model), self.held_out, pad, rows)["eval_loss"]

    def run(
        self,
        seed: int = 0,
        make: Callable[[int], Any] | None = None,
        data_for: Callable[[int], Any] | None = None,
        keep: bool = False,
        **changes: Any,
    ) -> Trial:
        """One run with some settings of `TrainConfig` changed.

        `make(seed)` gives another start, `data_for(seed)` other data. With `eval_every` the
        held-out loss stands in the records.
        """
        model, history = self._train(seed, make, data_for, changes)
        loss = self.evaluate(model)["eval_loss"]
        return Trial(seed, loss, history, model if keep else None)

    def _train(
        self,
        seed: int,
        make: Callable[[int], Any] | None,
        data_for: Callable[[int], Any] | None,
        changes: dict[str, Any],
    ) -> tuple[Any, History]:
        model = make(seed) if make else deepcopy(self.start)
        config = replace(self.config, seed=seed, **changes)
        watch = self.evaluate if config.eval_every else None
        data = data_for(seed) if data_for else self.data(seed)
        return model, train(model, data, config, evaluate=watch)

    def try_out(self, name: str, seeds: Sequence[int] = SEEDS, **options: Any) -> list[Trial]:
        """The same run once a seed; kept under its name, so that sections can share runs.

        `options` are those of `run`. Prints the name when it is done.
        """
        if name not in self.trials:
            self.trials[name] = [self.run(seed, **options) for seed in seeds]
            self.options[name] = options
            print(f"{name}: {len(seeds)} runs")
        return self.trials[name]

    def step_times(self, *names: str, steps: int = 10, rounds: int = 3) -> dict[str, float]:
        """Milliseconds that a step of each name's runs takes: the least median of some rounds.

        Short runs in turns, measured anew: other programs take their share of the cores at one
        time and not at another, so runs that lie minutes apart cannot be compared.
        """
        least = dict.fromkeys(names, math.inf)
        for name in list(names) * rounds:
            changes = dict(self.options[name])
            make, data_for = changes.pop("make", None), changes.pop("data_for", None)
            changes.pop("keep", None)
            changes |= {"max_steps": steps, "warmup_steps": 0, "eval_every": 0, "patience": 0}
            _, history = self._train(0, make, data_for, changes)
            median = statistics.median(record["seconds"] for record in history.records)
            least[name] = min(least[name], 1000 * median)
        return least

    def effect(self, name: str, base: str = "baseline") -> Effect:
        """The paired effect of one set of runs against another."""
        return effect(losses(self.trials[base]), losses(self.trials[name]))

    def effects(self, *names: str, base: str = "baseline") -> dict[str, Effect]:
        """The paired effects of several sets of runs against one."""
        return {name: self.effect(name, base) for name in names}

    def records(self, *names: str) -> dict[str, list[list[dict[str, Any]]]]:
        """The records of every run of each name: what the plots draw."""
        return {name: [trial.history.records for trial in self.trials[name]] for name in names}


def make_bench(
    start: Any,
    tokenizer: Any,
    learn: Sequence[Dialogue],
    held_out: Sequence[Dialogue],
    **settings: Any,
) -> Bench:
    """A bench on those of the dialogues that fit into one row; the known embeddings are held.

    `settings` are changes of `TrainConfig`. Raises ValueError when no dialogue fits.
    """
    config = TrainConfig(
        max_steps=STEPS,
        warmup_steps=WARMUP,
        frozen_tokens=known_tokens(tokenizer),
        weight_decay=0.0,
    )
    known, measured = _fitting(learn, tokenizer), _fitting(held_out, tokenizer)
    return Bench(start, tokenizer, known, measured, replace(config, **settings))


def _fitting(dialogues: Sequence[Dialogue], tokenizer: Any) -> list[Encoded]:
    rows = [row for row in encode_all(dialogues, tokenizer) if len(row) <= ROW_LENGTH]
    if not rows:
        raise ValueError(f"no dialogue fits into {ROW_LENGTH} tokens; give shorter ones")
    return rows


def schedule_curves(config: TrainConfig, steps: int) -> dict[str, list[float]]:
    """The learning rate of every step under each schedule, with the config's peak and warm-up."""
    configs = {name: replace(config, schedule=name) for name in SCHEDULES}
    return {
        name: [learning_rate_at(step, steps, changed) for step in range(steps)]
        for name, changed in configs.items()
    }


# ---- a planted spike


@dataclass(frozen=True, slots=True)
class Spiked:
    """Training data of which one batch, number `at` from 0, is garbage: random ids, all trained."""

    data: Any
    at: int
    vocabulary: int

    def __len__(self) -> int:
        return len(self.data)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        for place, batch in enumerate(self.data.epoch(number, start), start):
            spoilt = number == 0 and place == self.at
            yield garbage(batch, self.vocabulary) if spoilt else batch

    def ids_of(self, epoch: int, index: int) -> list[str]:
        found: list[str] = self.data.ids_of(epoch, index)
        return found


def garbage(batch: Batch, vocabulary: int, seed: int = 0) -> Batch:
    """The batch with a random id at every position, and all of them trained."""
    generator = torch.Generator().manual_seed(seed)
    shape = batch["input_ids"].shape
    ids = torch.randint(vocabulary, shape, generator=generator)
    return {**batch, "input_ids": ids, "labels": ids.clone()}


# ---- accumulation


def split(batch: Batch, parts: int) -> list[Batch]:
    """The rows of a batch in so many micro-batches."""
    names = list(batch)
    pieces = zip(*(batch[name].chunk(parts) for name in names), strict=True)
    return [dict(zip(names, piece, strict=True)) for piece in pieces]


def gradient(model: Any, parts: Sequence[Batch], loss: Callable[..., Any]) -> torch.Tensor:
    """All gradients of one step over micro-batches, in one long vector; the model stays as it was.

    `loss(model, batch, num_tokens)` gets the number of trained tokens of the whole step.
    """
    copy = deepcopy(model).train()
    tokens = sum(count_trained(part) for part in parts)
    for part in parts:
        loss(copy, part, tokens).backward()
    trained = (weight.grad for weight in copy.parameters() if weight.grad is not None)
    return torch.cat([grad.flatten() for grad in trained])


def relative_distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """How far `one` is from `other`, as a share of the length of `other`."""
    return float((one - other).norm() / other.norm())


def summary_rows(effects: Mapping[str, Effect]) -> list[list[str]]:
    """Rows of a table: the trick, its mean effect, the interval, what can be said."""
    return [
        [name, f"{e.value:+.3f}", "{:+.3f} to {:+.3f}".format(*e.interval), e.verdict]
        for name, e in effects.items()
    ]
