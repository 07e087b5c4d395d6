"""Each measure is a module that `evaluate` loads from its folder, alone or combined, offline."""

from __future__ import annotations

import evaluate
import pytest

from course_lib.metrics import classes, overlap
from course_lib.metrics.as_module import (
    combine_measures,
    load_measure,
    measure_names,
    measure_path,
)

REPLIES, GOLD = ["It weighs 3 kilograms.", "Hello there"], ["It weighs 4 kilograms.", "Hello"]
LABELS = {"predictions": ["a", "b", "b"], "references": ["a", "a", "b"]}
LOG = {"predictions": [[-1.0, -2.0], [-0.5, -9.0]], "references": [[3, 4], [5, -100]]}
TEXTS = {"predictions": REPLIES, "references": GOLD}
FACTS = [{"required": ["3 kilograms"], "rivals": ["4 kilograms"]}, {"required": [], "rivals": []}]
CASES = {
    "accuracy": (LABELS, 2 / 3),
    "bleu": (TEXTS, overlap.bleu(REPLIES, GOLD).value),
    "chrf": (TEXTS, overlap.chrf(REPLIES, GOLD).value),
    "confusion_matrix": (LABELS, [[1, 1], [0, 1]]),
    "distinct": ({"predictions": ["a b c", "a b"]}, 2 / 3),
    "entity_f1": ({"predictions": [["B-a", "O"]], "references": [["B-a", "I-a"]]}, 0.0),
    "exact_facts": ({"predictions": REPLIES, "references": FACTS}, 1.0),
    "f1": (LABELS, 2 / 3),
    "masked_loss": (LOG, 3.5 / 3),
    "parse_failures": ({"predictions": ["{}", "{"]}, 0.5),
    "perplexity": (LOG, 2.718281828 ** (3.5 / 3)),
    "precision": (LABELS | {"label": "a"}, 1.0),
    "recall": (LABELS | {"label": "a"}, 0.5),
    "repetition": ({"predictions": ["a b c d a b c d"]}, 1 / 5),
    "reply_length": ({"predictions": REPLIES}, 3.0),
    "rouge_l": (TEXTS, overlap.rouge_l(REPLIES, GOLD).value),
    "stop_rate": ({"predictions": [1, 0]}, 0.5),
    "token_accuracy": ({"predictions": [[1, 2, 3]], "references": [[1, 5, -100]]}, 0.5),
}


def test_every_module_has_a_case():
    assert measure_names() == sorted(CASES)


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_module_gives_the_measures_figure(name):
    given, expected = CASES[name]
    found = load_measure(name).compute(**given)
    if name == "confusion_matrix":
        assert found[name] == expected
    else:
        assert found[name] == pytest.approx(expected)
        low, high = found[f"{name}_interval"]
        assert low <= found[name] + 1e-9
        assert found[name] <= high + 1e-9
        assert found[f"{name}_signature"]


def test_evaluates_own_call_takes_the_path(tmp_path):
    module = evaluate.load(str(measure_path("bleu")), cache_dir=str(tmp_path))
    expected = overlap.bleu(REPLIES, GOLD).value
    assert module.compute(**TEXTS)["bleu"] == pytest.approx(expected)


def test_measures_are_combined_and_take_the_dialogues():
    both = combine_measures(["bleu", "rouge_l"])
    found = both.compute(**TEXTS, groups=["d", "d"])
    assert found["bleu"] == pytest.approx(overlap.bleu(REPLIES, GOLD).value)
    assert found["rouge_l_interval"][0] == pytest.approx(found["rouge_l"])  # one dialogue only


def test_labels_may_be_sets_and_batches_add_up():
    module = load_measure("f1")
    module.add_batch(predictions=[["a"], ["a", "b"]], references=[["a"], ["b"]])
    module.add_batch(predictions=[["c"]], references=[["a"]])
    expected = classes.f1([["a"], ["b"], ["a"]], [["a"], ["a", "b"], ["c"]], average="micro").value
    assert module.compute(average="micro")["f1"] == pytest.approx(expected)


def test_references_the_wrong_way_round_are_refused():
    with pytest.raises(ValueError, match="Mismatch|wrong way round"):
        load_measure("bleu").compute(predictions=REPLIES, references=[GOLD])


def test_a_measure_that_is_not_there():
    with pytest.raises(ValueError, match="there are accuracy, bleu"):
        load_measure("meteor")
