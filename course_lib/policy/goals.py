"""What simulated customers want: seeded goals, drawn from the shop as the dialogues' are.

A goal is a `Family`: its tasks, and a second order number for the slip that is corrected later.
Operations come more often than in the training data and are refused more often, as these are what
a policy can get wrong.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from course_lib.policy.understanding import shop
from course_lib.world.dialogues import (
    CONFIRMED,
    HELD_OUT_INTENTS,
    OPERATIONS,
    Family,
    Planner,
    Task,
    order_numbers,
)

PRODUCTS = ("trained", "held_out")
_REFUSED = 0.3  # share of the operations to be confirmed that the customer takes back


def draw_goals(
    number: int, seed: int = 0, wordings: str = "trained", products: str = "trained"
) -> list[Family]:
    """Seeded goals; `products` "held_out" asks about those that no training dialogue holds."""
    if products not in PRODUCTS:
        raise ValueError(f"no products {products!r}: take one of {', '.join(PRODUCTS)}")
    rng = random.Random(f"goals:{seed}")
    stocked = [p for p in shop().catalogue.products if p.held_out == (products == "held_out")]
    planner = Planner(shop().catalogue, shop().language(wordings), stocked, rng, order_numbers(rng))
    shapes = _shapes(planner)
    goals = []
    for count in range(number):
        tasks = rng.choices(list(shapes), list(shapes.values()))[0]()
        tasks = [_with_decision(task, rng) for task in tasks]
        goals.append(Family(f"g{seed}-{count:04}", tuple(tasks), planner.order()))
    return goals


def unseen_goals(number: int, seed: int = 0) -> list[Family]:
    """Goals of the three intents that no training dialogue holds: right is to hand over."""
    rng = random.Random(f"unseen:{seed}")
    catalogue, language = shop().catalogue, shop().trained
    planner = Planner(catalogue, language, catalogue.products, rng, order_numbers(rng))
    tasks = [planner.literal(rng.choice(HELD_OUT_INTENTS)) for _ in range(number)]
    return [Family(f"u{seed}-{i:04}", (t,), planner.order()) for i, t in enumerate(tasks)]


def _shapes(planner: Planner) -> dict[Callable[[], Sequence[Task]], int]:
    def small_talk() -> Task:
        return next(t for t in iter(planner.chat, None) if t.intent == "small_talk")

    return {
        lambda: [planner.operation()]: 22,
        lambda: [planner.operation(planner.rng.choice(CONFIRMED))]: 14,
        planner.two_operations: 10,
        lambda: [planner.operation(), *planner.facts(1)]: 8,
        planner.bought: 7,
        lambda: planner.facts(1): 6,
        lambda: planner.facts(2): 6,
        lambda: [planner.policy()]: 5,
        lambda: [*planner.facts(1), planner.policy()]: 5,
        lambda: [planner.handover()]: 5,
        lambda: [planner.policy(), planner.handover()]: 3,
        lambda: [planner.operation("order_status"), planner.handover()]: 2,
        lambda: [planner.literal("out_of_scope")]: 3,
        lambda: [planner.literal("out_of_scope"), *planner.facts(1)]: 2,
        lambda: [small_talk(), planner.policy()]: 2,
    }


def _with_decision(task: Task, rng: random.Random) -> Task:
    """Operations that must be confirmed are taken back more often than in the data."""
    if task.intent not in CONFIRMED:
        return task
    slots = {name: value for name, value in task.slots if name != "decision"}
    if rng.random() < _REFUSED:
        slots["decision"] = "no"
    return replace(task, slots=tuple(sorted(slots.items())))


def needed_slots(task: Task) -> tuple[str, ...]:
    """The slots that an agent must know before it can serve the task."""
    if task.intent in OPERATIONS:
        return OPERATIONS[task.intent]
    return ("product",) if task.get("product") and task.intent.startswith("ask_") else ()
