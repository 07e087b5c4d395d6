"""Families, their variants and the splits; checks that nothing crosses and no fact is wrong."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from course_lib.cleaning import NearIndex, jaccard, shingles
from course_lib.dialogue import Dialogue, DialogueError, Message, validate
from course_lib.world.catalogue import FACT_SLOTS, Catalogue, Product
from course_lib.world.corpus import plain, questions_told
from course_lib.world.corpus_language import load_language as load_corpus_language
from course_lib.world.dialogues import (
    HELD_OUT_INTENTS,
    LITERAL,
    Family,
    Planner,
    Task,
    order_numbers,
    write_dialogue,
)
from course_lib.world.wordings import SHARED, Language, trained_and_held_out

SIZES = {
    "train": 6000, "dev": 250, "test_iid": 400, "test_phrasing": 300, "test_product": 300,
    "test_intent": 200, "out_of_scope": 200,
}  # fmt: skip
# Splits of the same mix as `train`; the others each hold something that no training dialogue has.
SAME_MIX = ("train", "dev", "test_iid")
# Variants of a family that share more of their 5-grams than this are written anew.
MAX_SIMILARITY = 0.6
# From this similarity on a dialogue counts as a near copy of one in an earlier split.
NEAR_COPY = 0.7


def text_of(dialogue: Dialogue) -> str:
    """All turns as one text, for comparisons."""
    return "\n".join(message.content for message in dialogue.messages)


def similarity(first: str, second: str) -> float:
    """Jaccard similarity of the two texts' character 5-grams, letters lowered; 0 to 1."""
    return jaccard(shingles(first.lower()), shingles(second.lower()))


def write_splits(
    catalogue: Catalogue,
    language: Language,
    seed: int,
    sizes: Mapping[str, int] = SIZES,
) -> dict[str, list[Dialogue]]:
    """All splits: split name -> dialogues with id, split and family.

    `test_phrasing` has wordings, `test_product` products, `test_intent` intents and `out_of_scope`
    topics that stand in no training dialogue. No dialogue is nearly one of an earlier split.
    """
    writer = SplitWriter(catalogue, language, seed)
    rng = random.Random(f"{seed}:splits")
    usual = [name for name in sizes if name in (*SAME_MIX, "test_phrasing")]
    families = writer.families(sum(sizes[name] for name in usual) * 5 // 4)
    rng.shuffle(families)
    stream = iter(families)
    candidates: dict[str, list[Dialogue]] = {}
    for name, size in sizes.items():
        groups = writer.usual(name, stream) if name in usual else writer.special(name)
        candidates[name] = _until(groups, size * 8 // 5 + 40 if candidates else size)
    splits = apart(candidates, sizes)
    for name, dialogues in splits.items():
        _shuffle_and_label(name, dialogues, rng)
    return splits


def apart(
    candidates: Mapping[str, Sequence[Dialogue]], sizes: Mapping[str, int]
) -> dict[str, list[Dialogue]]:
    """Of each split the first candidates that are no near copy of one in an earlier split."""
    texts = [text_of(d).lower() for dialogues in candidates.values() for d in dialogues]
    index, number = NearIndex(texts, NEAR_COPY), 0
    splits: dict[str, list[Dialogue]] = {}
    for name, dialogues in candidates.items():
        new = [n for n in range(len(dialogues)) if index.nearest(number + n) is None]
        if len(new) < sizes[name]:
            raise RuntimeError(f"only {len(new)} of {sizes[name]} dialogues for {name} are new")
        for n in new[: sizes[name]]:
            index.add(number + n)
        splits[name] = [dialogues[n] for n in new[: sizes[name]]]
        number += len(dialogues)
    return splits


def _until(groups: Iterator[list[Dialogue]], size: int) -> list[Dialogue]:
    """Whole groups until they hold `size` dialogues."""
    batch: list[Dialogue] = []
    for group in groups:
        batch += group
        if len(batch) >= size:
            break
    return batch


def _untold(language: Language, trained: Language, told: set[str]) -> Language:
    """Without the questions that pretraining texts or trained wordings hold as well."""
    customer = {}
    for name, wordings in language.wordings["customer"].items():
        longer = [wording.text.lower() for wording in trained.wordings["customer"][name]]
        customer[name] = tuple(
            wording
            for wording in wordings
            if not name.startswith("ask_")
            or plain(wording.text) not in told
            and not any(text.endswith(" " + wording.text.lower()) for text in longer)
        )
    return Language({**language.wordings, "customer": customer})


class SplitWriter:
    """Families and their variants, as each split wants them."""

    def __init__(self, catalogue: Catalogue, language: Language, seed: int) -> None:
        self.catalogue, self.seed = catalogue, seed
        undivided = (*SHARED, *HELD_OUT_INTENTS)
        self.trained, held_out = trained_and_held_out(language, undivided)
        told = questions_told(load_corpus_language(catalogue))
        self.tested = _untold(held_out, self.trained, told)
        self.orders = order_numbers(random.Random(f"{seed}:orders"))
        self.addresses: set[str] = set()
        self.texts: set[str] = set()
        self.stocked = [product for product in catalogue.products if not product.held_out]
        self.held_out = [product for product in catalogue.products if product.held_out]

    def planner(self, name: str, language: Language, products: Sequence[Product]) -> Planner:
        """Draws what customers want, in this language, of these products."""
        rng = random.Random(f"{self.seed}:planner:{name}")
        return Planner(self.catalogue, language, products, rng, self.orders, self.addresses)

    def families(self, dialogues: int) -> list[tuple[Family, list[Dialogue]]]:
        """Families of the usual mix until they hold that many dialogues."""
        planner = self.planner("usual", self.trained, self.stocked)
        families, count = [], 0
        for family, variants in self.drawn("f", planner.tasks, planner):
            families.append((family, variants))
            count += len(variants)
            if count >= dialogues:
                break
        return families

    def usual(
        self, name: str, families: Iterator[tuple[Family, list[Dialogue]]]
    ) -> Iterator[list[Dialogue]]:
        """The next families, for `test_phrasing` written anew in wordings held out for it."""
        for family, variants in families:
            if name != "test_phrasing":
                yield variants
            elif not any(task.intent in LITERAL for task in family.tasks):
                rng = random.Random(f"{self.seed}:{family.id}:{name}")
                yield self._written(family, self.tested, self.stocked, rng, 1)

    def special(self, name: str) -> Iterator[list[Dialogue]]:
        """Families with something that no training dialogue has, without end."""
        language = self.tested if name == "out_of_scope" else self.trained  # of the topics
        products = self.held_out if name == "test_product" else self.stocked
        planner = self.planner(name, language, products)
        draws = {
            "test_product": ("p", planner.questions),
            "test_intent": ("i", planner.unseen_intent),
            "out_of_scope": ("o", planner.beyond_scope),
        }
        for _, variants in self.drawn(*draws[name], planner):
            yield variants

    def drawn(
        self, prefix: str, draw: Callable[[], list[Task]], planner: Planner
    ) -> Iterator[tuple[Family, list[Dialogue]]]:
        """Families one after the other, each with its variants; no goal comes twice."""
        goals: set[tuple[Task, ...]] = set()
        while True:
            tasks = tuple(draw())
            goal = tuple(sorted(tasks, key=lambda task: (task.intent, task.slots)))
            if goal in goals:
                continue
            goals.add(goal)
            family = Family(f"{prefix}{len(goals):05d}", tasks, planner.order())
            rng = random.Random(f"{self.seed}:{family.id}")
            number = rng.choices((1, 2, 3), (5, 3, 2))[0] if any(t.slots for t in tasks) else 6
            variants = self._written(family, self.trained, planner.products, rng, number)
            planner.note(tasks, len(variants) - 1)
            yield family, variants

    def _written(
        self,
        family: Family,
        language: Language,
        others: Sequence[Product],
        rng: random.Random,
        number: int,
    ) -> list[Dialogue]:
        """Up to `number` variants, none too similar to another, none with a text seen before."""
        variants: list[Dialogue] = []
        for _ in range(4 * number):
            dialogue = write_dialogue(family, self.catalogue, language, others, rng)
            text = text_of(dialogue)
            near = any(similarity(text, text_of(v)) > MAX_SIMILARITY for v in variants)
            if text not in self.texts and not near:
                self.texts.add(text)
                variants.append(dialogue)
            if len(variants) == number:
                break
        return variants


def _shuffle_and_label(name: str, dialogues: list[Dialogue], rng: random.Random) -> None:
    rng.shuffle(dialogues)
    for number, dialogue in enumerate(dialogues, start=1):
        dialogue.id, dialogue.split = f"shop-{name.replace('_', '-')}-{number:05d}", name


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
    return _values_of(dialogue, "order_number")


def addresses_of(dialogue: Dialogue) -> set[str]:
    """Every address that a dialogue names."""
    return _values_of(dialogue, "address")


def _values_of(dialogue: Dialogue, slot: str) -> set[str]:
    entities = [entity for message in dialogue.messages for entity in message.entities]
    return {entity.value for entity in entities if entity.slot == slot}


def check_splits(splits: Mapping[str, Sequence[Dialogue]], catalogue: Catalogue) -> list[str]:
    """What crosses between splits: families, order numbers, addresses, texts and near copies.

    Held-out products and intents outside of their test set count as crossing, too.
    """
    problems = _near_copies(splits)
    for what, keys in (
        ("family", lambda dialogue: {dialogue.family_id}),
        ("order number", order_numbers_of),
        ("address", addresses_of),
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
            problems += _held_out_intents(name, dialogue)
    return problems


def _near_copies(splits: Mapping[str, Sequence[Dialogue]]) -> list[str]:
    """Dialogues that are nearly one of an earlier split, the same text left out."""
    owned = [(name, dialogue) for name, part in splits.items() for dialogue in part]
    index = NearIndex([text_of(dialogue).lower() for _, dialogue in owned], NEAR_COPY)
    problems, number = [], 0
    for name, part in splits.items():
        mine = range(number, number + len(part))
        for which in mine:
            hit = index.nearest(which)
            if hit and hit[1] < 1:
                what = f"{owned[which][1].id!r} in {name} is like {owned[hit[0]][1].id!r}"
                problems.append(f"near copy: {what} in {owned[hit[0]][0]} ({hit[1]:.2f})")
        for which in mine:
            index.add(which)
        number += len(part)
    return problems


def _held_out_intents(name: str, dialogue: Dialogue) -> list[str]:
    found = {m.intent for m in dialogue.messages} & set(HELD_OUT_INTENTS)
    if name == "test_intent":
        return []
    return [
        f"dialogue {dialogue.id!r} in {name} has the held-out {i}" for i in sorted(map(str, found))
    ]


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
