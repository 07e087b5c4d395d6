"""Each trap breaks what it says, and its catching assertion fails on it and on nothing else."""

from __future__ import annotations

import ast
import importlib.util
from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from course_lib import traps
from course_lib.batching import IGNORE, pad_batch, trained_ids
from course_lib.chat_format import Encoded, encode_all
from course_lib.dialogue import Dialogue, Entity, Message
from course_lib.losses import lm_loss
from course_lib.models import prepare_for_chat
from course_lib.skew import skewed_prompt
from course_lib.traps import (
    HEALTHY,
    ROW_CHANGES,
    TRAINED,
    TRAPS,
    answers,
    assert_answers_end,
    assert_batch_as_alone,
    assert_isolated,
    assert_nothing_leaks,
    assert_prompt_trained,
    assert_replies_trained,
    assert_same_gradient,
    assert_something_trained,
    beside,
    by_padding_id,
    catches,
    damage,
    end_left_out,
    first_tokens_only,
    leak_gain,
    leaky,
    make_lab,
    mask_dropped,
    mask_late,
    mean_of_means,
    micro_batches,
    naive_mean,
    neighbour_shift,
    own_loss,
    packed_loss,
    silent_batch,
    verdict,
    weights_lost,
    whole_batch,
)
from course_lib.tricks import gradient
from course_lib.truncation import truncate_all
from tests.tiny import ROOT, bpe_tokenizer, tiny_gpt2

NAMES = ("Brisa", "Olmo", "Tarn", "Velu", "Sorra", "Pinto", "Quill", "Marl")


def talk(number: int) -> Dialogue:
    name, price = NAMES[number % len(NAMES)], f"{number + 11} euros"
    said = f"The {name} kettle is {price}."
    start = said.index(price)
    told = Message("assistant", said, acts=[["inform", "price"]])
    told.entities = [Entity("price", start, start + len(price), price, price)]
    return Dialogue(
        f"d{number}",
        [
            Message("user", f"Hello, how much is the {name} kettle?"),
            told,
            Message("user", "Thank you" + "!" * (number % 5)),
            Message("assistant", "You are welcome, have a nice day." * (1 + number % 2)),
        ],
    )


@pytest.fixture(scope="module")
def lab():
    """A tiny model that has learned 48 dialogues nearly by heart."""
    model, tokenizer = prepare_for_chat(tiny_gpt2(positions=256), bpe_tokenizer())
    learn, tests = [talk(n) for n in range(48)], [talk(n) for n in range(100, 108)]
    settings = {"max_steps": 80, "learning_rate": 1e-2, "frozen_tokens": 0, "precision": "fp32"}
    return make_lab(model, tokenizer, learn, tests, **settings)


# ---- the list


@pytest.mark.parametrize("name", TRAPS)
def test_the_test_that_catches_it_is_there(name):
    path, test = TRAPS[name].test.split("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_trap_has_its_figure(lab):
    from course_lib.traps import _DAMAGES

    assert list(_DAMAGES) == list(TRAPS)


# ---- each assertion passes on the healthy path and fails on the trap


def batch_of(lab, change=None, pad_id=None):
    rows = [change(row) if change else row for row in lab.learn[:4]]
    return pad_batch(rows, lab.pad_id if pad_id is None else pad_id)


def masks(lab, change):
    dialogues = lab.dialogues[:4], lab.tokenizer
    right, broken = batch_of(lab), batch_of(lab, change)
    return assert_replies_trained, (right, *dialogues), (broken, *dialogues)


def pad_is_eos(lab):
    end, dialogues = lab.tokenizer.eos_token_id, (lab.dialogues[:4], lab.tokenizer)
    right = batch_of(lab, pad_id=end)
    return assert_replies_trained, (right, *dialogues), (by_padding_id(right, end), *dialogues)


def truncated(lab):
    end, limit = lab.tokenizer.eos_token_id, len(lab.learn[0]) - 3
    right, broken = (truncate_all(lab.learn[:4], limit, s)[0] for s in ("windows", "right"))
    return assert_answers_end, (right, end), (broken, end)


def silent(lab):
    right, broken = batch_of(lab), silent_batch(lab.learn[:4], lab.pad_id)
    return assert_something_trained, (right,), (broken,)


def accumulated(lab):
    parts = micro_batches(lab)
    rows = [row for part in parts for row in unpadded(part)]
    whole = gradient(lab.start, [pad_batch(rows, lab.pad_id)], lm_loss)
    right, broken = (gradient(lab.start, parts, loss) for loss in (lm_loss, mean_of_means))
    return assert_same_gradient, (right, whole), (broken, whole)


def unpadded(batch):
    for ids, labels, there in zip(
        batch["input_ids"], batch["labels"], batch["attention_mask"].bool(), strict=True
    ):
        yield Encoded(ids[there].tolist(), (labels[there] != IGNORE).tolist())


def packed(lab):
    arguments = (lab.start, lab.learn[:2], lab.pad_id)
    return assert_isolated, arguments, (*arguments, leaky)


def skewed(lab):
    history, row = lab.dialogues[0].messages[:-1], lab.learn[0]
    names = ("as trained", "a line end after the role")
    right, broken = (skewed_prompt(history, lab.tokenizer, name) for name in names)
    return assert_prompt_trained, (right, row), (broken, row)


def leaked(lab):
    right, broken = lab.dialogues[:2], [*lab.dialogues[:2], lab.tests[0]]
    assert_clean = [replace(lab.tests[1], id="t")]
    far = [Dialogue("x", [Message("user", "Where is my parcel?"), Message("assistant", "Gone.")])]
    return assert_nothing_leaks, (far, assert_clean), (right + broken, lab.tests)


def padded_right(lab):
    arguments = (lab.run().model, lab.tokenizer, lab.prompts())
    return assert_batch_as_alone, (*arguments, "left"), (*arguments, "right")


CATCHES = {name: (lambda lab, c=change: masks(lab, c)) for name, change in ROW_CHANGES.items()} | {
    "pad = EOS": pad_is_eos,
    "truncated answers": truncated,
    "all-masked batch": silent,
    "mean of means": accumulated,
    "packing leakage": packed,
    "template skew": skewed,
    "test leak": leaked,
    "right padding at generation": padded_right,
}


@pytest.mark.parametrize("name", TRAPS)
def test_its_assertion_fails_on_the_trap_and_passes_on_the_healthy_path(lab, name):
    assertion, right, broken = CATCHES[name](lab)
    assert verdict(assertion, *right) == "passes"
    assert verdict(assertion, *broken).startswith("fails: ")
    assert catches(assertion, right, broken)
    assert not catches(assertion, broken, right)
    assert not catches(assertion, right, right)


def test_an_error_of_another_kind_is_no_verdict():
    with pytest.raises(KeyError):
        verdict(lambda: {}["missing"])


# ---- the broken lines


def test_what_each_broken_mask_trains(lab):
    row = lab.learn[0]
    starts = [i for i, on in enumerate(row.mask) if on and not row.mask[i - 1]]
    assert all(mask_dropped(row).mask)
    assert [i for i, on in enumerate(first_tokens_only(row).mask) if on] == starts
    lost = [i for i, on in enumerate(row.mask) if on and not mask_late(row).mask[i]]
    assert lost == starts
    end = lab.tokenizer.eos_token_id
    assert end not in end_left_out(row).trained_ids
    assert len(end_left_out(row).trained_ids) == sum(row.mask) - row.trained_ids.count(end)
    assert row.ids == mask_late(row).ids == end_left_out(row).ids


def test_a_collator_that_goes_by_the_id_hides_every_end_token(lab):
    end = lab.tokenizer.eos_token_id
    batch = batch_of(lab, pad_id=end)
    broken = by_padding_id(batch, end)
    assert end in trained_ids(batch)
    assert end not in trained_ids(broken)
    assert not broken["attention_mask"][batch["input_ids"] == end].any()
    assert torch.equal(by_padding_id(batch_of(lab), lab.pad_id)["labels"], batch_of(lab)["labels"])


def test_a_silent_batch_kills_the_naive_mean_only(lab):
    model, batch = lab.start, silent_batch(lab.learn[:2], lab.pad_id)
    right = batch_of(lab)
    assert naive_mean(model, right).item() == pytest.approx(lm_loss(model, right).item(), abs=1e-5)
    assert weights_lost(model, right, naive_mean) == 0
    assert weights_lost(model, batch, naive_mean) > 0.5
    assert model(**batch).loss.isnan()
    assert weights_lost(model, batch, lambda m, b: m(**b).loss) == 0  # torch: no label, no gradient
    with pytest.raises(ValueError, match="0/0"):
        lm_loss(model, batch)


def test_a_neighbour_moves_the_logits_only_where_it_leaks(lab):
    model = lab.run().model
    assert neighbour_shift(model, lab.learn[:2], lab.pad_id) < 1e-4
    assert neighbour_shift(model, lab.learn[:2], lab.pad_id, leaky) > 0.1
    isolated, leaking = (packed_loss(model, lab.learn, lab.pad_id, c) for c in (None, leaky))
    from course_lib.metrics import held_out_loss

    alone = held_out_loss(model, lab.learn, lab.pad_id)["eval_loss"]
    assert isolated == pytest.approx(alone, abs=1e-4)
    assert leaking > isolated + 0.01


# ---- the lab


def test_a_run_is_kept_and_the_start_stays_as_it_was(lab):
    before = [weight.clone() for weight in lab.start.parameters()]
    assert lab.run() is lab.run(HEALTHY, 0)
    assert all(map(torch.equal, before, lab.start.parameters()))
    with pytest.raises(KeyError, match="mask dropped"):
        lab.run("mean of means")


@pytest.mark.parametrize("name", TRAINED)
def test_each_training_gets_its_own_data(lab, name):
    rows, batch = lab.rows(name), next(iter(lab.data(name).epoch(0)))
    assert len(batch["input_ids"]) > 0
    if name not in (HEALTHY, "pad = EOS"):
        assert rows != lab.learn
    if name == "test leak":
        assert {row.dialogue_id for row in lab.leaked} <= {row.dialogue_id for row in rows}
        assert not {row.dialogue_id for row in lab.clean} & {row.dialogue_id for row in rows}
    if name == "pad = EOS":
        assert lab.tokenizer.eos_token_id not in trained_ids(batch)
        assert lab.data(name).ids_of(0, 0) == lab.data().ids_of(0, 0)


def test_a_model_that_never_learned_its_end_never_stops(lab):
    healthy, broken = (lab.run(name) for name in (HEALTHY, "end token outside the loss"))
    assert healthy.figures.stops == 1 and broken.figures.stops == 0
    assert damage(lab, "end token outside the loss") == (1, 0)


def test_answers_are_the_courses_own(lab):
    from course_lib.generation import generate

    model, histories = lab.run().model, [question.history for question in lab.questions]
    found = answers(model, lab.tokenizer, lab.prompts())
    assert [answer.text for answer in found] == generate(model, lab.tokenizer, histories, 40)


def test_a_models_own_settings_change_no_answer(lab, monkeypatch):
    model, prompts = lab.run().model, lab.prompts()
    plain = answers(model, lab.tokenizer, prompts)
    config = deepcopy(model.generation_config)
    config.update(repetition_penalty=5.0)
    monkeypatch.setattr(model, "generation_config", config)
    assert answers(model, lab.tokenizer, prompts) == plain
    monkeypatch.setattr(traps, "PLAIN_GREEDY", {"do_sample": False})  # the mutant
    assert answers(model, lab.tokenizer, prompts) != plain


def test_a_leak_gains_on_its_own_half(lab):
    healthy, broken = leak_gain(lab)
    assert broken > healthy + 0.05


@pytest.mark.parametrize(
    "name", ["all-masked batch", "mean of means", "packing leakage", "template skew"]
)
def test_damage_without_a_training_of_its_own(lab, name):
    healthy, broken = damage(lab, name)
    assert broken > healthy


def test_dialogues_that_are_too_long_are_left_out_and_none_is_an_error(lab):
    long = Dialogue("long", [Message("user", "a b " * 200), Message("assistant", "No.")])
    model, tokenizer = lab.start, lab.tokenizer
    assert len(make_lab(model, tokenizer, [long, talk(1)], [talk(2)]).learn) == 1
    with pytest.raises(ValueError, match="no dialogue with a reply"):
        make_lab(model, tokenizer, [long], [talk(2)])


def test_the_batches_of_one_seed_are_the_same(lab):
    a, b = (list(lab.data(name, 1).epoch(0)) for name in (HEALTHY, HEALTHY))
    assert all(torch.equal(x["input_ids"], y["input_ids"]) for x, y in zip(a, b, strict=True))
    assert encode_all(lab.dialogues, lab.tokenizer) == lab.learn


def test_a_loss_through_the_same_broken_mask_hides_the_damage(lab):
    healthy, broken = lab.run(), lab.run("end token outside the loss")
    through = own_loss(lab, broken.name)
    assert broken.figures.loss > healthy.figures.loss + 0.1  # through the right mask it shows
    assert through[1] < through[0] + 0.1
    shown = beside(healthy, broken)
    assert shown["held-out loss"] == (healthy.figures.loss, broken.figures.loss)
    assert shown["replies that stop"] == (1, 0)


def test_micro_batches_hold_what_the_whole_batch_holds(lab):
    parts = [token for part in micro_batches(lab, 3) for token in trained_ids(part)]
    assert parts == trained_ids(whole_batch(lab, 3))


@pytest.mark.parametrize(
    ("name", "differences", "interval", "says"),
    [
        ("mask dropped", (0.1, 0.2, 0.1), (0.02, 0.24), True),
        ("mask dropped", (0.1, 0.3, 0.1), (-0.1, 0.4), False),
        ("mask dropped", (-0.1, -0.2, -0.1), (-0.24, -0.02), False),
        ("pad = EOS", (-0.9, -1.0, -1.0), (-1.1, -0.8), True),
        ("pad = EOS", (-1.0, -1.0, -1.0), (-1.0, -1.0), True),
        ("pad = EOS", (0.0, -1.0, -1.0), (-2.1, 0.8), False),
    ],
)
def test_damage_is_outside_the_noise_when_all_of_it_is(name, differences, interval, says):
    spec = importlib.util.spec_from_file_location("bench", ROOT / "benchmarks" / "traps.py")
    assert spec and spec.loader
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    assert benchmark.outside_the_noise(differences, interval, name) == says
