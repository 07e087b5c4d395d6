"""The bench of chapter 08: paired effects, shared runs, the planted spike, accumulation."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch

from course_lib import tricks
from course_lib.batching import IGNORE
from course_lib.dialogue import Dialogue, Message
from course_lib.losses import lm_loss
from course_lib.models import prepare_for_chat
from course_lib.norms import small_model
from course_lib.training import History
from course_lib.tricks import (
    T_95,
    Bench,
    Effect,
    Spiked,
    best_and_last,
    effect,
    garbage,
    gradient,
    losses,
    make_bench,
    relative_distance,
    schedule_curves,
    split,
    summary_rows,
)
from tests.tiny import bpe_tokenizer, tiny_gpt2


@pytest.fixture
def bench() -> Bench:
    """A bench so small that a run takes a moment."""
    model, tokenizer = prepare_for_chat(tiny_gpt2(400), bpe_tokenizer())
    talks = [
        Dialogue(f"d{i}", [Message("user", f"Price {i}?"), Message("assistant", f"{i} euros.")])
        for i in range(40)
    ]
    settings = {"max_steps": 4, "warmup_steps": 1, "learning_rate": 0.01, "precision": "fp32"}
    return make_bench(model, tokenizer, talks[:30], talks[30:], frozen_tokens=0, **settings)


def test_the_interval_is_students():
    scipy = pytest.importorskip("scipy.stats")
    without, tried = [2.0, 2.3, 1.9], [1.9, 2.1, 1.85]
    found = effect(without, tried)
    theirs = scipy.ttest_rel(tried, without).confidence_interval(0.95)
    assert found.interval == pytest.approx((theirs.low, theirs.high), abs=1e-3)
    assert found.value == pytest.approx(-0.35 / 3)
    for freedom, point in T_95.items():
        assert point == pytest.approx(scipy.t.ppf(0.975, freedom), abs=6e-4)


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ((-0.5, -0.52, -0.49), "lower loss"),
        ((0.5, 0.52, 0.49), "higher loss"),
        ((-0.1, -0.2, -0.5), "within the noise"),  # one sign, and still not sure
        ((-0.1, 0.1, 0.0), "within the noise"),
    ],
)
def test_the_verdict_follows_the_interval(differences, verdict):
    assert Effect(differences).verdict == verdict
    assert str(Effect(differences)).endswith(verdict)


def test_pairs_take_out_what_a_seed_does_to_both():
    """A large spread between seeds hides nothing when each pair moves alike."""
    without = [1.0, 3.0, 7.0]
    assert effect(without, [x - 0.1 for x in without]).verdict == "lower loss"


@pytest.mark.parametrize(("one", "other"), [([1.0], [1.0]), ([1.0, 2.0], [1.0]), ([], [])])
def test_an_effect_needs_pairs(one, other):
    with pytest.raises(ValueError, match="give 2 to 10 seeds"):
        effect(one, other)


def test_runs_are_copies_kept_under_their_name(bench, capsys):
    before = {name: weight.clone() for name, weight in bench.start.state_dict().items()}
    first = bench.try_out("baseline", seeds=(0, 1))
    again = bench.try_out("baseline", seeds=(0, 1))
    assert again is first and len(first) == 2
    assert capsys.readouterr().out == "baseline: 2 runs\n"
    for name, weight in bench.start.state_dict().items():
        assert torch.equal(weight, before[name])
    assert bench.run(1).loss == losses(first)[1]  # a seed decides all
    assert first[0].loss != first[1].loss
    assert first[0].model is None


def test_one_setting_is_changed_and_the_effect_is_paired(bench):
    bench.try_out("baseline", seeds=(0, 1))
    bench.try_out("hotter", seeds=(0, 1), learning_rate=0.02)
    pairs = zip(losses(bench.trials["baseline"]), losses(bench.trials["hotter"]), strict=True)
    assert bench.effect("hotter").differences == tuple(b - a for a, b in pairs)
    assert list(bench.effects("hotter")) == ["hotter"]
    assert len(bench.records("hotter")["hotter"]) == 2
    assert bench.trials["hotter"][0].history.records[1]["lr"] == 0.02
    row = summary_rows(bench.effects("hotter"))[0]
    assert row[0] == "hotter" and len(row) == 4


def test_a_watched_run_knows_its_best_step(bench):
    trial = bench.run(0, eval_every=1, keep=True)
    step, least, last = best_and_last(trial)
    seen = dict(trial.history.values("eval_loss"))
    assert least == min(seen.values()) == seen[step] and last == seen[4]
    assert bench.evaluate(trial.model)["eval_loss"] == pytest.approx(trial.loss)


def test_another_start(bench):
    trial = bench.run(3, make=lambda seed: deepcopy(bench.start).requires_grad_(seed == 3))
    assert len(trial.history.records) == 4


def test_times_are_measured_in_turns_with_the_settings_of_each_name(bench, monkeypatch):
    bench.try_out("baseline", seeds=(0, 1))
    bench.try_out("hotter", seeds=(0, 1), learning_rate=0.02, eval_every=1, keep=True)
    seconds, rates = iter([3.0, 5.0, 1.0, 4.0]), []

    def timed(model, data, config, evaluate=None):
        rates.append(config.learning_rate)
        assert config.max_steps == 3 and evaluate is None
        spent = next(seconds)
        return History([{"seconds": spent} for _ in range(3)])

    monkeypatch.setattr(tricks, "train", timed)
    times = bench.step_times("baseline", "hotter", steps=3, rounds=2)
    assert rates == [bench.config.learning_rate, 0.02] * 2
    assert times == {"baseline": 1000.0, "hotter": 4000.0}


def test_what_was_not_tried_has_no_times(bench):
    with pytest.raises(KeyError, match="unheard"):
        bench.step_times("unheard")


def test_only_what_fits_into_a_row_is_used():
    model, tokenizer = prepare_for_chat(tiny_gpt2(400), bpe_tokenizer())
    long = Dialogue("long", [Message("user", "word " * 200), Message("assistant", "No.")])
    with pytest.raises(ValueError, match="no dialogue fits"):
        make_bench(model, tokenizer, [long], [long])


def test_every_schedule_has_a_rate_for_every_step(bench):
    curves = schedule_curves(bench.config, 10)
    assert set(curves) >= {"constant", "linear", "cosine"}
    assert all(
        len(curve) == 10 and max(curve) == bench.config.learning_rate for curve in curves.values()
    )


def test_batch_norm_has_two_losses_and_layer_norm_one(bench):
    for kind in ("LayerNorm", "BatchNorm"):
        trial = bench.run(
            0, make=lambda seed, kind=kind: small_model(kind, 406, seed, 16, 1), keep=True
        )
        other = bench.evaluate_by_own_batch(trial.model, 2)
        assert (abs(other - trial.loss) < 1e-4) == (kind == "LayerNorm")


# ---- the spike


def test_garbage_trains_random_ids_everywhere(bench):
    batch = next(bench.data().epoch(0))
    spoilt = garbage(batch, 400)
    assert (spoilt["labels"] != IGNORE).all() and (batch["labels"] == IGNORE).any()
    assert torch.equal(spoilt["labels"], spoilt["input_ids"])
    assert len(set(spoilt["input_ids"].flatten().tolist())) > 100
    assert torch.equal(spoilt["attention_mask"], batch["attention_mask"])


def test_one_batch_of_the_first_epoch_is_spoilt(bench):
    data = bench.data(rows=1)
    spiked = Spiked(data, 1, 400)
    assert len(spiked) == len(data)
    for number in (0, 1):
        pairs = zip(data.epoch(number), spiked.epoch(number), strict=True)
        same = [torch.equal(a["input_ids"], b["input_ids"]) for a, b in pairs]
        assert same == [number == 1 or place != 1 for place in range(len(same))]
    assert len(list(spiked.epoch(0, start=1))) == len(data) - 1


# ---- accumulation


def test_parts_hold_the_rows_in_order(bench):
    batch = next(bench.data(rows=4).epoch(0))
    parts = split(batch, 2)
    for name, whole in batch.items():
        assert torch.equal(torch.cat([part[name] for part in parts]), whole)


def test_accumulation_is_the_big_batch_and_the_mean_of_means_is_not(bench):
    batch = next(bench.data(rows=4).epoch(0))
    batch["labels"][0, 64:] = IGNORE  # rows with unequal numbers of trained tokens
    whole = gradient(bench.start, [batch], lm_loss)
    for parts in (2, 4):
        pieces = split(batch, parts)
        assert relative_distance(gradient(bench.start, pieces, lm_loss), whole) < 1e-5

        def mean_of_means(model, part, tokens, parts=parts):
            return lm_loss(model, part) / parts

        assert relative_distance(gradient(bench.start, pieces, mean_of_means), whole) > 0.01
