"""Families, their variants and the splits; checks that nothing crosses and no fact is wrong."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from course_lib.dialogue import Dialogue, DialogueError, Message, validate
from course_lib.world.catalogue import FACT_SLOTS, Catalogue, Product
from course_lib.world.dialogues import (
    Family,
    Planner,
    Task,
    order_numbers,
    write_dialogue,
)
from course_lib.world.wordings import Language

SIZES = {"train": 4000, "dev": 200, "test_iid": 300, "test_product": 300}
# Variants of a family that share more of their 5-grams than this are written anew.
MAX_SIMILARITY = 0.6


def text_of(dialogue: Dialogue) -> str:
    """All turns as one text, for comparisons."""
    return "\n".join(message.content for message in dialogue.messages)


def similarity(first: str, second: str, size: int = 5) -> float:
    """Jaccard similarity of the two texts' character n-grams, letters lowered; 0 to 1."""
    one, two = _grams(first, size), _grams(second, size)
    return len(one & two) / max(1, len(one | two))


def _grams(text: str, size: int) -> set[str]:
    text = text.lower()
    return {text[start : start + size] for start in range(max(1, len(text) - size + 1))}


def write_splits(
    catalogue: Catalogue,
    language: Language,
    seed: int,
    sizes: Mapping[str, int] = SIZES,
) -> dict[str, list[Dialogue]]:
    """All splits: split name -> dialogues with id, split and family.

    Held-out products appear in `test_product` only, which asks for product facts only.
    """
    rng = random.Random(f"{seed}:splits")
    orders = order_numbers(random.Random(f"{seed}:orders"))
    seen = [product for product in catalogue.products if not product.held_out]
    held = [product for product in catalogue.products if product.held_out]
    known = Planner(catalogue, language, seen, random.Random(f"{seed}:known"), orders)
    novel = Planner(catalogue, language, held, random.Random(f"{seed}:novel"), orders)
    names = [name for name in sizes if name != "test_product"]
    total = sum(sizes[name] for name in names)
    families = _grouped(_variants(known, seed, "f", list(known.products)), total)
    rng.shuffle(families)
    splits = dict(zip(names, _dealt(families, [sizes[name] for name in names]), strict=True))
    if "test_product" in sizes:
        groups = _grouped(_variants(novel, seed, "p", held, questions=True), sizes["test_product"])
        splits["test_product"] = _flat(groups)[: sizes["test_product"]]
    for name, dialogues in splits.items():
        _shuffle_and_label(name, dialogues, rng)
    return splits


def _shuffle_and_label(name: str, dialogues: list[Dialogue], rng: random.Random) -> None:
    rng.shuffle(dialogues)
    for number, dialogue in enumerate(dialogues, start=1):
        dialogue.id, dialogue.split = f"shop-{name.replace('_', '-')}-{number:05d}", name


def _variants(
    planner: Planner, seed: int, prefix: str, others: Sequence[Product], questions: bool = False
) -> Iterator[list[Dialogue]]:
    """Families one after the other, each as the list of its variants; no goal comes twice."""
    goals: set[tuple[Task, ...]] = set()
    texts: set[str] = set()
    while True:
        tasks = tuple(planner.questions() if questions else planner.tasks())
        goal = tuple(sorted(tasks, key=lambda task: (task.intent, task.slots)))
        if goal in goals:
            continue
        goals.add(goal)
        family = Family(f"{prefix}{len(goals):05d}", tasks, planner.order())
        rng = random.Random(f"{seed}:{family.id}")
        number = rng.choices((1, 2, 3), (5, 3, 2))[0] if any(t.slots for t in tasks) else 6
        variants = _family(family, planner, others, rng, number, texts)
        planner.note(tasks, len(variants) - 1)
        yield variants


def _family(
    family: Family,
    planner: Planner,
    others: Sequence[Product],
    rng: random.Random,
    number: int,
    texts: set[str],
) -> list[Dialogue]:
    """Up to `number` variants, none too similar to another and none with a text seen before."""
    variants: list[Dialogue] = []
    for _ in range(4 * number):
        dialogue = write_dialogue(family, planner.catalogue, planner.language, others, rng)
        text = text_of(dialogue)
        near = any(similarity(text, text_of(v)) > MAX_SIMILARITY for v in variants)
        if text not in texts and not near:
            texts.add(text)
            variants.append(dialogue)
        if len(variants) == number:
            break
    return variants


def _grouped(families: Iterator[list[Dialogue]], total: int) -> list[list[Dialogue]]:
    """Families until they hold `total` dialogues and a reserve for the cut between splits."""
    groups, count = [], 0
    while count < total + 30:
        group = next(families)
        groups.append(group)
        count += len(group)
    return groups


def _dealt(families: list[list[Dialogue]], sizes: list[int]) -> list[list[Dialogue]]:
    """Whole families to each split in turn; the last family of a split is cut to its size."""
    dealt, rest = [], iter(families)
    for size in sizes:
        split: list[Dialogue] = []
        while len(split) < size:
            split += next(rest)
        dealt.append(split[:size])
    return dealt


def _flat(groups: Iterable[list[Dialogue]]) -> list[Dialogue]:
    return [dialogue for group in groups for dialogue in group]


# -- checks ------------------------------------------------------------------------------------


def check_dialogue(dialogue: Dialogue, catalogue: Catalogue) -> list[str]:
    """What is wrong with one dialogue: record, opening and end, facts against the catalogue."""
    try:
        validate(dialogue)
    except DialogueError as error:
        return [str(error)]
    problems = []
    if not 2 <= len(dialogue.messages) <= 14:
        problems.append(f"{len(dialogue.messages)} messages")
    if dialogue.messages[-1].role != "assistant":
        problems.append("does not end with the agent")
    problems += _wrong_facts(dialogue, catalogue)
    return [f"dialogue {dialogue.id!r}: {problem}" for problem in problems]


def _wrong_facts(dialogue: Dialogue, catalogue: Catalogue) -> list[str]:
    problems = []
    for number, message, name in _replies(dialogue):
        product = catalogue.by_name(name) if name else None
        problems += [f"message {number}: {text}" for text in _fact_errors(message, product)]
    return problems


def _replies(dialogue: Dialogue) -> Iterator[tuple[int, Message, str | None]]:
    """The agent's messages, each with the product that was named last, there or before."""
    product = None
    for number, message in enumerate(dialogue.messages):
        for entity in message.entities:
            if entity.slot == "product":
                product = entity.value
        if message.role == "assistant":
            yield number, message, product


def _fact_errors(message: Message, product: Product | None) -> list[str]:
    informed = {slot for act, slot in message.acts if act == "inform" and slot in FACT_SLOTS}
    stated = {entity.slot: entity for entity in message.entities if entity.slot in FACT_SLOTS}
    errors = []
    if informed != set(stated):
        errors.append(f"acts inform {sorted(map(str, informed))}, entities {sorted(stated)}")
    for slot, entity in stated.items():
        right = product.facts.get(slot) if product else None
        if entity.value != right or entity.text != right:
            name = product.full_name if product else "no product"
            errors.append(f"{slot} of {name} is {right!r}, not {entity.value!r}")
    return errors


def order_numbers_of(dialogue: Dialogue) -> set[str]:
    """Every order number that a dialogue names."""
    entities = [entity for message in dialogue.messages for entity in message.entities]
    return {entity.value for entity in entities if entity.slot == "order_number"}


def check_splits(splits: Mapping[str, Sequence[Dialogue]], catalogue: Catalogue) -> list[str]:
    """What crosses between splits: families, order numbers, texts; held-out products at large."""
    problems = []
    for what, keys in (
        ("family", lambda dialogue: {dialogue.family_id}),
        ("order number", order_numbers_of),
        ("text", lambda dialogue: {text_of(dialogue).lower()}),
        ("id", lambda dialogue: {dialogue.id}),
    ):
        owners: dict[str, str] = {}
        for name, dialogues in splits.items():
            found = {key for dialogue in dialogues for key in keys(dialogue)}
            for key in sorted(found & owners.keys()):
                problems.append(f"{what} {key!r} is in {owners[key]} and in {name}")
            owners |= dict.fromkeys(found, name)
    held = {product.name.lower(): product for product in catalogue.products if product.held_out}
    for name, dialogues in splits.items():
        for dialogue in dialogues:
            problems += _held_out_problems(name, dialogue, held)
    return problems


def _held_out_problems(name: str, dialogue: Dialogue, held: Mapping[str, Product]) -> list[str]:
    if name == "test_product":
        entities = [entity for message in dialogue.messages for entity in message.entities]
        values = {entity.value for entity in entities if entity.slot == "product"}
        strange = sorted(values - {product.full_name for product in held.values()})
        return [f"dialogue {dialogue.id!r}: {value!r} is not held out" for value in strange]
    words = set(text_of(dialogue).lower().replace("\n", " ").split())
    words = {word.strip(".,:;!?") for word in words}
    return [
        f"dialogue {dialogue.id!r} in {name} names the held-out {held[word].full_name}"
        for word in sorted(words & held.keys())
    ]


def fact_counts(dialogues: Iterable[Dialogue]) -> Counter[tuple[str, str]]:
    """How often the agent tells each (product, slot)."""
    return Counter(
        (product or "", entity.slot)
        for dialogue in dialogues
        for _, message, product in _replies(dialogue)
        for entity in message.entities
        if entity.slot in FACT_SLOTS
    )
