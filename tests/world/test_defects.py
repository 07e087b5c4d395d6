"""Planted defects: every kind is there, its ledger line tells the truth, spans move along."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable
from typing import Any

import pytest

from course_lib.dialogue import Dialogue, Entity, Message, validate
from course_lib.world.catalogue import FACT_SLOTS, Catalogue, load_catalogue
from course_lib.world.defects import ACTIONS, COUNTS, Line, Planter, as_log, edited, plant
from course_lib.world.defects import BASE as WHOLE
from course_lib.world.defects.phrases import FOLDER, phrases, sections
from course_lib.world.splits import check_dialogue, fact_counts, similarity, text_of, write_splits
from course_lib.world.wordings import Language, load_language

SOME = 300
FEW = dict.fromkeys(COUNTS, 4)
UNREADABLE = ("broken_json", "missing_role", "wrong_encoding", "broken_span")
NEAR_COPIES = ("near_duplicate", "typo_duplicate", "reworded_duplicate")
PERSONAL = ("email", "phone", "card", "iban", "street_address", "full_name")
REPAIRED = (
    "markup", "html_entity", "mojibake", "zero_width", "full_width", "long_mail", "empty_turn",
    "open_end",
)  # fmt: skip
# A sentence more in a customer's turn: the kind, the file that it comes from, what to do with it.
SENTENCES = {
    "email": ("emails", "redact"), "phone": ("phones", "redact"), "card": ("cards", "redact"),
    "iban": ("ibans", "redact"), "street_address": ("street_addresses", "redact"),
    "full_name": ("full_names", "redact"),
    "abuse": ("abuse", "drop"), "prompt_injection": ("injections", "drop"),
    "ampersand": ("ampersands", "keep"), "accents": ("accents", "keep"),
    "part_number": ("part_numbers", "keep"), "tracking_number": ("tracking_numbers", "keep"),
    "price": ("prices", "keep"), "date": ("dates", "keep"),
    "namelike_product": ("namelike_products", "keep"), "first_name": ("first_names", "keep"),
    "foreign_word": ("foreign_words", "keep"), "angry_customer": ("angry", "keep"),
    "innocent_words": ("innocent_words", "keep"),
}  # fmt: skip


class Raw:
    """Raw lines with their ledger, and the clean dialogues that they come from."""

    def __init__(self, catalogue: Catalogue, language: Language) -> None:
        self.catalogue, self.language = catalogue, language
        self.splits = write_splits(catalogue, language, 4, {"train": 340, "test_iid": 20})
        self.train, self.tests = self.splits["train"], self.splits["test_iid"]
        self.lines, self.ledger = self.plant()
        self.by_id = {d.id: d for line in self.lines if (d := _read(line)) is not None}

    def plant(self, seed: int = 4, base: int = SOME, counts: dict[str, int] = FEW) -> Any:
        return plant(self.train, self.tests, self.catalogue, seed, base, counts, self.language)

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        return [entry for entry in self.ledger if entry["kind"] in kinds]

    def dialogue(self, entry: dict[str, Any]) -> Dialogue:
        return self.by_id[entry["id"]]

    def made(self, kind: str, number: int = 10) -> list[tuple[Dialogue, Line]]:
        """Clean dialogues and what the planter makes of them when it plants this kind."""
        rng = random.Random(kind)
        planter = Planter(rng, self.catalogue, self.language, self.train, self.tests)
        pairs: list[tuple[Dialogue, Line]] = []
        for dialogue in self.train:
            before, line = as_log(dialogue), Line(as_log(dialogue), 0.5)
            made = planter.maker(kind)(line)
            if made is not line:
                assert line.dialogue == before and line.action == "keep"
            if made is not None:
                pairs.append((before, made))
            if len(pairs) == number:
                break
        assert len(pairs) == number
        return pairs


def _read(line: bytes) -> Dialogue | None:
    try:
        return Dialogue.from_dict(json.loads(line))
    except ValueError:
        return None


def _texts(dialogue: Dialogue) -> list[str]:
    return [message.content for message in dialogue.messages]


def _values(dialogue: Dialogue) -> set[tuple[str, str]]:
    return {(e.slot, e.value) for message in dialogue.messages for e in message.entities}


def _only_change(base: Dialogue, dialogue: Dialogue) -> tuple[Message, Message]:
    """The one message that differs, before and after."""
    pairs = zip(base.messages, dialogue.messages, strict=True)
    changed = [(before, after) for before, after in pairs if before != after]
    assert len(changed) == 1
    return changed[0]


def _added(before: str, after: str) -> str:
    """What stands before or after the old text, without the joint."""
    if after.startswith(before):
        return re.sub(r"^\.? ", "", after[len(before) :])
    assert after.endswith(f" {before}")
    return after[: -len(before) - 1]


@pytest.fixture(scope="module")
def raw() -> Raw:
    return Raw(load_catalogue(), load_language())


def test_every_kind_is_planted_as_often_as_asked(raw: Raw) -> None:
    assert {kind: len(raw.of(kind)) for kind in COUNTS} == FEW
    assert {entry["action"] for entry in raw.ledger} <= set(ACTIONS)
    assert len({entry["raw_line"] for entry in raw.ledger}) == len(raw.ledger)


def test_ledger_lines_point_at_their_dialogue(raw: Raw) -> None:
    for entry in raw.ledger:
        assert f'"id":"{entry["id"]}"'.encode() in raw.lines[entry["raw_line"] - 1]


def test_lines_outside_the_ledger_are_clean(raw: Raw) -> None:
    named = {entry["id"] for entry in raw.ledger}
    train = {text_of(dialogue) for dialogue in raw.splits["train"]}
    clean = [dialogue for dialogue in raw.by_id.values() if dialogue.id not in named]
    assert len(clean) > 100
    for dialogue in clean:
        assert text_of(dialogue) in train
        assert check_dialogue(dialogue, raw.catalogue) == []


def test_a_log_tells_nothing_about_its_origin(raw: Raw) -> None:
    for dialogue in raw.by_id.values():
        assert (dialogue.split, dialogue.family_id, dialogue.goal, dialogue.policy) == (None,) * 4
        assert dialogue.id.startswith("log-")


def test_unreadable_lines_are_the_ones_in_the_ledger(raw: Raw) -> None:
    unreadable = {n for n, line in enumerate(raw.lines, start=1) if _read(line) is None}
    assert unreadable == {entry["raw_line"] for entry in raw.of(*UNREADABLE)}
    assert {entry["action"] for entry in raw.of(*UNREADABLE)} == {"drop"}


def test_all_other_lines_are_valid_records(raw: Raw) -> None:
    for dialogue in raw.by_id.values():
        validate(dialogue)


# -- further lines


@pytest.mark.parametrize("kind", ["exact_duplicate", "spelling_duplicate", *NEAR_COPIES])
def test_copies_come_after_what_they_copy(raw: Raw, kind: str) -> None:
    for entry in raw.of(kind):
        copy, original = raw.dialogue(entry), raw.by_id[entry["of"]]
        assert entry["action"] == "drop" and original.id < copy.id
        assert (text_of(copy) == text_of(original)) == (kind == "exact_duplicate")
        assert check_dialogue(original, raw.catalogue) == []
        assert original.id not in {one["id"] for one in raw.ledger}


@pytest.mark.parametrize("kind", NEAR_COPIES)
def test_near_copies_are_near_and_no_exact_ones(raw: Raw, kind: str) -> None:
    for base, line in raw.made(kind):
        assert line.action == "drop"
        assert 0.6 < similarity(text_of(line.dialogue), text_of(base)) < 1
        assert _values(line.dialogue) <= _values(base)


def test_near_duplicates_greet_or_lack_their_end(raw: Raw) -> None:
    seen = set()
    for base, line in raw.made("near_duplicate", 25):
        copy, original = _texts(line.dialogue), _texts(base)
        if len(copy) == len(original):
            assert copy[0].removesuffix(f" {original[0]}") in phrases("greetings")
            assert copy[1:] == original[1:]
        else:
            assert copy == original[:-2]
        seen.add(len(copy) == len(original))
    assert seen == {True, False}


def test_a_quarter_of_the_turns_is_reworded_and_means_the_same(raw: Raw) -> None:
    for base, line in raw.made("reworded_duplicate"):
        old, new = base.messages, line.dialogue.messages
        changed = [(a, b) for a, b in zip(old, new, strict=True) if a != b]
        assert len(changed) == math.ceil(len(old) / 4)
        for before, after in changed:
            assert before.content.lower() != after.content.lower()
            assert (before.role, before.intent, before.acts) == (
                after.role,
                after.intent,
                after.acts,
            )
        assert _values(line.dialogue) == _values(base)
        assert check_dialogue(line.dialogue, raw.catalogue) == []


def test_customers_words_in_the_logs_come_from_the_training_dialogues(raw: Raw) -> None:
    spoken = {m.content for d in raw.train for m in d.messages if not m.entities}
    for base, line in raw.made("reworded_duplicate", 20):
        for old, new in zip(base.messages, line.dialogue.messages, strict=True):
            if old != new and new.role == "user" and not new.entities:
                assert new.content in spoken


def test_typos_spare_what_is_annotated(raw: Raw) -> None:
    for base, line in raw.made("typo_duplicate"):
        old = [[e.text for e in m.entities] for m in base.messages]
        assert [[e.text for e in m.entities] for m in line.dialogue.messages] == old


def test_label_conflicts_differ_in_one_intent(raw: Raw) -> None:
    for base, line in raw.made("label_conflict", 20):
        pairs = list(zip(base.messages, line.dialogue.messages, strict=True))
        changed = [(a.intent, b.intent) for a, b in pairs if a.intent != b.intent]
        assert len(changed) == 1 and None not in changed[0]
        assert line.action == "flag" and isinstance(line.of, Line)
        assert line.entry(1)["intents"] == [message.intent for message in base.messages]
        assert similarity(text_of(line.dialogue), text_of(base)) > 0.5


def test_leaks_name_the_test_dialogue(raw: Raw) -> None:
    tests = {dialogue.id: dialogue for dialogue in raw.tests}
    for entry in raw.of("leak", "near_leak"):
        leaked, test = text_of(raw.dialogue(entry)), text_of(tests[entry["of"]])
        assert (leaked == test) == (entry["kind"] == "leak")
        assert similarity(leaked, test) > 0.6 and entry["action"] == "drop"
    assert len({entry["of"] for entry in raw.of("leak", "near_leak")}) == 8


def test_minimal_pairs_are_true_and_stay(raw: Raw) -> None:
    for entry in raw.of("minimal_pair"):
        pair, original = raw.dialogue(entry), raw.by_id[entry["of"]]
        assert entry["action"] == "keep"
        assert check_dialogue(pair, raw.catalogue) == []
        assert fact_counts([pair]) != fact_counts([original])


# -- what is said in addition


@pytest.mark.parametrize("kind", SENTENCES)
def test_nothing_but_one_sentence_is_added(raw: Raw, kind: str) -> None:
    file, action = SENTENCES[kind]
    forms = [re.escape(text).replace(r"\{\}", "(.+)") for text in phrases(file)]
    for base, line in raw.made(kind):
        assert line.action == action and (line.expect is None) == (action != "redact")
        before, after = _only_change(base, line.dialogue)
        assert before.role == "user" and before.intent == after.intent
        added = _added(before.content, after.content)
        assert any(re.fullmatch(form, added) for form in forms), added
        if action == "keep":
            assert check_dialogue(line.dialogue, raw.catalogue) == []


@pytest.mark.parametrize("kind", PERSONAL)
def test_redaction_leaves_all_but_the_secret(raw: Raw, kind: str) -> None:
    placeholder = f"[{kind.split('_')[-1].upper()}]"
    for entry in raw.of(kind):
        found, expected = _texts(raw.dialogue(entry)), entry["expect"]
        assert entry["action"] == "redact"
        changed = [(a, b) for a, b in zip(found, expected, strict=True) if a != b]
        assert len(changed) == 1
        before, after = changed[0]
        head, tail = after.split(placeholder)
        secret = before[len(head) : len(before) - len(tail)]
        assert before.startswith(head) and before.endswith(tail)
        assert SECRETS[kind](secret), secret


def _luhn(number: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed([int(c) for c in number])):
        total += digit if place % 2 == 0 else sum(divmod(2 * digit, 10))
    return total % 10 == 0


def _iban(number: str) -> bool:
    plain = number.replace(" ", "")
    turned = plain[4:] + plain[:4]
    digits = "".join(str(ord(c) - 55) if c.isalpha() else c for c in turned)
    return 15 <= len(plain) <= 34 and int(digits) % 97 == 1


def _digits(text: str) -> str:
    return "".join(character for character in text if character.isdigit())


SECRETS: dict[str, Callable[[str], Any]] = {
    "email": re.compile(r"[\w.+-]+@(\w+\.)*example\.(com|org|net)").fullmatch,
    "phone": lambda secret: 9 <= len(_digits(secret)) <= 14,
    "card": lambda secret: len(_digits(secret)) in (15, 16) and _luhn(_digits(secret)),
    "iban": _iban,
    "street_address": re.compile(r"(\d+[ab]? \D+|\D+ \d+(, \d{5} \w+)?)").fullmatch,
    "full_name": re.compile(r"[A-Z]\w+ [A-Z]\w+").fullmatch,
}


def test_known_numbers_prove_the_check_digits() -> None:
    assert _luhn("4111111111111111") and not _luhn("4111111111111112")
    assert _iban("DE89 3704 0044 0532 0130 00") and not _iban("DE88 3704 0044 0532 0130 00")


def test_all_cards_and_accounts_pass_their_check_and_no_parcel_does(raw: Raw) -> None:
    for kind, check in (("card", lambda n: _luhn(_digits(n))), ("iban", _iban)):
        forms = [re.escape(text).replace(r"\{\}", "(.+)") for text in phrases(SENTENCES[kind][0])]
        for base, line in raw.made(kind, 60):
            before, after = _only_change(base, line.dialogue)
            added = _added(before.content, after.content)
            secrets = [m[1] for form in forms if (m := re.fullmatch(form, added))]
            assert any(check(secret) for secret in secrets), added
    for base, line in raw.made("tracking_number", 60):
        before, after = _only_change(base, line.dialogue)
        number = _digits(_added(before.content, after.content))
        assert len(number) >= 16 and not _luhn(number)


def test_phones_and_dates_come_in_many_formats(raw: Raw) -> None:
    for kind, least in (("phone", 6), ("date", 6)):
        shapes = set()
        for base, line in raw.made(kind, 80):
            before, after = _only_change(base, line.dialogue)
            number = re.search(r"[+(]?\d[\d ()./-]+\d", _added(before.content, after.content))
            shapes.add(re.sub(r"\d", "0", number[0])) if number else None
        assert len(shapes) >= least, shapes


def test_addresses_are_left_out_where_they_are_the_matter(raw: Raw) -> None:
    planter = Planter(random.Random(1), raw.catalogue, raw.language, raw.train, raw.tests)
    moving = [d for d in raw.train if any(slot == "address" for slot, _ in _values(d))]
    assert moving
    for dialogue in moving:
        assert planter.plant_street_address(Line(as_log(dialogue), 0.5)) is None


@pytest.mark.parametrize(
    ("kind", "sign"),
    [
        ("ampersand", "&<"),
        ("price", "0123456789"),
        ("hotline", "0800"),
        ("order_number", "0123456789"),
    ],
)
def test_hard_negatives_stay_and_look_the_part(raw: Raw, kind: str, sign: str) -> None:
    for entry in raw.of(kind):
        assert entry["action"] == "keep" and entry["expect"] is None
        assert set(sign) & set(text_of(raw.dialogue(entry)))


def test_order_numbers_and_the_hotline_stay_as_they_are(raw: Raw) -> None:
    for base, line in raw.made("order_number"):
        assert line.dialogue == base
    for base, line in raw.made("hotline"):
        assert raw.catalogue.policies["hotline"] in text_of(line.dialogue)
        if line.dialogue != base:
            _only_change(base, line.dialogue)


def test_an_emoji_is_all_that_is_added(raw: Raw) -> None:
    for base, line in raw.made("emoji"):
        before, after = _only_change(base, line.dialogue)
        assert after.content.removeprefix(f"{before.content} ") in phrases("emoji")


def test_short_replies_stand_between_turns_that_stay(raw: Raw) -> None:
    for base, line in raw.made("short_reply"):
        new = line.dialogue.messages
        at = next(n for n, m in enumerate(new) if m != base.messages[n])
        assert [*new[:at], *new[at + 2 :]] == base.messages
        assert new[at].role == "user" and new[at + 1].role == "assistant"
        assert len(new[at + 1].content.split()) <= 3 and line.action == "keep"
        assert len(new) <= 14


# -- characters and turns


@pytest.mark.parametrize("kind", REPAIRED)
def test_repairs_say_what_is_expected(raw: Raw, kind: str) -> None:
    harmless = {"html_entity": "ampersands", "mojibake": "accents"}
    for base, line in raw.made(kind):
        assert line.action == "repair" and line.expect is not None
        assert line.expect != _texts(line.dialogue)
        if kind not in harmless:
            assert line.expect == _texts(base)
        for text in line.expect:
            assert text.strip() and not set("\u200b\ufeff\u2060Ã\0") & set(text)
            assert "&amp;" not in text and "<b" not in text and "\n" not in text


def test_full_width_letters_are_the_same_letters(raw: Raw) -> None:
    for base, line in raw.made("full_width"):
        before, after = _only_change(base, line.dialogue)
        pairs = [(a, b) for a, b in zip(before.content, after.content, strict=True) if a != b]
        assert pairs and all(ord(b) - ord(a) == 0xFEE0 for a, b in pairs)


def test_long_mails_hold_the_message_and_a_tail(raw: Raw) -> None:
    heads = set()
    for base, line in raw.made("long_mail", 20):
        before, after = _only_change(base, line.dialogue)
        head, tail = after.content.split(before.content)
        assert len(tail) > 300 and tail.count("\n> ") >= 3
        assert re.search(r"\d:\d\d", tail) and not head.startswith(">")
        assert [e.value for e in after.entities] == [e.value for e in before.entities]
        heads.add(bool(head))
    assert heads == {True, False}


def test_split_turns_are_one_message_in_two(raw: Raw) -> None:
    for base, line in raw.made("split_turn", 20):
        assert line.action == "merge" and line.expect == _texts(base)
        new = line.dialogue.messages
        at = next(n for n, m in enumerate(new) if m != base.messages[n])
        assert [*new[:at], *new[at + 2 :]] == [*base.messages[:at], *base.messages[at + 1 :]]
        first, second, whole = new[at], new[at + 1], base.messages[at]
        assert (first.role, second.role) == ("user", "user")
        assert f"{first.content} {second.content}" == whole.content
        assert first.acts + second.acts == whole.acts
        both = [(e.slot, e.text) for e in first.entities + second.entities]
        assert both == [(e.slot, e.text) for e in whole.entities]


def test_open_ends_add_one_word_of_the_customers(raw: Raw) -> None:
    known = {text for texts in sections("last_words").values() for text in texts}
    for base, line in raw.made("open_end"):
        assert line.dialogue.messages[:-1] == base.messages
        assert line.dialogue.messages[-1].role == "user"
        assert line.dialogue.messages[-1].content in known


def test_empty_turns_are_the_only_change(raw: Raw) -> None:
    for base, line in raw.made("empty_turn"):
        new = line.dialogue.messages
        assert any([*new[:n], *new[n + 1 :]] == base.messages for n in range(len(new)))


def test_swaps_swap(raw: Raw) -> None:
    for base, line in raw.made("swapped_roles"):
        assert _texts(line.dialogue) == _texts(base) and line.action == "drop"
        for old, new in zip(base.messages, line.dialogue.messages, strict=True):
            assert {old.role, new.role} == {"user", "assistant"}


# -- replies, labels, policy


def test_loops_repeat_and_cuts_cut(raw: Raw) -> None:
    for base, line in raw.made("looping_reply"):
        before, after = _only_change(base, line.dialogue)
        assert before.role == "assistant" and line.action == "drop"
        assert after.content.count(before.content) >= 5
    for base, line in raw.made("cut_reply"):
        before, after = _only_change(base, line.dialogue)
        assert before.role == "assistant" and line.action == "drop"
        assert before.content.startswith(after.content) and after.content[-1].isalpha()


def test_foreign_replies_come_in_four_languages(raw: Raw) -> None:
    language_of = {
        text: name for name, texts in sections("foreign_replies").items() for text in texts
    }
    seen = set()
    for base, line in raw.made("foreign_reply", 30):
        before, after = _only_change(base, line.dialogue)
        assert before.role == "assistant" and line.action == "drop" and after.entities == []
        seen.add(language_of[after.content])
    assert seen == {"german", "french", "spanish", "italian"}


def test_wrong_intents_leave_the_words(raw: Raw) -> None:
    for base, line in raw.made("wrong_intent", 200):
        before, after = _only_change(base, line.dialogue)
        assert line.action == "flag" and before.intent != after.intent
        assert line.entry(1)["intents"] == [message.intent for message in base.messages]
        assert (before.content, before.entities) == (after.content, after.entities)
        asked = {f"ask_{slot}" for act, slot in before.acts if act == "request"}
        assert after.intent not in asked | {message.intent for message in base.messages}


def test_unconfirmed_actions_lack_question_and_answer(raw: Raw) -> None:
    for base, line in raw.made("unconfirmed_action"):
        new, old = line.dialogue.messages, base.messages
        at = next(n for n, m in enumerate(old) if n == len(new) or m != new[n])
        assert [*old[:at], *old[at + 2 :]] == new and line.action == "drop"
        assert [act for act, _ in old[at].acts] == ["confirm"]
        assert new[at].acts[0][0] == "notify" and new[at].role == "assistant"


def test_wrong_facts_contradict_the_catalogue_in_one_place(raw: Raw) -> None:
    for base, line in raw.made("wrong_fact", 20):
        before, after = _only_change(base, line.dialogue)
        assert line.action == "drop" and before.role == "assistant"
        assert check_dialogue(base, raw.catalogue) == []
        assert len(check_dialogue(line.dialogue, raw.catalogue)) == 1
        wrong = [
            e
            for e, old in zip(after.entities, before.entities, strict=True)
            if e.value != old.value
        ]
        assert len(wrong) == 1 and wrong[0].text == wrong[0].value
        told = {p.facts.get(wrong[0].slot) for p in raw.catalogue.products if not p.held_out}
        assert wrong[0].value in told


def test_forgotten_slots_are_asked_for_again(raw: Raw) -> None:
    for base, line in raw.made("forgotten_slot"):
        new = line.dialogue.messages
        at = next(n for n, m in enumerate(new) if m != base.messages[n])
        assert [*new[:at], *new[at + 2 :]] == base.messages and line.action == "drop"
        asked, given = new[at], new[at + 1]
        assert asked.acts == [["request", "order_number"]] and asked.role == "assistant"
        before = {e.value for e in new[at - 1].entities if e.slot == "order_number"}
        assert {e.value for e in given.entities} <= before and given.entities


# -- the material and the whole


def test_every_file_of_sentences_has_many(raw: Raw) -> None:
    for path in FOLDER.glob("*.txt"):
        lines = [line for texts in sections(path.stem).values() for line in texts]
        assert len(lines) >= 25 and all(line.count("{}") <= 1 for line in lines), path.stem


def test_no_sentence_names_a_product_that_is_held_out(raw: Raw) -> None:
    held = {product.name.lower() for product in raw.catalogue.products if product.held_out}
    for path in FOLDER.glob("*.txt"):
        words = set(re.findall(r"\w+", path.read_text(encoding="utf-8").lower()))
        assert not words & held


def test_about_45_percent_of_the_lines_stay_clean() -> None:
    copies = list(COUNTS)[: list(COUNTS).index("wrong_encoding") + 1]
    lines = WHOLE + sum(COUNTS[kind] for kind in copies)
    assert 0.42 < 1 - sum(COUNTS.values()) / lines < 0.48
    assert all(25 <= count <= 90 for count in COUNTS.values())


def test_every_fact_is_told_in_the_logs(raw: Raw) -> None:
    lines, _ = raw.plant(1, 320, {})
    logs = [Dialogue.from_dict(json.loads(line)) for line in lines]
    assert len(logs) == 320
    assert set(fact_counts(logs)) == set(fact_counts(raw.train))


def test_the_seed_decides_and_clean_dialogues_stay_as_they_are(raw: Raw) -> None:
    before = [dialogue.to_dict() for dialogue in raw.train]
    assert raw.plant() == (raw.lines, raw.ledger)
    assert raw.plant(5)[0] != raw.lines
    assert [dialogue.to_dict() for dialogue in raw.train] == before


def test_too_many_defects_are_refused(raw: Raw) -> None:
    with pytest.raises(ValueError, match="no clean dialogue left that can take a 'markup'"):
        raw.plant(4, 3, {"markup": 4})


@pytest.mark.parametrize(
    ("edits", "content", "spans"),
    [
        ([(0, 0, "Oh, ")], "Oh, a Brisa and a Tarn", ["Brisa", "Tarn"]),
        ([(1, 2, "  "), (7, 8, "  ")], "a  Brisa  and a Tarn", ["Brisa", "Tarn"]),
        ([(2, 7, "Tolvek"), (14, 18, "X")], "a Tolvek and a X", ["Tolvek", "X"]),
        ([(4, 4, "\u200b")], "a Br\u200bisa and a Tarn", ["Br\u200bisa", "Tarn"]),
        ([(2, 2, "<b>"), (7, 7, "</b>")], "a <b>Brisa</b> and a Tarn", ["Brisa", "Tarn"]),
        ([(18, 18, "!")], "a Brisa and a Tarn!", ["Brisa", "Tarn"]),
    ],
)
def test_edits_move_spans(
    edits: list[tuple[int, int, str]], content: str, spans: list[str]
) -> None:
    message = Message(
        "user",
        "a Brisa and a Tarn",
        None,
        [Entity("product", 2, 7, "Brisa", "b"), Entity("product", 14, 18, "Tarn", "t")],
    )
    changed = edited(message, edits)
    assert changed.content == content
    assert [content[e.start : e.end] for e in changed.entities] == spans
    assert [e.text for e in changed.entities] == spans
    assert message.content == "a Brisa and a Tarn"


def test_fact_slots_never_move_off_their_text(raw: Raw) -> None:
    for dialogue in raw.by_id.values():
        for message in dialogue.messages:
            for entity in message.entities:
                assert message.content[entity.start : entity.end] == entity.text
                assert entity.slot not in FACT_SLOTS or entity.text
