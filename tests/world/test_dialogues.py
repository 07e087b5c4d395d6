"""The dialogue writer: language files, annotation, policy, splits; and checks that bite."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from course_lib.dialogue import Dialogue, Message
from course_lib.world.catalogue import FACT_SLOTS, Catalogue, load_catalogue
from course_lib.world.dialogues import (
    BEYOND_CHAT,
    CONFIRMED,
    FACT_INTENTS,
    HELD_OUT_INTENTS,
    MAX_MESSAGES,
    OPERATIONS,
    POLICIES,
    Family,
    Task,
    write_dialogue,
)
from course_lib.world.splits import (
    MAX_SIMILARITY,
    NEAR_COPY,
    addresses_of,
    check_dialogue,
    check_splits,
    fact_counts,
    order_numbers_of,
    similarity,
    text_of,
    write_splits,
)
from course_lib.world.wordings import (
    SHARED,
    Language,
    LanguageError,
    Piece,
    Wording,
    assemble,
    fill_pieces,
    load_language,
    trained_and_held_out,
)

SIZES = {
    "train": 900, "dev": 60, "test_iid": 80, "test_phrasing": 80, "test_product": 80,
    "test_intent": 60, "out_of_scope": 60,
}  # fmt: skip
CHATTING = (
    "complaint",
    "human_agent",
    "small_talk",
    "out_of_scope",
    "greeting",
    "goodbye",
    "thanks",
)
INTENTS = (*FACT_INTENTS, *POLICIES, *OPERATIONS, *BEYOND_CHAT, *CHATTING)
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


def _replies(intent: str) -> tuple[str, ...]:
    """The files of the agent's answers to an intent."""
    if intent in CONFIRMED:
        return (f"confirm_{intent}", f"done_{intent}")
    return ("other_request",) if intent in BEYOND_CHAT else (intent,)


@pytest.mark.parametrize("intent", INTENTS)
def test_each_intent_has_enough_wordings(language: Language, intent: str) -> None:
    assert len(language.wordings["customer"][intent]) >= 40
    for name in _replies(intent):
        assert len(language.wordings["agent"][name]) >= 15


def test_there_are_enough_intents() -> None:
    assert len(set(INTENTS)) >= 40


@pytest.mark.parametrize("slot", FACT_SLOTS)
def test_each_answer_states_the_value_after_the_name(language: Language, slot: str) -> None:
    for wording in language.wordings["agent"][f"ask_{slot}"]:
        assert "value" in wording.slots
        if "product" in wording.slots:
            assert wording.text.index("{product}") < wording.text.index("{value}"), wording


def test_no_wording_is_trained_and_held_out(language: Language) -> None:
    trained, held_out = trained_and_held_out(language)
    for name, wordings in language.wordings["customer"].items():
        if name in SHARED:
            continue
        sides = [set(side.wordings["customer"][name]) for side in (trained, held_out)]
        assert not sides[0] & sides[1] and sides[0] | sides[1] == set(wordings)
        assert 0.08 < len(sides[1]) / len(wordings) < 0.4, name
    assert trained.wordings["agent"] == held_out.wordings["agent"] == language.wordings["agent"]


def test_a_new_wording_moves_few_others(language: Language) -> None:
    """Which wordings are held out hangs on their own hash, not on their place in the file."""
    name, more = "ask_price", Wording("How many coins for the {product}?", "main", None)
    before = set(trained_and_held_out(language)[1].wordings["customer"][name])
    customer = dict(language.wordings["customer"])
    customer[name] = (more, *customer[name])
    longer = Language({**language.wordings, "customer": customer})
    after = set(trained_and_held_out(longer)[1].wordings["customer"][name])
    assert len(before ^ after) <= 2


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
    assert 0.57 < asking / len(splits["train"]) < 0.78


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


def test_what_the_chat_cannot_settle_is_handed_over(splits: Splits) -> None:
    for dialogue in everything(splits):
        for message, reply in zip(dialogue.messages, dialogue.messages[1:], strict=False):
            if message.intent in ("complaint", "human_agent", *BEYOND_CHAT):
                assert ["handover", None] in reply.acts
            if message.intent == "out_of_scope":
                assert reply.acts == [["decline", "out_of_scope"]]


def test_an_unnamed_product_is_asked_for(catalogue: Catalogue, language: Language) -> None:
    task = Task("ask_weight", (("product", "Brisa kettle"),))
    family = Family("x", (task,), "1234567890")
    asked = 0
    for seed in range(120):
        dialogue = write_dialogue(family, catalogue, language, [], random.Random(seed))
        named = {e.value for m in dialogue.messages for e in m.entities if m.role == "user"}
        assert named == {"Brisa kettle"}
        asked += ["request", "product"] in [act for m in dialogue.messages for act in m.acts]
    assert 6 < asked < 48


def test_nobody_says_the_same_twice(catalogue: Catalogue, language: Language) -> None:
    products = ("Brisa kettle", "Tolvek kettle", "Quendel kettle")
    tasks = tuple(Task("ask_power", (("product", name),)) for name in products)
    family, twice = Family("x", tasks, "1234567890"), 0
    for seed in range(100):
        dialogue = write_dialogue(family, catalogue, language, [], random.Random(seed))
        plain = [re.sub("(?i)brisa|tolvek|quendel| kettle", "", text_of(dialogue)).split("\n")]
        twice += any(count > 1 for line in plain for count in Counter(line).values())
    assert twice < 5


def test_a_promise_and_a_fact_in_one_turn(catalogue: Catalogue, language: Language) -> None:
    tasks = (Task("ask_weight", (("product", "Brisa kettle"),)), Task("ask_return_window"))
    family, together = Family("x", tasks, "1234567890"), 0
    for seed in range(60):
        dialogue = write_dialogue(family, catalogue, language, [], random.Random(seed))
        assert check_dialogue(replace(dialogue, id="x"), catalogue) == []
        for asked, told in zip(dialogue.messages, dialogue.messages[1:], strict=False):
            both = {slot for _, slot in asked.acts} >= {"weight", "return_window"}
            if asked.role == "user" and both:
                assert {slot for _, slot in told.acts} >= {"weight", "return_window"}
                assert "1.1 kilograms" in told.content and "thirty days" in told.content
                together += 1
    assert together > 5


# -- splits ------------------------------------------------------------------------------------


def test_nothing_crosses(splits: Splits, catalogue: Catalogue) -> None:
    assert check_splits(splits, catalogue) == []


def test_test_product_asks_for_held_out_products_only(splits: Splits, catalogue: Catalogue) -> None:
    held = {product.full_name for product in catalogue.products if product.held_out}
    assert {name for name, _ in fact_counts(splits["test_product"])} == held
    assert all(fact_counts([dialogue]) for dialogue in splits["test_product"])


def test_phrasing_is_said_in_wordings_that_no_other_split_has(
    splits: Splits, language: Language
) -> None:
    """Slot-free wordings, which stand in the text as they are, show where they come from."""
    _, held_out = trained_and_held_out(language, (*SHARED, *HELD_OUT_INTENTS))
    taken = {
        wording.text.lower()
        for intent in (*POLICIES, "human_agent", "complaint", "reset_password")
        for wording in held_out.wordings["customer"][intent]
        if not wording.slots and "{" not in wording.text and len(wording.text.split()) > 3
    }
    found = {
        name: sum(m.content.lower() in taken for d in part for m in d.messages)
        for name, part in splits.items()
    }
    assert found.pop("test_phrasing") > 5
    assert set(found.values()) == {0}


def test_held_out_intents_stand_in_their_split_only(splits: Splits) -> None:
    for name, dialogues in splits.items():
        holding = [
            {m.intent for m in d.messages} & set(HELD_OUT_INTENTS) != set() for d in dialogues
        ]
        assert all(holding) if name == "test_intent" else not any(holding)


def test_out_of_scope_topics_are_new(splits: Splits) -> None:
    topics = {
        name: {
            message.content.lower().rstrip(".?!")
            for dialogue in part
            for message in dialogue.messages
            if message.intent == "out_of_scope"
        }
        for name, part in splits.items()
    }
    new = topics.pop("out_of_scope")
    assert len(new) > 20 and all(not new & others for others in topics.values())


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


def test_a_crossing_address_is_found(spoiled: Splits, catalogue: Catalogue) -> None:
    address = next(a for d in spoiled["train"] for a in sorted(addresses_of(d)))
    piece = Piece(address, "address", address)
    content, entities = assemble([Piece("It is "), piece, Piece(".")])
    spoiled["dev"][0].messages[0] = Message("user", content, None, entities)
    assert f"address {address!r} is in train and in dev" in check_splits(spoiled, catalogue)


def test_a_near_copy_is_found(spoiled: Splits, catalogue: Catalogue) -> None:
    long = max(spoiled["train"], key=lambda d: len(text_of(d)))
    copy = Dialogue.from_dict(long.to_dict() | {"id": "x", "family_id": "x"})
    for message in copy.messages:
        message.entities = []
    copy.messages[0] = Message("user", "Good evening! " + copy.messages[0].content)
    copy.messages[-1] = Message("assistant", "All right. " + copy.messages[-1].content)
    assert NEAR_COPY < similarity(text_of(copy), text_of(long)) < 1
    spoiled["test_iid"].append(copy)
    assert any(p.startswith(f"near copy: 'x' in test_iid is like {long.id!r}")
               for p in check_splits(spoiled, catalogue))  # fmt: skip


def test_a_held_out_intent_at_large_is_found(spoiled: Splits, catalogue: Catalogue) -> None:
    spoiled["dev"][3].messages[0].intent = "price_match"
    problems = check_splits(spoiled, catalogue)
    assert problems == [f"dialogue {spoiled['dev'][3].id!r} in dev has the held-out price_match"]


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
