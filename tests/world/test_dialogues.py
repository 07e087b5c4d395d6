"""The dialogue writer: language files, annotation, policy, splits; and checks that bite."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from course_lib.dialogue import Dialogue, Message
from course_lib.world.catalogue import FACT_SLOTS, Catalogue, load_catalogue
from course_lib.world.dialogues import (
    CONFIRMED,
    MAX_MESSAGES,
    OPERATIONS,
    Family,
    Task,
    write_dialogue,
)
from course_lib.world.splits import (
    MAX_SIMILARITY,
    check_dialogue,
    check_splits,
    fact_counts,
    order_numbers_of,
    similarity,
    text_of,
    write_splits,
)
from course_lib.world.wordings import (
    Language,
    LanguageError,
    Piece,
    assemble,
    fill_pieces,
    load_language,
)

SIZES = {"train": 900, "dev": 60, "test_iid": 80, "test_product": 80}
Splits = dict[str, list[Dialogue]]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.fixture(scope="module")
def language() -> Language:
    return load_language()


@pytest.fixture(scope="module")
def splits(catalogue: Catalogue, language: Language) -> Splits:
    return write_splits(catalogue, language, 3, SIZES)


@pytest.fixture
def spoiled(splits: Splits) -> Splits:
    """A copy that a test may spoil."""
    return {name: [Dialogue.from_dict(d.to_dict()) for d in part] for name, part in splits.items()}


def everything(splits: Splits) -> list[Dialogue]:
    return [dialogue for part in splits.values() for dialogue in part]


# -- language ----------------------------------------------------------------------------------


@pytest.mark.parametrize("slot", FACT_SLOTS)
def test_each_fact_has_enough_wordings(language: Language, slot: str) -> None:
    assert len(language.wordings["customer"][f"ask_{slot}"]) >= 20
    agent = language.wordings["agent"][f"ask_{slot}"]
    assert len(agent) >= 12
    assert all("value" in wording.slots for wording in agent)


def test_sections_hold_what_they_promise(language: Language) -> None:
    for slot in FACT_SLOTS:
        for wording in language.wordings["customer"][f"ask_{slot}"]:
            assert ("product" in wording.slots) == (wording.section == "main"), wording
        for wording in language.wordings["agent"][f"ask_{slot}"]:
            assert ("product" in wording.slots) == (wording.section == "main"), wording


def test_every_mood_finds_a_wording(language: Language) -> None:
    for slot in FACT_SLOTS:
        for section in ("main", "vague", "follow_up"):
            for mood in ("neutral", "terse", "chatty", "polite", "annoyed"):
                language.choose(random.Random(0), "customer", f"ask_{slot}", [section], mood)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("What about {nonsense}?", "line 2: unknown slot {nonsense}"),
        ("<furious> Give me the price!", "line 2: unknown mood 'furious'"),
    ],
)
def test_a_bad_wording_is_named(tmp_path: Path, line: str, message: str) -> None:
    for side in ("customer", "agent"):
        (tmp_path / side).mkdir()
        (tmp_path / side / "greeting.txt").write_text(f"Hello\n{line}\n", encoding="utf-8")
    with pytest.raises(LanguageError, match=message.replace("{", r"\{").replace("}", r"\}")):
        load_language(tmp_path)


def test_no_fitting_wording_names_the_file(language: Language) -> None:
    with pytest.raises(LanguageError, match=r"agent/ask_price\.txt.*add one"):
        language.choose(random.Random(0), "agent", "ask_price", ["nowhere"])


def test_agreement_and_spans() -> None:
    fields = {"product": Piece("Oriva headphones", "product", "Oriva headphones")}
    pieces = fill_pieces("How heavy {is} the {product}? {It} look{s} big.", fields, plural=True)
    content, entities = assemble(pieces)
    assert content == "How heavy are the Oriva headphones? They look big."
    assert [content[e.start : e.end] for e in entities] == ["Oriva headphones"]


# -- annotation and policy ---------------------------------------------------------------------


def test_every_dialogue_is_right(splits: Splits, catalogue: Catalogue) -> None:
    assert [p for d in everything(splits) for p in check_dialogue(d, catalogue)] == []


def test_sizes_lengths_and_shares(splits: Splits) -> None:
    assert {name: len(part) for name, part in splits.items()} == SIZES
    lengths = Counter(len(dialogue.messages) for dialogue in everything(splits))
    assert 2 <= min(lengths) <= max(lengths) <= MAX_MESSAGES
    asking = sum(bool(fact_counts([dialogue])) for dialogue in splits["train"])
    assert 0.62 < asking / len(splits["train"]) < 0.78


def test_facts_stand_verbatim_in_the_reply(splits: Splits, catalogue: Catalogue) -> None:
    told = 0
    for dialogue in everything(splits):
        for message in dialogue.messages:
            for entity in message.entities:
                if message.role == "assistant" and entity.slot in FACT_SLOTS:
                    assert message.content[entity.start : entity.end] == entity.value
                    assert ["inform", entity.slot] in message.acts
                    assert entity.value in catalogue.values(entity.slot)
                    told += 1
    assert told > 800


def test_no_slot_or_double_space_is_left(splits: Splits) -> None:
    for dialogue in everything(splits):
        for message in dialogue.messages:
            assert not set("{}<>\0") & set(message.content), message.content
            assert "  " not in message.content and message.content == message.content.strip()


def _acts(dialogue: Dialogue) -> list[tuple[str, str | None, str | None]]:
    return [
        (message.role, act, slot) for message in dialogue.messages for act, slot in message.acts
    ]


def test_the_agent_confirms_before_it_acts(splits: Splits) -> None:
    acted = 0
    for dialogue in everything(splits):
        acts = _acts(dialogue)
        for number, (_, act, slot) in enumerate(acts):
            if act == "notify" and slot in CONFIRMED:
                before = acts[:number]
                yes = max(i for i, (_, name, _) in enumerate(before) if name == "affirm")
                asked = max(i for i, item in enumerate(before) if item[1:] == ("confirm", slot))
                assert asked < yes
                acted += 1
    assert acted > 50


def test_the_agent_does_nothing_after_a_no(splits: Splits) -> None:
    withdrawn = [d for d in everything(splits) if d.policy and d.policy["outcome"] == "withdrawn"]
    assert withdrawn
    for dialogue in withdrawn:
        assert not {slot for _, act, slot in _acts(dialogue) if act == "notify"} & set(CONFIRMED)


def test_what_is_needed_is_known_before_the_agent_acts(splits: Splits) -> None:
    for dialogue in everything(splits):
        said: set[str | None] = set()
        for message in dialogue.messages:
            if message.role == "user":
                said |= {entity.slot for entity in message.entities}
            for act, slot in message.acts:
                if act in ("confirm", "notify") and slot in OPERATIONS:
                    assert set(OPERATIONS[slot]) <= said, dialogue.id


def test_complaints_and_wishes_for_a_person_are_handed_over(splits: Splits) -> None:
    for dialogue in everything(splits):
        for message, reply in zip(dialogue.messages, dialogue.messages[1:], strict=False):
            if message.intent in ("complaint", "human_agent"):
                assert ["handover", None] in reply.acts
            if message.intent == "out_of_scope":
                assert reply.acts == [["decline", "out_of_scope"]]


def test_an_unnamed_product_is_asked_for(catalogue: Catalogue, language: Language) -> None:
    task = Task("ask_weight", (("product", "Brisa kettle"),))
    family = Family("x", (task,), "1234567890")
    asked = 0
    for seed in range(200):
        dialogue = write_dialogue(family, catalogue, language, [], random.Random(seed))
        named = {e.value for m in dialogue.messages for e in m.entities if m.role == "user"}
        assert named == {"Brisa kettle"}
        asked += ["request", "product"] in [act for m in dialogue.messages for act in m.acts]
    assert 10 < asked < 80


# -- splits ------------------------------------------------------------------------------------


def test_nothing_crosses(splits: Splits, catalogue: Catalogue) -> None:
    assert check_splits(splits, catalogue) == []


def test_test_product_asks_for_held_out_products_only(splits: Splits, catalogue: Catalogue) -> None:
    held = {product.full_name for product in catalogue.products if product.held_out}
    assert {name for name, _ in fact_counts(splits["test_product"])} == held
    assert all(fact_counts([dialogue]) for dialogue in splits["test_product"])


def test_variants_of_a_family_differ_but_share_the_goal(splits: Splits) -> None:
    families: dict[str | None, list[Dialogue]] = {}
    for dialogue in splits["train"]:
        families.setdefault(dialogue.family_id, []).append(dialogue)
    assert max(map(len, families.values())) > 1
    for variants in families.values():
        for variant in variants[1:]:
            assert variant.goal == variants[0].goal
            assert similarity(text_of(variant), text_of(variants[0])) <= MAX_SIMILARITY


def test_the_seed_decides(catalogue: Catalogue, language: Language) -> None:
    sizes = {"train": 40, "test_product": 10}
    texts = [
        [text_of(d) for d in everything(write_splits(catalogue, language, seed, sizes))]
        for seed in (5, 5, 6)
    ]
    assert texts[0] == texts[1] != texts[2]


# -- the checks bite ---------------------------------------------------------------------------


def _first_fact(splits: Splits, slot: str = "price") -> tuple[Dialogue, Message]:
    return next(
        (dialogue, message)
        for dialogue in splits["train"]
        for message in dialogue.messages
        if message.role == "assistant" and any(e.slot == slot for e in message.entities)
    )


def _wrong_value(dialogue: Dialogue, message: Message) -> None:
    entity = next(e for e in message.entities if e.slot == "price")
    entity.value = "1 euros"


def _wrong_text(dialogue: Dialogue, message: Message) -> None:
    entity = next(e for e in message.entities if e.slot == "price")
    message.content = message.content.replace(entity.text, "9" * len(entity.text))
    entity.text = "9" * len(entity.text)


def _lost_act(dialogue: Dialogue, message: Message) -> None:
    message.acts = [act for act in message.acts if act != ["inform", "price"]]


def _moved_span(dialogue: Dialogue, message: Message) -> None:
    message.entities[0].start += 1


def _other_product(dialogue: Dialogue, message: Message) -> None:
    for turn in dialogue.messages:
        for entity in turn.entities:
            if entity.slot == "product":
                entity.value = "Brisa kettle" if "Brisa" not in entity.value else "Tolvek kettle"


def _no_reply(dialogue: Dialogue, message: Message) -> None:
    dialogue.messages.append(Message("user", "And?"))


@pytest.mark.parametrize(
    "spoil", [_wrong_value, _wrong_text, _lost_act, _moved_span, _other_product, _no_reply]
)
def test_a_wrong_dialogue_is_found(
    spoiled: Splits, catalogue: Catalogue, spoil: Callable[[Dialogue, Message], None]
) -> None:
    dialogue, message = _first_fact(spoiled)
    spoil(dialogue, message)
    problems = check_dialogue(dialogue, catalogue)
    assert problems and dialogue.id in problems[0]


def test_a_crossing_family_is_found(spoiled: Splits, catalogue: Catalogue) -> None:
    family = spoiled["train"][0].family_id
    spoiled["test_iid"][0].family_id = family
    assert check_splits(spoiled, catalogue) == [f"family {family!r} is in train and in test_iid"]


def test_a_crossing_order_number_is_found(spoiled: Splits, catalogue: Catalogue) -> None:
    number = next(n for d in spoiled["train"] for n in sorted(order_numbers_of(d)))
    for message in spoiled["dev"][0].messages:
        message.entities = []
    text = f"It is {number}."
    content, entities = assemble([Piece("It is "), Piece(number, "order_number", number)])
    spoiled["dev"][0].messages[0] = Message("user", content, None, entities)
    assert content in text
    assert f"order number {number!r} is in train and in dev" in check_splits(spoiled, catalogue)


def test_a_crossing_text_is_found(spoiled: Splits, catalogue: Catalogue) -> None:
    copied = Dialogue.from_dict(spoiled["test_iid"][0].to_dict() | {"id": "x", "family_id": "x"})
    spoiled["train"].append(copied)
    assert any(p.startswith("text ") for p in check_splits(spoiled, catalogue))


def test_a_held_out_product_at_large_is_found(spoiled: Splits, catalogue: Catalogue) -> None:
    held = next(product for product in catalogue.products if product.held_out)
    spoiled["train"][0].messages[0].content += f" Or the {held.name.lower()}?"
    problems = check_splits(spoiled, catalogue)
    assert len(problems) == 1 and held.full_name in problems[0]


def test_a_seen_product_in_test_product_is_found(spoiled: Splits, catalogue: Catalogue) -> None:
    dialogue = spoiled["test_product"][0]
    next(
        e for m in dialogue.messages for e in m.entities if e.slot == "product"
    ).value = "Brisa kettle"
    assert check_splits(spoiled, catalogue) == [
        f"dialogue {dialogue.id!r}: 'Brisa kettle' is not held out"
    ]
