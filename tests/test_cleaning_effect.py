"""What cleaning is worth: the ideal data by the ledger, equal runs, losses, faults of replies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

import numpy as np

from course_lib import cleaning_effect
from course_lib.chat_format import encode_all
from course_lib.cleaning_effect import (
    DAMAGES,
    customers_turns,
    damaged,
    dialogue_losses,
    drawn_replies,
    exchanges,
    faults,
    faults_by_kind,
    faulty_share,
    ideal_dialogues,
    loss,
    loss_difference,
    measure_runs,
    probes,
    surprise,
    trained_tokens,
    tune_on,
)
from course_lib.dialogue import Dialogue, Message
from course_lib.metrics import fact_questions, held_out_loss
from course_lib.models import prepare_for_chat
from course_lib.transfer import fact_dialogue
from course_lib.world.catalogue import Product
from tests.tiny import ROOT, bpe_tokenizer, tiny_gpt2, toy_dialogues


def talk(name: str, *turns: str, first: str = "user") -> Dialogue:
    roles = ["user", "assistant"] if first == "user" else ["assistant", "user"]
    return Dialogue(name, [Message(roles[n % 2], text) for n, text in enumerate(turns)])


def said(dialogue: Dialogue) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in dialogue.messages]


def ledger(folder: Path, *entries: tuple[str, str, list[str] | None]) -> Path:
    path = folder / "ledger.jsonl"
    lines = [
        {"raw_line": n, "id": name, "kind": "x", "action": action, "of": None, "expect": expect}
        for n, (name, action, expect) in enumerate(entries, start=1)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


# ---- the ideal data


def test_the_ideal_data_are_what_the_ledger_expects(tmp_path: Path) -> None:
    split = Dialogue("split", [Message("user", "Hi."), Message("user", "It leaks."),
                               Message("assistant", "Where?")])  # fmt: skip
    raw = [
        talk("clean", "Yes?", "Yes."),
        talk("gone", "You fool", "Sorry."),
        talk("dirt", "a &amp; b", "Good."),
        talk("secret", "I am at a@b.example.", "Good."),
        talk("price", "It costs 39 euros", "Yes."),
        split,
        talk("empty", "Hi.", "", "It leaks.", "Where?"),
        talk("open", "Hi.", "Hello.", "Bye."),
    ]
    path = ledger(
        tmp_path,
        ("gone", "drop", None),
        ("dirt", "repair", ["a & b", "Good."]),
        ("secret", "redact", ["I am at [EMAIL].", "Good."]),
        ("price", "keep", None),
        ("split", "merge", ["Hi. It leaks.", "Where?"]),
        ("empty", "repair", ["Hi.", "It leaks.", "Where?"]),
        ("open", "repair", ["Hi.", "Hello."]),
    )
    ideal = {dialogue.id: said(dialogue) for dialogue in ideal_dialogues(raw, path)}
    assert list(ideal) == ["clean", "dirt", "secret", "price", "split", "empty", "open"]
    assert ideal["clean"] == said(raw[0]) and ideal["price"] == said(raw[4])
    assert ideal["dirt"] == [("user", "a & b"), ("assistant", "Good.")]
    assert ideal["secret"][0] == ("user", "I am at [EMAIL].")
    assert ideal["split"] == [("user", "Hi. It leaks."), ("assistant", "Where?")]
    assert [role for role, _ in ideal["empty"]] == ["user", "user", "assistant"]
    assert ideal["open"] == [("user", "Hi."), ("assistant", "Hello.")]


def test_a_ledger_of_other_raw_logs_is_refused(tmp_path: Path) -> None:
    path = ledger(tmp_path, ("d", "repair", ["one", "two", "three", "four"]))
    with pytest.raises(ValueError, match="'d' has 2 messages, the ledger expects 4"):
        ideal_dialogues([talk("d", "Hi.", "Hello.")], path)


def test_no_step_of_the_cleaning_knows_this_module() -> None:
    for path in (ROOT / "course_lib" / "cleaning").glob("*.py"):
        assert "cleaning_effect" not in path.read_text(encoding="utf-8"), path


# ---- runs and losses


@pytest.fixture
def tiny_base(monkeypatch):
    def new_model(start, seed):
        assert start == "base"
        return prepare_for_chat(tiny_gpt2(), bpe_tokenizer())

    monkeypatch.setattr(cleaning_effect, "new_model", new_model)
    monkeypatch.setattr(cleaning_effect, "ROW_LENGTH", 128)


@pytest.fixture
def run(tiny_base):
    return tune_on(toy_dialogues(), steps=2)


def test_runs_take_equal_steps_whatever_the_data(tiny_base) -> None:
    one, other = tune_on(toy_dialogues()[:1], steps=3), tune_on(toy_dialogues(), steps=3)
    assert [len(r.history.records) for r in (one, other)] == [3, 3]
    assert (one.dialogues, other.dialogues) == (1, 3)
    assert trained_tokens(one) == sum(record["tokens"] for record in one.history.records) > 0


def test_the_loss_is_that_of_the_held_out_loss(run) -> None:
    dialogues = toy_dialogues()
    found = dialogue_losses(run, dialogues, rows=2)
    encoded = encode_all(dialogues, run.tokenizer)
    assert found[:, 1].tolist() == [sum(row.mask) for row in encoded]
    theirs = held_out_loss(run.model, encoded, run.tokenizer.pad_token_id)["eval_loss"]
    assert loss(found).value == pytest.approx(theirs, rel=1e-5)


def test_a_difference_is_paired() -> None:
    rng = np.random.default_rng(0)
    tokens = rng.integers(5, 50, 60)
    low = np.stack([tokens * rng.uniform(1, 3, 60), tokens], axis=1)
    high = low + np.stack([0.1 * tokens, 0 * tokens], axis=1)
    found = loss_difference(high, low)
    assert found.value == pytest.approx(0.1) and found.low == pytest.approx(0.1)
    wide = loss(low)
    assert wide.high - wide.low > 0.1  # the dialogues differ far more than the models


def test_runs_are_measured_side_by_side(run) -> None:
    brisa = Product("Brisa", "kettle", "kettles", False, {"price": "39 euros"})
    asked = fact_questions([fact_dialogue(brisa, "price", "{product}?", "{product}: {value}.")])
    measured = measure_runs({"raw": run, "clean": run}, toy_dialogues(), asked)
    difference = measured.difference("raw", "clean")
    assert (difference.value, difference.low, difference.high) == (0.0, 0.0, 0.0)
    lines = str(measured).splitlines()
    assert lines[0].startswith("raw      loss ") and "exact facts 0.00" in lines[0]
    assert lines[2] == "loss, raw minus clean: 0.000 (0.000 to 0.000)"


# ---- damaged replies


def test_an_exchange_ends_in_one_trained_reply() -> None:
    long = "That is no trouble at all here."
    found = exchanges([
        talk("a", "Hi.", "Hello.", "It leaks.", long, "Thanks.", "Bye."),
        talk("b", long, "Who is it?", first="assistant"),
        talk("c", "Hi.", "Yes."),
    ])  # fmt: skip
    assert [dialogue.id for dialogue in found] == ["a"]
    assert found[0].messages[-1].content == long
    assert [message.train for message in found[0].messages] == [False, False, False, True]


def test_every_damage_is_seen_by_the_steps_and_the_sound_reply_is_not() -> None:
    reply = "The warranty of the Brisa kettle runs for two years."
    found = {name: faults(text) for name, text in damaged(reply).items()}
    assert tuple(found) == DAMAGES
    assert found["sound"] == []
    assert found["markup"] == ["damaged text"]
    assert found["cut short"] == ["breaks off"]
    assert found["loop"] == ["a loop"]
    assert found["foreign"] == ["another language"]


def test_probes_differ_in_the_last_reply_only() -> None:
    found = exchanges([talk("a", "Hi.", "We can help you with that here.")])
    sets = probes(found)
    assert set(sets) == set(DAMAGES)
    for name, (dialogue,) in sets.items():
        assert said(dialogue)[:-1] == [("user", "Hi.")]
        assert dialogue.messages[-1].content == damaged("We can help you with that here.")[name]
        assert [message.train for message in dialogue.messages] == [False, True]


def test_the_surprise_is_the_loss_on_each_damage(run) -> None:
    found = exchanges([talk("a", "Hi.", "We can help you with that here.")])
    rows = surprise({"one": run}, found)
    assert tuple(rows) == DAMAGES
    expected = loss(dialogue_losses(run, probes(found)["cut short"]))
    assert rows["cut short"]["one"] == expected


# ---- replies


def test_replies_are_drawn_and_the_seed_decides(run) -> None:
    histories = customers_turns(toy_dialogues())
    one = drawn_replies(run, histories, seed=1, max_new_tokens=8, batch_size=2)
    assert one == drawn_replies(run, histories, seed=1, max_new_tokens=8, batch_size=2)
    assert one != drawn_replies(run, histories, seed=2, max_new_tokens=8, batch_size=2)
    assert len(one) == len(histories)
    assert not any("<|" in reply for reply in one)


def test_the_histories_end_in_what_the_customer_says() -> None:
    found = customers_turns([talk("a", "Hi.", "Hello.", "It leaks.", "Where?")])
    assert [[m["content"] for m in history] for history in found] == [
        ["Hi."],
        ["Hi.", "Hello.", "It leaks."],
    ]


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("It is <b>red</b>.", "damaged text"),
        ("Das ist leider nicht möglich.", "another language"),
        ("Bye now. Bye now. Bye now. Bye now. Bye now.", "a loop"),
        ("For the Brisa", "breaks off"),
        ("I write to ann.lee@example.org then.", "personal data"),
    ],
)
def test_a_fault_is_named(reply: str, fault: str) -> None:
    assert fault in faults(reply)


@pytest.mark.parametrize(
    "reply", ["Yes!", "Is it red?", "It costs 39 euros.", "(All done.)", "Order 1234567890 is on."]
)
def test_a_sound_reply_has_no_fault(reply: str) -> None:
    assert faults(reply) == []


def test_the_shops_own_contacts_are_no_fault() -> None:
    reply = "Call us on 0800 555 0134."
    assert faults(reply) == ["personal data"]
    assert faults(reply, allow=["0800 555 0134"]) == []


def test_shares_of_faults() -> None:
    replies = {"raw": ["Yes.", "For the", ""], "clean": ["Yes.", "No.", "Fine."]}
    assert str(faulty_share(replies["raw"])).startswith("0.67")
    found = faults_by_kind(replies)
    assert set(found) == {"empty", "breaks off"}
    assert (found["empty"]["raw"].right, found["empty"]["clean"].right) == (1, 0)
