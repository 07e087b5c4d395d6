"""Methods side by side: every method on every set, the base untouched, figures with intervals."""

from __future__ import annotations

import json
from itertools import islice

import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")

from course_lib.annotation.compare import (
    compare_entities,
    compare_intents,
    entity_methods,
    intent_methods,
)
from course_lib.annotation.labels import examples
from course_lib.annotation.scores import label_scores
from course_lib.dialogue import read_dialogues
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
    methods = intent_methods(base, tokenizer, steps=2, rows=4)
    table = compare_intents(some("train", 25), sets, methods, samples=50)
    assert list(table.figures) == ["majority", "keywords", "TF-IDF", "base + head", "encoder"]
    assert all(tuple(row) == TESTS for row in table.figures.values())
    for row in table.figures.values():
        assert all(0 <= found.low <= found.high <= 1 for found in row.values())
    assert all((value == before[name]).all() for name, value in base.state_dict().items())
    lines = str(table).splitlines()
    assert len(lines) == 6 and lines[0].split() == ["macro-F1", *TESTS]
    assert json.loads(json.dumps(table.to_dict()))["majority"]["test_iid"][0] < 0.1
    found = table.difference("keywords", "majority", "test_iid")
    assert found.low > 0


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
