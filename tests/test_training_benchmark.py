"""The benchmark of training: its jobs run, its figures are right, busy cores are refused."""

from __future__ import annotations

import importlib.util
import sys
from types import SimpleNamespace

import pytest

from course_lib.models import ROOT


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("bench", ROOT / "benchmarks" / "training.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["bench"]


@pytest.fixture(scope="module")
def shop(bench):
    return bench.conversations(80)


def test_the_conversations_are_of_the_named_lengths(bench, shop):
    tokenizer, learn, held_out = shop
    lengths = [len(row) for row in bench.encoded([*learn, *held_out], tokenizer)]
    assert len(learn) == 80 and len(held_out) == 20
    assert min(lengths) >= bench.SHORTEST and max(lengths) <= bench.LONGEST
    assert not {d.family_id for d in learn} & {d.family_id for d in held_out}


@pytest.mark.parametrize("name", ["ours", "trl_default", "trl_tuned", "trainer_tuned"])
def test_a_job_trains_the_model(bench, shop, name):
    if name.startswith("trl"):
        pytest.importorskip("trl")
    tokenizer, learn, held_out = shop
    model = bench.new_model(tokenizer, seed=0)
    before = held_out_loss(bench, model, held_out, tokenizer)
    bench.JOBS[name](model, tokenizer, learn, 0)
    assert held_out_loss(bench, model.float(), held_out, tokenizer) < before - 0.001


def held_out_loss(bench, model, dialogues, tokenizer) -> float:
    from course_lib.metrics import held_out_loss as measured

    return measured(model, bench.encoded(dialogues, tokenizer), tokenizer.pad_token_id)["eval_loss"]


def rows_of(bench, **speeds):
    return {
        name: [
            {"seconds": 10.0, "tokens": 10 * speed, "loss": 1.0 + i, "peak_mib": i} for i in (1, 3)
        ]
        for name, speed in speeds.items()
    }


def test_the_figures_are_ratios_of_whole_jobs(bench):
    found = bench.summary(
        rows_of(bench, ours=900, trl_default=150, trl_tuned=300, trainer_tuned=450),
        peak=6 * 900 * 1_000_000 * 2.0,
        weights=1_000_000,
    )
    assert found["ours"] == 900 and found["ratio_trl_default"] == 6
    assert found["ratio_trl_tuned"] == 3 and found["ratio_trainer_tuned"] == 2
    assert found["share_of_peak"] == pytest.approx(0.5)
    assert found["loss"]["ours"] == 3.0 and found["peak_mib"]["trl_tuned"] == 3
    text = bench.table(found)
    assert "trl_default" in text and "6.0 x" in text and "50%" in text


def test_it_counts_the_weights_that_tokens_are_multiplied_with(bench):
    hidden = 6 * 12 * 192 * 192
    assert bench.weights_in_products() == hidden + 192 * len(bench.conversations(1)[0])


def test_a_busy_machine_is_refused(bench, monkeypatch):
    monkeypatch.setattr(bench, "busy_share", lambda: 0.4)
    with pytest.raises(SystemExit, match="other processes use 40% of the cores"):
        bench.refuse_if_busy(anyway=False)
    bench.refuse_if_busy(anyway=True)
    monkeypatch.setattr(bench, "busy_share", lambda: 0.05)
    bench.refuse_if_busy(anyway=False)


def test_the_share_of_busy_cores_comes_from_the_systems_clock(bench, monkeypatch):
    ticks = iter([(1000, 400), (2000, 1150)])
    monkeypatch.setattr(bench, "_ticks", lambda: next(ticks))
    assert bench.busy_share(0.0) == pytest.approx(0.25)


def test_a_job_that_breaks_is_named_with_its_error(bench, monkeypatch):
    broken = SimpleNamespace(returncode=1, stdout="", stderr="RuntimeError: no such thing")
    monkeypatch.setattr(bench.subprocess, "run", lambda *a, **k: broken)
    with pytest.raises(SystemExit, match="trl_tuned, seed 2:\nRuntimeError: no such thing"):
        bench.job_apart("trl_tuned", 2, 10)
