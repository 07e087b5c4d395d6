"""Planted defects: every kind is there, its ledger line tells the truth, spans move along."""

from __future__ import annotations

import json
from typing import Any

import pytest

from course_lib.dialogue import Dialogue, Entity, Message, validate
from course_lib.world.catalogue import FACT_SLOTS, Catalogue, load_catalogue
from course_lib.world.defects import ACTIONS, COUNTS, edited, plant
from course_lib.world.splits import check_dialogue, fact_counts, similarity, text_of, write_splits
from course_lib.world.wordings import load_language

FEW = dict.fromkeys(COUNTS, 4)
UNREADABLE = ("broken_json", "missing_role", "wrong_encoding", "broken_span")


class Raw:
    """Raw lines with their ledger, and the clean dialogues that they come from."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        sizes = {"train": 500, "test_iid": 20}
        self.splits = write_splits(catalogue, load_language(), 4, sizes)
        self.lines, self.ledger = plant(
            self.splits["train"], self.splits["test_iid"], catalogue, 4, 300, FEW
        )
        self.by_id = {d.id: d for line in self.lines if (d := _read(line)) is not None}

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        return [entry for entry in self.ledger if entry["kind"] in kinds]

    def dialogue(self, entry: dict[str, Any]) -> Dialogue:
        return self.by_id[entry["id"]]


def _read(line: bytes) -> Dialogue | None:
    try:
        return Dialogue.from_dict(json.loads(line))
    except ValueError:
        return None


def _texts(dialogue: Dialogue) -> list[str]:
    return [message.content for message in dialogue.messages]


@pytest.fixture(scope="module")
def raw() -> Raw:
    return Raw(load_catalogue())


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


@pytest.mark.parametrize("kind", ["exact_duplicate", "spelling_duplicate", "near_duplicate"])
def test_copies_come_after_what_they_copy(raw: Raw, kind: str) -> None:
    for entry in raw.of(kind):
        copy, original = raw.dialogue(entry), raw.by_id[entry["of"]]
        assert entry["action"] == "drop" and original.id < copy.id
        alike = similarity(text_of(copy), text_of(original))
        assert alike == 1.0 if kind == "exact_duplicate" else alike > 0.5
        assert (text_of(copy) == text_of(original)) == (kind == "exact_duplicate")


def test_leaks_name_the_test_dialogue(raw: Raw) -> None:
    tests = {dialogue.id: dialogue for dialogue in raw.splits["test_iid"]}
    for entry in raw.of("leak"):
        assert text_of(raw.dialogue(entry)).endswith(text_of(tests[entry["of"]]))


def test_minimal_pairs_are_true_and_stay(raw: Raw) -> None:
    for entry in raw.of("minimal_pair"):
        pair, original = raw.dialogue(entry), raw.by_id[entry["of"]]
        assert entry["action"] == "keep"
        assert check_dialogue(pair, raw.catalogue) == []
        assert fact_counts([pair]) != fact_counts([original])


@pytest.mark.parametrize(
    "kind", ["markup", "html_entity", "mojibake", "zero_width", "empty_turn", "email", "phone"]
)
def test_repairs_say_what_is_expected(raw: Raw, kind: str) -> None:
    for entry in raw.of(kind):
        found = _texts(raw.dialogue(entry))
        assert entry["action"] == ("redact" if kind in ("email", "phone") else "repair")
        assert entry["expect"] != found
        for text in entry["expect"]:
            assert text.strip() and not set("\u200b\ufeff\u2060Ãâ\0") & set(text)
            assert "&amp;" not in text and "<b" not in text and "@" not in text


def test_redaction_leaves_all_but_the_secret(raw: Raw) -> None:
    for entry in raw.of("email", "phone"):
        placeholder = f"[{entry['kind'].upper()}]"
        found, expected = _texts(raw.dialogue(entry)), entry["expect"]
        changed = [(a, b) for a, b in zip(found, expected, strict=True) if a != b]
        assert len(changed) == 1
        before, after = changed[0]
        head, tail = after.split(placeholder)
        secret = before[len(head) : len(before) - len(tail)]
        assert before.startswith(head) and before.endswith(tail)
        assert "@" in secret if entry["kind"] == "email" else sum(map(str.isdigit, secret)) >= 9


@pytest.mark.parametrize(
    ("kind", "sign"),
    [("ampersand", "&<"), ("price", "0123456789"), ("hotline", "0800"), ("order_number", "01")],
)
def test_hard_negatives_stay_and_look_the_part(raw: Raw, kind: str, sign: str) -> None:
    for entry in raw.of(kind):
        assert entry["action"] == "keep" and entry["expect"] is None
        assert set(sign) & set(text_of(raw.dialogue(entry)))


def test_loops_repeat_and_swaps_swap(raw: Raw) -> None:
    for entry in raw.of("looping_reply"):
        replies = [m.content for m in raw.dialogue(entry).messages if m.role == "assistant"]
        assert any(reply.count(reply[:12]) >= 5 for reply in replies)
    for entry in raw.of("swapped_roles"):
        told = [m for m in raw.dialogue(entry).messages for act, _ in m.acts if act == "notify"]
        assert all(message.role == "user" for message in told)


def test_every_fact_is_told_in_the_logs(raw: Raw) -> None:
    lines, _ = plant(raw.splits["train"], [], raw.catalogue, 1, 400, {})
    logs = [Dialogue.from_dict(json.loads(line)) for line in lines]
    assert len(logs) == 400
    assert set(fact_counts(logs)) == set(fact_counts(raw.splits["train"]))


def test_the_seed_decides_and_clean_dialogues_stay_as_they_are(raw: Raw) -> None:
    train, tests = raw.splits["train"], raw.splits["test_iid"]
    before = [dialogue.to_dict() for dialogue in train]
    again = plant(train, tests, raw.catalogue, 4, 300, FEW)
    assert again == (raw.lines, raw.ledger)
    assert plant(train, tests, raw.catalogue, 5, 300, FEW)[0] != raw.lines
    assert [dialogue.to_dict() for dialogue in train] == before


def test_too_many_defects_are_refused(raw: Raw) -> None:
    with pytest.raises(ValueError, match="no clean dialogue left that can take a 'markup'"):
        plant(raw.splits["train"], [], raw.catalogue, 4, 3, {"markup": 4})


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
