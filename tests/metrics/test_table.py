"""The whole table, on a model of random weights and on replies whose figures are known."""

from __future__ import annotations

import json

import pytest

from course_lib.dialogue import Dialogue, Entity, Message
from course_lib.generation import Reply
from course_lib.metrics.acts import acts_of
from course_lib.metrics.table import Answered, answer, evaluate_all, measures_of, reply_turns
from course_lib.models import prepare_for_chat
from tests.kinds import KINDS
from tests.tiny import tiny_gpt2, tiny_llama


def gold(content, *acts, value=""):
    entities = []
    if value:
        at = content.index(value)
        entities = [Entity("weight", at, at + len(value), value, value)]
    return Message("assistant", content, entities=entities, acts=[list(act) for act in acts])


DIALOGUES = [
    Dialogue(
        "d1",
        [
            Message("user", "How heavy is it?"),
            gold("Which product is it?", ("request", "product")),
            Message("user", "The blender."),
            gold("It weighs 3 kilograms.", ("inform", "weight"), value="3 kilograms"),
        ],
    ),
    Dialogue(
        "d2",
        [
            Message("user", "Sing a song."),
            gold("I cannot help with that.", ("decline", "out_of_scope")),
            Message("user", "How heavy is the kettle?"),
            gold("It weighs 2 kilograms.", ("inform", "weight"), value="2 kilograms"),
        ],
    ),
    Dialogue(
        "d3",
        [
            gold("Welcome!", ("greet", None)),
            Message("user", "Sell me your shop. Cancel my order."),
            gold("A colleague takes over.", ("handover", None)),
            Message("user", "And cancel my order."),
            gold("Shall I cancel it?", ("confirm", "cancel_order")),
        ],
    ),
]


def said(*pairs):
    """An Answered for DIALOGUES from (text, acts) of each turn."""
    replies = tuple(Reply(text, [1], bool(text)) for text, _ in pairs)
    acts = tuple(frozenset(acts) for _, acts in pairs)
    return Answered(tuple(DIALOGUES), tuple(reply_turns(DIALOGUES)), replies, acts)


def figures(found):
    return {name: score.value for name, score, _ in measures_of(found)}


def test_gold_replies_have_every_figure_at_its_best():
    turns = [DIALOGUES[d].messages[m] for d, m in reply_turns(DIALOGUES)]
    found = figures(said(*[(m.content, acts_of(m)) for m in turns]))
    for name in (
        "exact facts",
        "ask F1",
        "confirm F1",
        "hand-over",
        "hand-over or clarification",
        "out-of-scope recall",
        "out-of-scope precision",
        "stop rate",
        "ROUGE-L",
    ):
        assert found[name] == pytest.approx(1), name
    assert found["BLEU"] == pytest.approx(100)
    assert found["chrF"] == pytest.approx(100)


def test_each_mistake_lowers_its_own_figure():
    found = figures(
        said(
            ("What is your order number?", {"request order_number"}),  # asks for another thing
            ("It weighs 2 kilograms.", {"inform"}),  # the other's weight
            ("Sorry, no.", {"decline"}),
            ("Sorry, no.", {"decline"}),  # was to be answered
            ("Which one do you mean?", {"request product"}),  # clarifies where gold hands over
            ("", set()),  # never ended
        )
    )
    assert found["exact facts"] == 0
    assert found["ask F1"] == 0
    assert found["confirm F1"] == 0
    assert found["hand-over"] == 0
    assert found["hand-over or clarification"] == 1
    assert found["out-of-scope recall"] == 1
    assert found["out-of-scope precision"] == 0.5
    assert found["stop rate"] == pytest.approx(5 / 6)


def test_an_opening_turn_is_not_asked_for():
    assert reply_turns(DIALOGUES) == [(0, 1), (0, 3), (1, 1), (1, 3), (2, 2), (2, 4)]
    with pytest.raises(ValueError, match="no assistant turn"):
        answer(None, None, [DIALOGUES[2].__class__("d", DIALOGUES[2].messages[:2])])


@pytest.mark.parametrize(("make", "kind"), [(tiny_gpt2, "llama2"), (tiny_llama, "qwen")])
def test_a_random_model_of_another_make_goes_through(make, kind):
    model, tokenizer = prepare_for_chat(make(), KINDS[kind]())
    told = []
    table = evaluate_all(
        model,
        tokenizer,
        {"one": DIALOGUES, "two": DIALOGUES[:1]},
        lambda texts: [frozenset({"inform"})] * len(texts),
        max_new_tokens=4,
        on_progress=lambda *heard: told.append(heard),
    )
    assert table.test_sets() == ["one", "two"]
    assert table.value("one", "loss").value > 3
    assert table.value("one", "exact facts").value == 0
    assert told[-1] == ("two", 2, 2)
    for row in table.rows:
        assert row.interval.low <= row.interval.value <= row.interval.high, row
    assert "out-of-scope recall" not in table.to_dict()["two"]
    assert json.loads(json.dumps(table.to_dict()))["one"]["BLEU"]["signature"].startswith("BLEU|")
    lines = table.markdown().splitlines()
    assert lines[0] == "| measure | one | two |"
    assert len(lines) == 2 + len(table.measures())
    assert {line.count("|") for line in lines} == {4}
    assert "loss" in str(table)
    with pytest.raises(KeyError, match="no 'fame'"):
        table.value("one", "fame")


def test_without_a_recogniser_no_act_is_measured():
    model, tokenizer = prepare_for_chat(tiny_gpt2(), KINDS["ours"]())
    found = answer(model, tokenizer, DIALOGUES, max_new_tokens=2)
    assert not {"ask F1", "hand-over"} & {name for name, _, _ in measures_of(found)}
