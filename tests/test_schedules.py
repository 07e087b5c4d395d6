"""Schedules: equal to transformers' at every step; a wrong one does not pass as equal."""

from __future__ import annotations

import math

import pytest
import torch
from transformers import get_scheduler

from course_lib import schedules
from course_lib.schedules import SCHEDULES, rate_at
from course_lib.training import TrainConfig, learning_rate_at

THEIRS = {"constant": "constant_with_warmup", "wsd": "warmup_stable_decay"}
STEPS = 40


def rates_of_transformers(name: str, warmup: int, decay: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    extra = {"scheduler_specific_kwargs": {"num_decay_steps": decay}} if name == "wsd" else {}
    scheduler = get_scheduler(
        THEIRS.get(name, name),
        optimizer,
        num_warmup_steps=warmup,
        num_training_steps=STEPS,
        **extra,
    )
    rates = []
    for _ in range(STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def assert_equal(name: str, warmup: int, share: float) -> None:
    config = TrainConfig(schedule=name, warmup_steps=warmup, learning_rate=0.3, decay_share=share)
    ours = [learning_rate_at(step, STEPS, config) for step in range(STEPS)]
    theirs = rates_of_transformers(name, warmup, round(share * STEPS))
    assert ours == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warmup", [0, 1, 7])
@pytest.mark.parametrize("share", [0.2, 0.5])
def test_every_step_equals_transformers(name, warmup, share):
    assert_equal(name, warmup, share)


@pytest.mark.parametrize(
    ("name", "mutant"),
    [
        ("linear", lambda progress, decay: 1.0 - progress * (STEPS + 1) / STEPS),  # one step late
        ("cosine", lambda progress, decay: math.cos(0.5 * math.pi * progress)),
        ("wsd", lambda progress, decay: schedules._cosine(progress, 0.0)),  # no stable part
        ("constant", lambda progress, decay: 1.0 - progress),
    ],
)
def test_a_wrong_schedule_is_noticed(monkeypatch, name, mutant):
    monkeypatch.setitem(SCHEDULES, name, mutant)
    with pytest.raises(AssertionError):
        assert_equal(name, 7, 0.2)


def test_warmup_rises_from_nothing_to_the_peak():
    rates = [rate_at("constant", 2.0, step, 10, 4) for step in range(10)]
    assert rates[:5] == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert set(rates[5:]) == {2.0}


def test_a_run_longer_than_planned_stays_at_the_last_rate():
    assert rate_at("linear", 1.0, 99, 40, 0) == 0.0
    assert rate_at("wsd", 1.0, 99, 40, 0, 8) == 0.0
