"""One change at a time: runs that differ from a baseline in one setting, and what chance can do.

A bench trains small runs on the same base model, asks every model the same questions and writes
each run into the experiment table. It refuses a run that changes two settings at once.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from itertools import takewhile
from typing import Any

import numpy as np

from course_lib.chat_format import known_tokens
from course_lib.dialogue import Dialogue
from course_lib.errors import ActReader, Case, Names, answer_cases, judge_replies
from course_lib.experiments import (
    Comparison,
    Experiment,
    ExperimentLog,
    Outcome,
    changed,
    fingerprint,
    outcome,
    weights_hash,
)
from course_lib.journey import tune
from course_lib.metrics import FactQuestion, exact_facts, states_fact
from course_lib.models import blend, merge_lora, weights_of, with_lora
from course_lib.training import Record, TrainConfig
from course_lib.transfer import config_from, new_model

KINDS_OF_DATA = ("any", "facts", "orders")
_TOLD = {"facts": {"inform"}, "orders": {"confirm", "notify"}}  # what the agent does in them


@dataclass(frozen=True, slots=True)
class Setup:
    """The settings of one run; the defaults are the baseline.

    `dialogues`: how many; `data`: "any", or only those in which the agent tells "facts" or settles
    "orders".
    `layers`: how many of the base model's are kept, from below (None: all). `parts`: "all", "top 2"
    (the last two layers) or "lora 8" (adapters of rank 8). `share`: how far the weights go from the
    base (0) to the tuned model (1).
    """

    dialogues: int = 1000
    data: str = "any"
    layers: int | None = None
    parts: str = "all"
    learning_rate: float = 7e-4
    steps: int = 120
    share: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.data not in KINDS_OF_DATA:
            raise ValueError(f"data {self.data!r}: choose from {', '.join(KINDS_OF_DATA)}")
        kind, _, size = self.parts.partition(" ")
        if self.parts != "all" and not (kind in ("top", "lora") and size.isdigit()):
            raise ValueError(f'parts {self.parts!r}: give "all", "top 2" or "lora 8"')
        if not 0 <= self.share <= 1:
            raise ValueError(f"share {self.share}: from 0 (the base) to 1 (the tuned model)")


BASELINE = Setup()


# ---- what to choose by, and what to test with


def halves(dialogues: Iterable[Dialogue]) -> tuple[list[Dialogue], list[Dialogue]]:
    """Dialogues for choosing and for the one test at the end, parted by the product they are about.

    Every other product goes to the test. Dialogues that name products of both halves, or none, are
    left out: they would tell on the test while one chooses.
    """
    named = [(dialogue, _products(dialogue)) for dialogue in dialogues]
    order = sorted(set().union(*(products for _, products in named)))
    kept_back = set(order[1::2])
    choosing = [d for d, products in named if products and not products & kept_back]
    testing = [d for d, products in named if products and products <= kept_back]
    return choosing, testing


def _products(dialogue: Dialogue) -> set[str]:
    entities = (entity for message in dialogue.messages for entity in message.entities)
    return {entity.value for entity in entities if entity.slot == "product"}


# ---- what can be changed


def data_for(dialogues: Sequence[Dialogue], setup: Setup) -> list[Dialogue]:
    """The first so many of one seeded order of the dialogues of this kind: sizes are nested.

    Raises ValueError when there are too few.
    """
    order = list(dialogues)
    random.Random(0).shuffle(order)
    fitting = [d for d in order if setup.data == "any" or agents_acts(d) & _TOLD[setup.data]]
    if not 0 < setup.dialogues <= len(fitting):
        raise ValueError(f"{setup.dialogues} dialogues of kind {setup.data}: 1 to {len(fitting)}")
    return fitting[: setup.dialogues]


def agents_acts(dialogue: Dialogue) -> set[str]:
    """Everything that the agent does in a dialogue, such as "inform" or "confirm"."""
    turns = (message for message in dialogue.messages if message.role == "assistant")
    return {str(act) for message in turns for act, _ in message.acts}


def fewer_layers(model: Any, keep: int) -> Any:
    """Keeps the first `keep` layers of a GPT-2, in place: the last ones know the least alone.

    The final norm and the output layer then read what layer `keep` writes, which they never did
    before; training has to bring the two together. Raises ValueError for another number of layers.
    """
    layers = model.transformer.h
    if not 1 <= keep <= len(layers):
        raise ValueError(f"{keep} layers: the model has {len(layers)}, so keep 1 to {len(layers)}")
    model.transformer.h = layers[:keep]
    model.config.n_layer = keep
    return model


def train_top(model: Any, count: int) -> Any:
    """Freezes a GPT-2 but for its last `count` layers, final norm and embedding, in place."""
    layers = model.transformer.h
    if not 1 <= count <= len(layers):
        raise ValueError(f"top {count}: the model has {len(layers)} layers")
    model.requires_grad_(False)
    for part in (*layers[-count:], model.transformer.ln_f, model.get_input_embeddings()):
        part.requires_grad_(True)
    return model


# ---- measures

Measure = Callable[[Any, Any], Outcome]


def fact_measure(questions: Sequence[FactQuestion]) -> Measure:
    """Measures exact facts: 1 for a reply that states the right value and no rival, else 0."""

    def measure(model: Any, tokenizer: Any) -> Outcome:
        _, replies = exact_facts(model, tokenizer, questions)
        right = [states_fact(r, q) for r, q in zip(replies, questions, strict=True)]
        return outcome(right, [q.dialogue_id for q in questions], questions)

    return measure


def reply_measure(cases: Sequence[Case], reader: ActReader, names: Names) -> Measure:
    """Measures right replies: 1 for a reply in which `errors.kind_of` finds nothing wrong."""

    def measure(model: Any, tokenizer: Any) -> Outcome:
        replies, ended = answer_cases(model, tokenizer, cases)
        table = judge_replies(cases, replies, reader, names, ended)
        right = [row.is_right for row in table.rows]
        return outcome(right, [case.dialogue_id for case in cases], cases)

    return measure


def with_wrong_labels(
    questions: Sequence[FactQuestion], share: float, seed: int = 0
) -> list[FactQuestion]:
    """The questions, a share of them with another value of the slot marked as the right one."""
    wrong = set(random.Random(seed).sample(range(len(questions)), round(share * len(questions))))
    return [_mislabelled(q) if i in wrong else q for i, q in enumerate(questions)]


def _mislabelled(question: FactQuestion) -> FactQuestion:
    (slot, value), *others = question.required
    rival = min(question.rivals, default=f"not {value}")
    rivals = question.rivals - {rival} | {" ".join(value.casefold().split())}
    return replace(question, required=((slot, rival), *others), rivals=frozenset(rivals))


# ---- runs


@dataclass(slots=True)
class Bench:
    """Dialogues to learn from, measures to choose by, and the table that every run goes into.

    `models` holds the tuned models by the name of their run.
    """

    dialogues: Sequence[Dialogue]
    measures: Mapping[str, Measure]
    log: ExperimentLog
    baseline: Setup = BASELINE
    models: dict[str, Any] = field(default_factory=dict)
    tokenizer: Any = None
    _tuned: dict[Setup, tuple[Any, TrainConfig, float]] = field(default_factory=dict)

    def run(
        self,
        name: str,
        note: str = "",
        on_record: Callable[[Record], None] | None = None,
        **changes: Any,
    ) -> Experiment:
        """Trains with one setting changed, takes every measure and adds the run to the table.

        Raises ValueError for two changes at once: nobody could say which of them did it.
        """
        if len(changes) > 1:
            raise ValueError(f"{' and '.join(changes)} at once: change one thing at a time")
        setup = replace(self.baseline, **changes)
        model, config, seconds = self._trained(setup, on_record)
        self.models[name] = model
        experiment = Experiment(
            name,
            {**asdict(setup), **_differences(config)},
            fingerprint(data_for(self.dialogues, setup)),
            weights_hash(new_model("base")[0]),
            seconds,
            {what: measure(model, self.tokenizer) for what, measure in self.measures.items()},
            note,
        )
        return self.log.add(experiment)

    def _trained(
        self, setup: Setup, on_record: Callable[[Record], None] | None
    ) -> tuple[Any, TrainConfig, float]:
        """The model of a setup; one that differs in `share` alone is blended from the same run."""
        whole = replace(setup, share=1.0)
        if whole not in self._tuned:
            self._tuned[whole] = self._train(whole, on_record)
        model, config, seconds = self._tuned[whole]
        if setup.share < 1:
            model = blend(deepcopy(model), weights_of(new_model("base")[0]), setup.share)
        return model, config, seconds

    def _train(
        self, setup: Setup, on_record: Callable[[Record], None] | None
    ) -> tuple[Any, TrainConfig, float]:
        model, self.tokenizer = new_model("base")
        config = _config(self.tokenizer, setup)
        model, started = _prepared(model, self.tokenizer, setup), time.perf_counter()
        tune(model, self.tokenizer, data_for(self.dialogues, setup), config, on_record, _silent)
        seconds = time.perf_counter() - started
        model = merge_lora(model) if setup.parts.startswith("lora") else model
        return model.requires_grad_(True), config, seconds


def _config(tokenizer: Any, setup: Setup) -> TrainConfig:
    """The journey's recipe as the setup wants it; adapters leave the embedding frozen anyway."""
    config = config_from("base", tokenizer, setup.steps, setup.seed)
    held = 0 if setup.parts.startswith("lora") else config.frozen_tokens
    return replace(config, learning_rate=setup.learning_rate, frozen_tokens=held)


def _prepared(model: Any, tokenizer: Any, setup: Setup) -> Any:
    """The base model with as many layers as asked for, and only the asked parts trainable."""
    if setup.layers is not None:
        fewer_layers(model, setup.layers)
    kind, _, size = setup.parts.partition(" ")
    if kind == "top":
        return train_top(model, int(size))
    if kind == "lora":
        chat = range(known_tokens(tokenizer), len(tokenizer))
        return with_lora(model, int(size), 2.0 * int(size), tokens=chat)
    return model


def _differences(config: TrainConfig) -> dict[str, Any]:
    """What differs from the defaults of `TrainConfig`, but for what a `Setup` says itself."""
    said = (*Setup.__slots__, "max_steps")
    found = changed(_settings(TrainConfig()), _settings(config))
    return {name: new for name, (_, new) in found.items() if name not in said}


def _settings(config: TrainConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in TrainConfig.__slots__}


def _silent(text: str) -> None:
    """Nothing to tell: the shop's dialogues fit."""


# ---- what chance can do


def hold_together(comparisons: Sequence[Comparison], level: float = 0.05) -> list[str]:
    """Names of the changes that hold when all are judged together, the surest first.

    Not even one of them should be a false find. Source: Holm (1979), A simple sequentially
    rejective multiple test procedure.
    """
    order = sorted(comparisons, key=lambda found: found.p)
    held = takewhile(lambda pair: pair[1].p <= level / (len(order) - pair[0]), enumerate(order))
    return [found.new for _, found in held]


@dataclass(frozen=True, slots=True)
class NullRounds:
    """Rounds of changes that do nothing, measured as real ones are.

    `best` (R,): in each round the greatest gain on the questions one chooses by; `kept` (R,): the
    gain of that same change on as many fresh questions; `helped` (R,): how many changes of the
    round had an interval above 0.
    """

    best: np.ndarray
    kept: np.ndarray
    helped: np.ndarray

    @property
    def fooled(self) -> float:
        """The share of rounds with at least one change that seems to help."""
        return float((self.helped > 0).mean())


def null_rounds(
    rounds: int = 400,
    changes: int = 10,
    questions: int = 260,
    flips: float = 0.08,
    seed: int = 0,
) -> NullRounds:
    """Simulates changes that alter some answers, as often for the better as for the worse.

    Every change flips a share `flips` of the answers, each way with the same chance, both where one
    chooses and on fresh questions. The interval of a gain is the normal one, ± 1.96 standard errors
    of the paired steps.
    """
    rng = np.random.default_rng(seed)
    odds, size = [flips / 2, 1 - flips, flips / 2], (2, rounds, changes, questions)
    steps = rng.choice(np.array([-1.0, 0.0, 1.0]), p=odds, size=size)
    gains = steps.mean(-1)  # (2, R, C)
    errors = steps[0].std(-1, ddof=1) / np.sqrt(questions)
    place = gains[0].argmax(-1)[:, None]
    best, kept = (np.take_along_axis(g, place, 1)[:, 0] for g in gains)
    return NullRounds(best, kept, (gains[0] > 1.96 * errors).sum(-1))
