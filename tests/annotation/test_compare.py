"""Methods side by side: every method on every set, the base untouched, figures with intervals."""

from __future__ import annotations

import json
from functools import partial
from itertools import islice

import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")

from course_lib.annotation.compare import (
    compare_entities,
    compare_intents,
    entity_methods,
    intent_methods,
    slots_in_view,
    where_lost,
    wishes_in_view,
)
from course_lib.annotation.history import fit_budget, last_turns, remember
from course_lib.annotation.labels import examples, with_spans
from course_lib.annotation.scores import label_scores, micro_recall
from course_lib.dialogue import Dialogue, Entity, Message, read_dialogues
from tests.tiny import ROOT, tiny_gpt2

TESTS = ("test_iid", "test_phrasing", "test_product")


def some(name: str, count: int):
    return list(islice(read_dialogues(ROOT / "data" / "shop" / f"{name}.jsonl"), count))


@pytest.fixture(scope="module")
def sets():
    return {name: some(name, 8) for name in TESTS}


def test_every_method_is_measured_on_every_set(tokenizer, sets):
    base = tiny_gpt2()
    before = {name: value.clone() for name, value in base.state_dict().items()}
    records = []
    methods = intent_methods(base, tokenizer, steps=2, rows=4, on_record=records.append)
    table = compare_intents(some("train", 25), sets, methods, samples=50)
    assert list(table.figures) == ["majority", "keywords", "TF-IDF", "base + head", "encoder"]
    assert all(tuple(row) == TESTS for row in table.figures.values())
    for row in table.figures.values():
        assert all(0 <= found.low <= found.high <= 1 for found in row.values())
    assert all((value == before[name]).all() for name, value in base.state_dict().items())
    lines = str(table).splitlines()
    assert len(lines) == 6 and lines[0].split() == ["macro-F1", *TESTS]
    table.add("once more", table.models["TF-IDF"])
    assert table.figures["once more"] == table.figures["TF-IDF"]
    assert json.loads(json.dumps(table.to_dict()))["majority"]["test_iid"][0] < 0.1
    found = table.difference("keywords", "majority", "test_iid")
    assert found.low > 0
    assert [record["step"] for record in records] == [1, 2, 3, 4]  # base, then encoder
    assert len(table.said["encoder"]["test_iid"]) == len(table.true("test_iid"))
    assert table.models["TF-IDF"].predict_proba(["Hello!"]).sum() == pytest.approx(1)


def test_where_one_is_wrong_the_other_may_be_right(sets):
    """All of its mistakes for one that is always right, none for one that says the same."""
    true = [str(example.intent) for example in examples(sets["test_iid"])]

    class Says:
        def __init__(self, said):
            self.said = said

        def predict(self, texts):
            return self.said

    methods = {"right": true, "wrong": ["none of them"] * len(true)}
    makers = {name: lambda pairs, said=said: Says(said) for name, said in methods.items()}
    table = compare_intents([], {"test_iid": sets["test_iid"]}, makers, samples=20)
    assert table.rescued("wrong", "right", "test_iid") == 1.0
    assert table.rescued("wrong", "wrong", "test_iid") == 0.0
    assert table.rescued("right", "wrong", "test_iid") == 0.0


def test_the_figure_is_that_of_the_scores(sets):
    class Thanks:
        def predict(self, texts):
            return ["thanks" if "thank" in text.lower() else "ask_price" for text in texts]

    table = compare_intents([], sets, {"by hand": lambda pairs: Thanks()}, samples=20)
    asked = list(examples(sets["test_iid"]))
    expected = label_scores([e.intent for e in asked], Thanks().predict(e.text for e in asked))
    assert table.figures["by hand"]["test_iid"].value == pytest.approx(expected.macro_f1)


def test_entities_side_by_side(tokenizer, sets):
    methods = entity_methods(tiny_gpt2(), tokenizer, steps=2, rows=4)
    table = compare_entities(some("train", 60), sets, methods, samples=50)
    assert list(table.figures) == ["gazetteer", "base + tags", "encoder + tags"]
    assert table.figures["gazetteer"]["test_iid"].value > 0.3
    assert str(table).startswith("strict F1")


# ---- slots in view


def said(role: str, text: str, slot: str = "", part: str = "", value: str = "") -> Message:
    start = text.index(part)
    spans = [Entity(slot, start, start + len(part), part, value or part)] if slot else []
    return Message(role, text, entities=spans)


def order_talk() -> Dialogue:
    """The order number stands in the first message and is named in the last."""
    return Dialogue(
        "d1",
        [
            said("user", "Stop order 1234567890.", "order_number", "1234567890"),
            said("assistant", "Shall I?"),
            said("user", "Yes."),
            said("assistant", "Order 1234567890 is stopped.", "order_number", "1234567890"),
        ],
    )


def test_the_window_loses_what_the_reply_needs_and_memory_keeps_it():
    talks = [order_talk()]
    assert slots_in_view(talks, lambda m: last_turns(m, 2)).tolist() == [[[0, 0, 1]]]
    assert slots_in_view(talks, lambda m: last_turns(m, 3)).tolist() == [[[1, 1, 1]]]
    assert slots_in_view(talks, lambda m: remember(m, 1)).tolist() == [[[1, 1, 1]]]


def test_what_is_lost_has_its_place():
    talk = order_talk()
    assert list(where_lost([talk], lambda m: last_turns(m, 2))) == [(talk, 3, "1234567890")]
    assert list(where_lost([talk], lambda m: m)) == []


def test_the_wish_is_lost_by_the_window_and_kept_by_the_budget():
    talk = order_talk()
    for message, act in zip(talk.messages, ("request", "confirm", "affirm", "notify"), strict=True):
        message.acts = [[act, None]]
    assert wishes_in_view([talk], lambda m: last_turns(m, 2)).tolist() == [[[1, 1, 2]]]
    kept = partial(fit_budget, budget=6, count=lambda m: len(m.content.split()))
    assert wishes_in_view([talk], kept).tolist() == [[[2, 2, 2]]]


def test_memory_is_as_good_as_the_spans_it_reads():
    class Blind:
        def predict(self, texts):
            return [[] for _ in texts]

    blind = with_spans([order_talk()], Blind())
    counts = slots_in_view([order_talk()], lambda m: remember(m, 1), blind)
    assert counts.tolist() == [[[0, 0, 1]]]  # needed all the same


def test_on_the_shop_memory_beats_the_window():
    talks = some("test_iid", 60)
    window = slots_in_view(talks, lambda m: last_turns(m, 2))
    memory = slots_in_view(talks, lambda m: remember(m, 2))
    assert window[..., 2].sum() == memory[..., 2].sum() > 30
    assert micro_recall(window.sum(0)) < micro_recall(memory.sum(0)) == 1
