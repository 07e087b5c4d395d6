"""Transfer: what a start from pretraining is worth, and where an answer comes from.

Learning curves set the base model beside random weights on ever more dialogues. Invented products
and four groups of questions part what was read in pretraining from what was told in SFT.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product as pairs_of
from typing import Any

from course_lib.batching import truncate_all
from course_lib.chat_format import encode_all, known_tokens
from course_lib.dialogue import Dialogue, Entity, Message
from course_lib.generation import context_length
from course_lib.journey import RECIPE, tune
from course_lib.metrics import FactQuestion, exact_facts, fact_questions, held_out_loss, states_fact
from course_lib.models import (
    from_scratch,
    load_base,
    prepare_for_chat,
)
from course_lib.training import History, Record, TrainConfig
from course_lib.world.catalogue import Catalogue, Product

STARTS = ("base", "random")
STEPS = 120
ASKED = ("price", "weight", "colour")  # every kind of product has them, and few share a value
GROUPS = ("pretraining only", "both", "SFT only", "neither")


@dataclass(frozen=True, slots=True)
class Share:
    """So many right of so many asked, with its Wilson interval."""

    right: int
    asked: int

    @property
    def value(self) -> float:
        return self.right / self.asked

    @property
    def interval(self) -> tuple[float, float]:
        return wilson_interval(self.right, self.asked)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.2f} ({low:.2f} to {high:.2f})"


def wilson_interval(right: int, asked: int, z: float = 1.96) -> tuple[float, float]:
    """Score interval of a share (z = 1.96: 95%); never leaves 0 to 1, unlike p ± z·s.

    Source: Wilson (1927), Probable inference, the law of succession, and statistical inference.
    Raises ValueError unless 0 <= right <= asked and asked > 0.
    """
    if asked < 1 or not 0 <= right <= asked:
        raise ValueError(f"{right} right of {asked} asked is no share")
    p, square = right / asked, z * z
    middle = (p + square / (2 * asked)) / (1 + square / asked)
    spread = math.sqrt(p * (1 - p) / asked + square / (4 * asked * asked))
    half = z * spread / (1 + square / asked)
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return min(low, p), max(high, p)  # rounding must not leave the share outside


# ---- learning curves


@dataclass(slots=True)
class Run:
    """One model, fine-tuned from `start` on `dialogues` dialogues."""

    start: str
    dialogues: int
    model: Any
    tokenizer: Any
    history: History


@dataclass(slots=True)
class Point:
    """A run measured: loss on held-out dialogues, and the share of exact facts by test set."""

    run: Run
    loss: float
    facts: dict[str, Share]

    def to_dict(self) -> dict[str, Any]:
        facts = {
            name: {
                "share": round(share.value, 4),
                "interval": [round(x, 4) for x in share.interval],
            }
            for name, share in self.facts.items()
        }
        return {
            "start": self.run.start,
            "dialogues": self.run.dialogues,
            "steps": len(self.run.history.records),
            "seconds": round(self.run.history.seconds, 1),
            "loss": round(self.loss, 4),
            "facts": facts,
        }


def new_model(start: str, seed: int = 0) -> tuple[Any, Any]:
    """Model and tokenizer of a start ("base" or "random"), ready for chat."""
    if start not in STARTS:
        raise ValueError(f"start {start!r}: choose from {', '.join(STARTS)}")
    loaded = load_base() if start == "base" else from_scratch(seed=seed)
    return prepare_for_chat(*loaded)


def config_from(start: str, tokenizer: Any, steps: int, seed: int = 0) -> TrainConfig:
    """The journey's recipe for so many steps; the base keeps the embeddings of the words it knows.

    Random weights know none, so all of theirs must move.
    """
    held = known_tokens(tokenizer) if start == "base" else 0
    warmup = min(RECIPE.warmup_steps, max(1, steps // 5))
    return replace(RECIPE, max_steps=steps, warmup_steps=warmup, frozen_tokens=held, seed=seed)


def run_from(
    start: str,
    dialogues: Sequence[Dialogue],
    steps: int = STEPS,
    seed: int = 0,
    on_record: Callable[[Record], None] | None = None,
    share: float = 1.0,
) -> Run:
    """Fine-tunes a fresh model on the dialogues for `steps` optimiser steps.

    `share` as in `journey.tune`, for the base only: random weights have nothing to go back to.
    """
    model, tokenizer = new_model(start, seed)
    config = config_from(start, tokenizer, steps, seed)
    share = share if start == "base" else 1.0
    history = tune(model, tokenizer, dialogues, config, on_record, tell=_silent, share=share)
    return Run(start, len(dialogues), model, tokenizer, history)


def _silent(text: str) -> None:
    """Nothing to tell: the data are the shop's own, and they fit."""


def nested_subsets(
    dialogues: Sequence[Dialogue], sizes: Iterable[int], seed: int = 0
) -> dict[int, list[Dialogue]]:
    """The first so many of one shuffle: a larger set holds every smaller one.

    Raises ValueError when a size is larger than the data.
    """
    order = list(dialogues)
    random.Random(seed).shuffle(order)
    subsets = {}
    for size in sizes:
        if not 0 < size <= len(order):
            raise ValueError(f"{size} of {len(order)} dialogues: choose 1 to {len(order)}")
        subsets[size] = order[:size]
    return subsets


def measure_run(
    run: Run,
    questions: Mapping[str, Sequence[FactQuestion]],
    held_out: Sequence[Dialogue],
) -> Point:
    """Held-out loss, and exact facts on each named list of questions."""
    fitting, _ = truncate_all(encode_all(held_out, run.tokenizer), context_length(run.model))
    loss = held_out_loss(run.model, fitting, run.tokenizer.pad_token_id)["eval_loss"]
    facts = {name: ask(run.model, run.tokenizer, asked)[0] for name, asked in questions.items()}
    return Point(run, loss, facts)


def learning_curve(
    subsets: Mapping[int, Sequence[Dialogue]],
    questions: Mapping[str, Sequence[FactQuestion]],
    held_out: Sequence[Dialogue],
    steps: int = STEPS,
    starts: Sequence[str] = STARTS,
    seed: int = 0,
    on_point: Callable[[Point], None] | None = None,
    share: float = 1.0,
) -> list[Point]:
    """Every start on every subset, for the same number of steps each; `share` as in `run_from`."""
    points = []
    for start, dialogues in pairs_of(starts, subsets.values()):
        run = run_from(start, dialogues, steps, seed, share=share)
        point = measure_run(run, questions, held_out)
        points.append(point)
        if on_point:
            on_point(point)
    return points


def by_size(points: Iterable[Point], test: str | None = None) -> dict[str, dict[float, Any]]:
    """Of each start and size the share on `test`, or the held-out loss: what a plot draws."""
    curves: dict[str, dict[float, Any]] = {}
    for point in points:
        value = point.loss if test is None else point.facts[test]
        curves.setdefault(point.run.start, {})[point.run.dialogues] = value
    return curves


def curve_table(points: Sequence[Point]) -> str:
    """The points as aligned text, one a line."""
    names = list(points[0].facts)
    head = f"{'start':<8}{'dialogues':>10}{'steps':>7}{'seconds':>9}{'loss':>7}  "
    lines = [head + "".join(f"{name:<22}" for name in names)]
    for point in points:
        found = point.to_dict()
        lines.append(
            f"{found['start']:<8}{found['dialogues']:>10,}{found['steps']:>7,}"
            f"{found['seconds']:>9.1f}{found['loss']:>7.2f}  "
            + "".join(f"{point.facts[name]!s:<22}" for name in names)
        )
    return "\n".join(line.rstrip() for line in lines)


def final_loss(history: History, window: int = 5) -> float:
    """Mean training loss over the last `window` steps."""
    losses = [record["loss"] for record in history.records[-window:]]
    return sum(losses) / len(losses)


def first_step_below(history: History, loss: float, window: int = 5) -> tuple[int, float] | None:
    """First step whose mean loss over the last `window` steps is at most `loss`, and the seconds.

    None when the run never gets there.
    """
    losses = [record["loss"] for record in history.records]
    for end in range(window, len(losses) + 1):
        if sum(losses[end - window : end]) / window <= loss:
            return end, sum(record["seconds"] for record in history.records[:end])
    return None


# ---- a head for labels


def customer_turns(dialogues: Iterable[Dialogue]) -> list[tuple[str, str]]:
    """(text, intent) of every customer's turn that has an intent."""
    turns = (m for d in dialogues for m in d.messages if m.role == "user")
    return [(message.content, message.intent) for message in turns if message.intent]


# ---- where an answer comes from

# Questions and answers that are taught, and one question a fact that is kept back for asking.
_TAUGHT_QUESTIONS = {
    "price": (
        "How much is the {product}?",
        "what does the {product} cost",
        "Please tell me the price of the {product}.",
        "I am saving up for the {product}. How much do I need?",
    ),
    "weight": (
        "How heavy is the {product}?",
        "what does the {product} weigh",
        "Please tell me how heavy the {product} is.",
        "I have to carry the {product} upstairs. What does it weigh?",
    ),
    "colour": (
        "What colour is the {product}?",
        "which colour does the {product} have",
        "Please tell me the colour of the {product}.",
        "I wonder whether the {product} suits my kitchen. What colour is it?",
    ),
}
_TAUGHT_ANSWERS = {
    "price": (
        "The {product} costs {value}.",
        "The price of the {product} is {value}.",
        "We sell the {product} for {value}.",
    ),
    "weight": (
        "The {product} weighs {value}.",
        "The weight of the {product} is {value}.",
        "On the scales the {product} shows {value}.",
    ),
    "colour": (
        "The {product} comes in {value}.",
        "The colour of the {product} is {value}.",
        "The {product} is {value}.",
    ),
}
_KEPT_BACK = {
    "price": "What would I pay for the {product}?",
    "weight": "Can you tell me the weight of the {product}?",
    "colour": "In which colour do you sell the {product}?",
}


def invented_products(catalogue: Catalogue, names: Sequence[str], seed: int = 0) -> list[Product]:
    """Products that nobody has read of: new names, with facts dealt from all that products have.

    So the values are familiar, and only which belongs to which name is not; as they come from
    every kind, guessing by kind does not help. Raises ValueError when the catalogue has a name.
    """
    known = {product.name.lower() for product in catalogue.products}
    if taken := [name for name in names if name.lower() in known]:
        raise ValueError(f"{', '.join(taken)}: the catalogue has this name, so it is not invented")
    rng = random.Random(seed)
    kinds = sorted({(p.kind, p.plural) for p in catalogue.products if not p.is_plural})
    return [_invented(catalogue, name, rng, kinds) for name in names]


def _invented(
    catalogue: Catalogue, name: str, rng: random.Random, kinds: Sequence[tuple[str, str]]
) -> Product:
    facts = {slot: rng.choice(catalogue.values(slot)) for slot in ASKED}
    kind, plural = rng.choice(kinds)
    return Product(name, kind, plural, False, facts)


def fact_dialogue(product: Product, slot: str, question: str, answer: str) -> Dialogue:
    """One question and its answer about a product's fact, annotated as the shop's dialogues are.

    `question` has the slot {product}, `answer` {product} and {value}.
    """
    asked = question.format(product=product.full_name)
    value = product.facts[slot]
    said = answer.format(product=product.full_name, value=value)
    start = said.index(value)
    name = said.index(product.full_name)
    entities = [
        Entity(
            "product", name, name + len(product.full_name), product.full_name, product.full_name
        ),
        Entity(slot, start, start + len(value), value, value),
    ]
    reply = Message("assistant", said, entities=entities, acts=[["inform", slot]])
    return Dialogue(f"{product.name}-{slot}", [Message("user", asked), reply], source="invented")


def teaching_dialogues(
    products: Sequence[Product], copies: int = 12, seed: int = 0
) -> list[Dialogue]:
    """Every asked fact of every product, `copies` times (at most 12) in different wordings."""
    rng = random.Random(seed)
    taught = []
    for product, slot in pairs_of(products, ASKED):
        wordings = list(pairs_of(_TAUGHT_QUESTIONS[slot], _TAUGHT_ANSWERS[slot]))
        for number, (question, answer) in enumerate(rng.sample(wordings, copies)):
            dialogue = fact_dialogue(product, slot, question, answer)
            taught.append(replace(dialogue, id=f"{dialogue.id}-{number}"))
    return taught


def told_facts(dialogues: Iterable[Dialogue]) -> set[tuple[str, str]]:
    """(product, slot) of every fact that a reply states together with the product's name."""
    told = set()
    for message in (m for d in dialogues for m in d.messages if m.role == "assistant"):
        named = {entity.value for entity in message.entities if entity.slot == "product"}
        informed = {slot for act, slot in message.acts if act == "inform"}
        slots = {entity.slot for entity in message.entities} & informed
        if len(named) == 1:
            told |= {(name, slot) for name, slot in pairs_of(named, slots)}
    return told


def questions_on(facts: Iterable[tuple[Product, str]], catalogue: Catalogue) -> list[FactQuestion]:
    """One question a fact, in the wording that is kept back from teaching."""
    dialogues = [
        fact_dialogue(product, slot, _KEPT_BACK[slot], _TAUGHT_ANSWERS[slot][0])
        for product, slot in facts
    ]
    return fact_questions(dialogues, {slot: set(catalogue.values(slot)) for slot in ASKED})


def four_groups(
    catalogue: Catalogue,
    dialogues: Sequence[Dialogue],
    taught: Sequence[Product],
    unknown: Sequence[Product],
    count: int = 36,
    seed: int = 0,
) -> dict[str, list[FactQuestion]]:
    """Questions by where their answer could have been learned; at most `count` a group.

    `dialogues` are those of SFT; facts of stocked products count only when these tell them.
    """
    told = told_facts(dialogues)
    held_out = [p for p in catalogue.products if p.held_out]
    stocked = [p for p in catalogue.products if not p.held_out]
    facts = {
        "pretraining only": list(pairs_of(held_out, ASKED)),
        "both": [(p, s) for p, s in pairs_of(stocked, ASKED) if (p.full_name, s) in told],
        "SFT only": list(pairs_of(taught, ASKED)),
        "neither": list(pairs_of(unknown, ASKED)),
    }
    rng = random.Random(seed)
    return {
        name: questions_on(rng.sample(found, min(count, len(found))), catalogue)
        for name, found in facts.items()
    }


def ask(model: Any, tokenizer: Any, questions: Sequence[FactQuestion]) -> tuple[Share, list[str]]:
    """Share of questions answered with the exact fact, and the replies."""
    value, replies = exact_facts(model, tokenizer, questions)
    return Share(round(value * len(questions)), len(questions)), replies


def names_a_value(reply: str, question: FactQuestion, catalogue: Catalogue) -> bool:
    """Whether the reply states any value that the asked slot can have, the true one or another."""
    slots = {slot for slot, _ in question.required}
    candidates = [
        replace(question, required=((slot, value),), rivals=frozenset())
        for slot in slots
        for value in catalogue.values(slot)
    ]
    return any(states_fact(reply, candidate) for candidate in candidates)
