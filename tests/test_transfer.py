"""Transfer: intervals, nested subsets, the two starts, and the four groups of questions."""

from __future__ import annotations

import importlib.util
import json
import math
import random

import pytest

pytest.importorskip("torch")

from course_lib import transfer
from course_lib.chat_format import known_tokens
from course_lib.dialogue import Dialogue, write_dialogues
from course_lib.metrics import states_fact
from course_lib.models import prepare_for_chat
from course_lib.training import History
from course_lib.transfer import (
    ASKED,
    GROUPS,
    Point,
    Share,
    by_size,
    config_from,
    curve_table,
    customer_turns,
    fact_dialogue,
    final_loss,
    first_step_below,
    four_groups,
    invented_products,
    learning_curve,
    names_a_value,
    nested_subsets,
    questions_on,
    run_from,
    teaching_dialogues,
    told_facts,
    wilson_interval,
)
from course_lib.world.catalogue import Catalogue, Product, load_catalogue
from tests.tiny import ROOT, bpe_tokenizer, tiny_gpt2, toy_dialogues

NAMES = ("Qaddle", "Wirrup")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.fixture
def tiny_starts(monkeypatch):
    """Both starts are the tiny model; what matters here is how they are treated."""
    monkeypatch.setattr(transfer, "load_base", lambda: (tiny_gpt2(), bpe_tokenizer()))
    monkeypatch.setattr(transfer, "from_scratch", lambda seed: (tiny_gpt2(), bpe_tokenizer()))


# ---- intervals


@pytest.mark.parametrize(
    ("right", "asked", "low", "high"),
    # from the quadratic |p - x| = z sqrt(x (1 - x) / n), whose two roots the interval is
    [(45, 60, None, None), (1, 10, None, None), (0, 20, 0.0, None), (60, 60, None, 1.0)],
)
def test_the_interval_solves_wilsons_equation(right, asked, low, high):
    ends = wilson_interval(right, asked)
    for end, known in zip(ends, (low, high), strict=True):
        if known is not None:
            assert end == pytest.approx(known, abs=1e-9)
        away = abs(right / asked - end)
        assert away == pytest.approx(1.96 * math.sqrt(end * (1 - end) / asked), abs=1e-6)
    assert 0 <= ends[0] <= right / asked <= ends[1] <= 1


def test_the_interval_holds_the_true_share_as_often_as_it_says():
    rng = random.Random(0)
    draws = [sum(rng.random() < 0.8 for _ in range(60)) for _ in range(2000)]
    held = sum(low <= 0.8 <= high for low, high in (wilson_interval(r, 60) for r in draws))
    assert 0.93 < held / 2000 < 0.97


@pytest.mark.parametrize(("right", "asked"), [(1, 0), (-1, 5), (6, 5)])
def test_what_is_no_share_is_refused(right, asked):
    with pytest.raises(ValueError, match="is no share"):
        wilson_interval(right, asked)


def test_a_share_says_value_and_interval():
    assert str(Share(45, 60)) == "0.75 (0.63 to 0.84)"


# ---- learning curves


def test_a_larger_subset_holds_every_smaller_one():
    subsets = nested_subsets(list("abcdefgh"), [2, 5, 8])
    assert [len(subset) for subset in subsets.values()] == [2, 5, 8]
    assert subsets[5][:2] == subsets[2] and sorted(subsets[8]) == list("abcdefgh")
    assert subsets == nested_subsets(list("abcdefgh"), [2, 5, 8])
    assert subsets[8] != nested_subsets(list("abcdefgh"), [8], seed=1)[8]
    assert subsets[8] != list("abcdefgh")


@pytest.mark.parametrize("size", [0, 9])
def test_a_subset_is_no_larger_than_the_data(size):
    with pytest.raises(ValueError, match=f"{size} of 8 dialogues"):
        nested_subsets(list("abcdefgh"), [size])


def test_only_the_base_keeps_its_embeddings(tokenizer):
    assert config_from("base", tokenizer, 10).frozen_tokens == known_tokens(tokenizer) > 0
    assert config_from("random", tokenizer, 10).frozen_tokens == 0


def test_the_starts_differ_in_nothing_else(tokenizer):
    from dataclasses import replace

    base, other = (config_from(start, tokenizer, 30) for start in ("base", "random"))
    assert replace(base, frozen_tokens=0) == other
    assert base.max_steps == 30 and base.warmup_steps < 30


def test_an_unknown_start_is_refused():
    with pytest.raises(ValueError, match="choose from base, random"):
        transfer.new_model("gpt")


def test_a_run_trains_for_its_steps_and_moves_what_it_may(tiny_starts):
    run = run_from("base", toy_dialogues(), steps=3)
    assert (run.dialogues, len(run.history.records)) == (3, 3)
    before = prepare_for_chat(tiny_gpt2(), bpe_tokenizer())[0].get_input_embeddings().weight
    moved = (run.model.get_input_embeddings().weight != before).any(dim=1)
    held = known_tokens(run.tokenizer)
    assert not moved[:held].any()
    free = run_from("random", toy_dialogues(), steps=3).model.get_input_embeddings().weight
    assert (free != before).any(dim=1)[:held].any()


def test_the_curve_has_every_start_on_every_subset(tiny_starts, catalogue):
    questions = {"test": questions_on([(catalogue.products[0], "price")], catalogue)}
    seen: list[Point] = []
    subsets = nested_subsets(toy_dialogues(), [1, 3])
    points = learning_curve(subsets, questions, toy_dialogues(), 2, on_point=seen.append)
    assert points == seen
    found = [(point.run.start, point.run.dialogues) for point in points]
    assert found == [("base", 1), ("base", 3), ("random", 1), ("random", 3)]
    assert all(point.facts["test"].asked == 1 and point.loss > 0 for point in points)
    table = curve_table(points).splitlines()
    assert len(table) == 5 and table[0].split()[:2] == ["start", "dialogues"]
    assert json.loads(json.dumps(points[0].to_dict()))["steps"] == 2


def history_of(*losses: float) -> History:
    records = [{"step": n, "loss": x, "seconds": 0.5} for n, x in enumerate(losses, 1)]
    return History(records)


def test_the_first_step_below_is_that_of_a_mean_not_of_one_lucky_step():
    history = history_of(4.0, 1.0, 4.0, 3.0, 2.0, 1.0)
    assert first_step_below(history, 2.5, window=2) == (2, 1.0)
    assert first_step_below(history, 2.0, window=3) == (6, 3.0)
    assert first_step_below(history, 1.0, window=2) is None


def test_the_final_loss_is_a_mean():
    assert final_loss(history_of(9.0, 1.0, 2.0), window=2) == 1.5


def test_curves_by_size(tiny_starts, catalogue):
    questions = {"test": questions_on([(catalogue.products[0], "price")], catalogue)}
    points = learning_curve({3: toy_dialogues()}, questions, toy_dialogues(), 1)
    assert by_size(points) == {"base": {3: points[0].loss}, "random": {3: points[1].loss}}
    assert by_size(points, "test")["random"][3] == points[1].facts["test"]


# ---- a head for labels


def test_only_customers_turns_with_an_intent_count():
    dialogue = toy_dialogues()[0]
    assert customer_turns([dialogue]) == []
    dialogue.messages[1].intent = dialogue.messages[2].intent = "ask_warranty"
    assert customer_turns([dialogue]) == [(dialogue.messages[1].content, "ask_warranty")]


# ---- where an answer comes from


def test_invented_products_have_new_names_and_familiar_facts(catalogue):
    products = invented_products(catalogue, NAMES)
    assert products == invented_products(catalogue, NAMES)
    for product in products:
        assert set(product.facts) == set(ASKED)
        assert all(product.facts[slot] in catalogue.values(slot) for slot in ASKED)


def test_a_known_name_is_not_invented(catalogue):
    with pytest.raises(ValueError, match="is not invented"):
        invented_products(catalogue, ["Qaddle", catalogue.products[0].name.upper()])


def test_a_taught_dialogue_is_annotated_as_the_shops_are(catalogue):
    taught = teaching_dialogues(invented_products(catalogue, NAMES), copies=12)
    assert len(taught) == 2 * len(ASKED) * 12
    assert len({dialogue.id for dialogue in taught}) == len(taught)
    for dialogue in taught:
        assert Dialogue.from_dict(dialogue.to_dict()) == dialogue  # spans are checked in reading
    assert len({tuple(m.content for m in d.messages) for d in taught}) == len(taught)


def test_the_asked_wording_is_never_taught(catalogue):
    products = invented_products(catalogue, NAMES)
    taught = {d.messages[0].content for d in teaching_dialogues(products)}
    facts = [(product, slot) for product in products for slot in ASKED]
    asked = {question.history[-1]["content"] for question in questions_on(facts, catalogue)}
    assert len(asked) == len(facts) and not asked & taught


def test_a_question_knows_its_value_and_the_rivals(catalogue):
    product = invented_products(catalogue, NAMES)[0]
    (question,) = questions_on([(product, "price")], catalogue)
    price = product.facts["price"]
    others = [value for value in catalogue.values("price") if value != price]
    assert states_fact(f"It costs {price}.", question)
    assert not states_fact(f"It costs {others[0]}.", question)
    assert not states_fact(f"It costs {price} or {others[0]}.", question)
    assert names_a_value(f"It costs {others[0]}.", question, catalogue)
    assert not names_a_value("I do not know.", question, catalogue)


def test_told_is_what_one_reply_states_with_the_name(catalogue):
    product = Product("Qaddle", "kettle", "kettles", False, {"price": "12 euros"})
    told = fact_dialogue(product, "price", "How much is the {product}?", "The {product}: {value}.")
    assert told_facts([told]) == {("Qaddle kettle", "price")}
    told.messages[1].acts = []
    assert told_facts([told]) == set()


def test_the_four_groups_part_the_sources(catalogue):
    stocked = [p for p in catalogue.products if not p.held_out][:4]
    sft = [fact_dialogue(p, "weight", "{product}?", "The {product}: {value}.") for p in stocked]
    taught, unknown = (
        invented_products(catalogue, ["Qaddle"]),
        invented_products(catalogue, ["Wirrup"]),
    )
    groups = four_groups(catalogue, sft, taught, unknown, count=10)
    assert tuple(groups) == GROUPS
    text = {
        name: " ".join(q.history[-1]["content"] for q in found) for name, found in groups.items()
    }
    assert {name: len(found) for name, found in groups.items()} == {
        "pretraining only": 10,
        "both": 4,
        "SFT only": 3,
        "neither": 3,
    }
    assert "Qaddle" in text["SFT only"] and "Wirrup" in text["neither"]
    assert all(p.full_name in text["both"] for p in stocked)
    held_out = [p.full_name for p in catalogue.products if p.held_out]
    for question in groups["pretraining only"]:
        assert any(name in question.history[-1]["content"] for name in held_out)
    assert groups == four_groups(catalogue, sft, taught, unknown, count=10)


# ---- the benchmark


@pytest.fixture
def benchmark():
    path = ROOT / "benchmarks" / "learning_curves.py"
    spec = importlib.util.spec_from_file_location("learning_curves", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def small_shop(tmp_path, catalogue):
    product = catalogue.products[0]
    asked = fact_dialogue(product, "price", "How much is the {product}?", "The {product}: {value}.")
    write_dialogues(toy_dialogues(), tmp_path / "train.jsonl")
    write_dialogues(toy_dialogues(), tmp_path / "test_iid.jsonl")
    write_dialogues([asked], tmp_path / "test_product.jsonl")
    return tmp_path


def test_the_benchmark_says_which_test_set_is_missing(benchmark, tiny_starts, small_shop, capsys):
    options = ["--data", str(small_shop), "--sizes", "1", "all", "--steps", "1"]
    benchmark.main(options)
    printed = capsys.readouterr()
    assert "test_phrasing: not measured, as test_phrasing.jsonl is not there" in printed.out
    assert "no figures for test_phrasing" in printed.err
    benchmark.main([*options, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["missing"] == ["test_phrasing"]
    assert [point["dialogues"] for point in found["points"]] == [1, 3, 1, 3]
    assert set(found["points"][0]["facts"]) == {"test_product"}


def test_the_benchmark_reads_the_phrasings_where_they_are(
    benchmark, tiny_starts, small_shop, capsys
):
    text = (small_shop / "test_product.jsonl").read_text(encoding="utf-8")
    (small_shop / "test_phrasing.jsonl").write_text(text, encoding="utf-8")
    benchmark.main(["--data", str(small_shop), "--sizes", "2", "--steps", "1", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["missing"] == []
    assert set(found["points"][0]["facts"]) == {"test_product", "test_phrasing"}


def test_the_benchmark_needs_a_test_set(benchmark, tmp_path):
    with pytest.raises(SystemExit, match="neither test_product nor test_phrasing"):
        benchmark.read_questions(tmp_path, 3)
