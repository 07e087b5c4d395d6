"""One change at a time: what each change does, what is refused, and what chance can do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from course_lib import iterating
from course_lib.annotation.scores import Interval
from course_lib.dialogue import Dialogue
from course_lib.errors import cases_of, product_names
from course_lib.experiments import Comparison, ExperimentLog
from course_lib.iterating import (
    Bench,
    Setup,
    agents_acts,
    data_for,
    fact_measure,
    fewer_layers,
    halves,
    hold_together,
    null_rounds,
    reply_measure,
    train_top,
    with_wrong_labels,
)
from course_lib.metrics import fact_questions, states_fact
from course_lib.models import prepare_for_chat
from tests.test_errors import Reader, agent, customer, shop_dialogues
from tests.tiny import bpe_tokenizer, tiny_gpt2

QUESTIONS = fact_questions(shop_dialogues())


def about(number: int, *products: str) -> Dialogue:
    said = " or ".join(products)
    named = [customer(f"{said}?", "ask_price", product=p) for p in products]
    return Dialogue(f"p{number}", [*named, agent("Hello!", ["greet", None])])


# ---- what to choose by


def test_the_halves_share_no_product():
    dialogues = [about(n, f"{name} kettle") for n, name in enumerate("DCBADCBA")]
    mixed = about(8, "A kettle", "B kettle")
    both_kept_back = about(9, "B kettle", "D kettle")
    nothing = Dialogue("p10", [agent("Hello!", ["greet", None])])
    choosing, testing = halves([*dialogues, mixed, both_kept_back, nothing])
    assert [d.id for d in choosing] == ["p1", "p3", "p5", "p7"]  # A and C
    assert [d.id for d in testing] == ["p0", "p2", "p4", "p6", "p9"]


# ---- what can be changed


def test_larger_data_holds_the_smaller():
    dialogues = shop_dialogues() * 10
    small = data_for(dialogues, Setup(dialogues=5))
    assert data_for(dialogues, Setup(dialogues=12))[:5] == small
    orders = data_for(dialogues, Setup(dialogues=10, data="orders"))
    assert {d.id for d in orders} == {"d2"}
    assert {d.id for d in data_for(dialogues, Setup(dialogues=10, data="facts"))} == {"d1"}
    with pytest.raises(ValueError, match="1 to 10"):
        data_for(dialogues, Setup(dialogues=11, data="orders"))


def test_what_the_agent_does_is_told_from_its_acts():
    assert agents_acts(shop_dialogues()[0]) == {"greet", "inform"}


@pytest.mark.parametrize(
    "wrong", [{"data": "all"}, {"parts": "some"}, {"parts": "lora"}, {"share": 1.5}]
)
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ValueError):
        Setup(**wrong)


def test_fewer_layers_are_the_first_ones():
    whole, cut = tiny_gpt2(), fewer_layers(tiny_gpt2(), 1)
    ids = torch.tensor([[1, 2, 3]])
    states = whole(ids, output_hidden_states=True).hidden_states
    expected = whole.lm_head(whole.transformer.ln_f(states[1]))
    assert torch.allclose(cut(ids).logits, expected, atol=1e-5)
    assert cut.generate(ids, max_new_tokens=2, do_sample=False, pad_token_id=0).shape == (1, 5)
    with pytest.raises(ValueError, match="keep 1 to 2"):
        fewer_layers(tiny_gpt2(), 3)


def test_only_the_top_is_trained():
    model = train_top(tiny_gpt2(), 1)
    moving = {n for n, weight in model.named_parameters() if weight.requires_grad}
    assert any("h.1." in n for n in moving) and not any("h.0." in n for n in moving)
    assert "transformer.wte.weight" in moving and "transformer.wpe.weight" not in moving
    with pytest.raises(ValueError, match="2 layers"):
        train_top(tiny_gpt2(), 3)


# ---- runs


@pytest.fixture
def bench(tmp_path, monkeypatch):
    made = []

    def small(start, seed=0):
        made.append(start)
        return prepare_for_chat(tiny_gpt2(positions=512), bpe_tokenizer())

    monkeypatch.setattr(iterating, "new_model", small)
    measures = {
        "facts": fact_measure(QUESTIONS),
        "right": reply_measure(
            cases_of(shop_dialogues())[:3], Reader(), product_names(shop_dialogues())
        ),
    }
    log = ExperimentLog(tmp_path / "runs.jsonl")
    baseline = Setup(dialogues=2, steps=2)
    return Bench(shop_dialogues(), measures, log, baseline)


def test_a_run_stands_in_the_table_with_what_was_changed(bench):
    bench.run("baseline")
    seen = []
    run = bench.run("longer", "does time help?", on_record=seen.append, steps=3)
    assert len(seen) == 3 and run.number == 2 and run.note == "does time help?"
    assert bench.log.compare("longer", "baseline", "facts").changed == {"steps": (2, 3)}
    assert run.data.startswith("2:") and len(run.base) == 12
    assert set(run.outcomes) == {"facts", "right"} and set(bench.models) == {"baseline", "longer"}
    assert run.config["frozen_tokens"] > 0  # what the recipe sets stands there as well


def test_two_changes_at_once_are_refused_and_leave_no_line(bench):
    with pytest.raises(ValueError, match="steps and seed at once"):
        bench.run("both", steps=3, seed=1)
    assert len(bench.log) == 0


def test_a_blend_is_made_from_the_run_that_is_there(bench):
    bench.run("baseline")
    trained = bench._tuned.copy()
    bench.run("blend", share=0.5)
    assert bench._tuned == trained
    weights = {name: m.transformer.h[0].mlp.c_fc.weight for name, m in bench.models.items()}
    start = iterating.new_model("base")[0].transformer.h[0].mlp.c_fc.weight
    assert torch.allclose(weights["blend"], (start + weights["baseline"]) / 2, atol=1e-6)
    assert not torch.allclose(weights["blend"], weights["baseline"])


@pytest.mark.parametrize("change", [{"layers": 1}, {"parts": "top 1"}, {"parts": "lora 2"}])
def test_every_size_and_part_trains_and_answers(bench, change):
    if change.get("parts", "").startswith("lora"):
        pytest.importorskip("peft")
    run = bench.run("changed", **change)
    model = bench.models["changed"]
    assert all(weight.requires_grad for weight in model.parameters())
    assert run.seconds > 0 and 0 <= run.figure("facts").value <= 1


def test_another_seed_is_another_run_and_the_same_seed_the_same(bench):
    bench.run("one")
    one = bench.models["one"].transformer.ln_f.weight.clone()
    bench._tuned.clear()
    bench.run("again")
    assert torch.equal(one, bench.models["again"].transformer.ln_f.weight)
    bench.baseline = replace(bench.baseline, learning_rate=1e-2)
    bench.run("faster")
    assert not torch.equal(one, bench.models["faster"].transformer.ln_f.weight)


# ---- what chance can do


@pytest.mark.parametrize("number", range(8))
def test_what_holds_together_is_holms_rule(number):
    from course_lib.checks import ch11

    ps, level = ch11._HOLM_CASES[number]
    nothing = Interval(0.0, 0.0, 0.0)
    found = [Comparison(str(i), "old", "facts", {}, nothing, p, 0, 0) for i, p in enumerate(ps)]
    held = hold_together(found, level)
    assert [str(i) in held for i in range(len(ps))] == ch11._holm(ps, level)


def test_wrong_labels_make_the_right_value_wrong():
    said = ["It costs 39 euros.", "The Olva lamp costs 45 euros."]
    sound = with_wrong_labels(QUESTIONS, 0.0)
    assert [states_fact(r, q) for r, q in zip(said, sound, strict=True)] == [True, True]
    half = with_wrong_labels(QUESTIONS, 0.5)
    assert sum(states_fact(r, q) for r, q in zip(said, half, strict=True)) == 1


def test_changes_that_do_nothing_fool_as_often_as_the_level_says():
    rounds = null_rounds(rounds=1500, changes=10, questions=200, flips=0.2)
    assert rounds.fooled == pytest.approx(1 - 0.975**10, abs=0.06)
    assert rounds.best.mean() > 0.03 and abs(rounds.kept.mean()) < 0.005
    one = null_rounds(rounds=1500, changes=1, questions=200, flips=0.2)
    assert one.fooled == pytest.approx(0.025, abs=0.015)
    again = null_rounds(rounds=1500, changes=1, questions=200, flips=0.2)
    assert np.array_equal(one.best, again.best)
