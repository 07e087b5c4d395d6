"""Exercises of chapter 07: other right answers pass, and the right answers are the library's."""

from __future__ import annotations

import pytest
import torch

from course_lib.checks import EXERCISES as CHECKS
from course_lib.checks import ch07
from course_lib.plots import LivePlot
from course_lib.stopping import EarlyStopping
from course_lib.training import TrainConfig, learning_rate_at
from tests.checks.wrong_answers_07 import two_marks

EXERCISES = {
    "7.1": (ch07._rate, ch07._RATE_CASES, ch07._RATE_MISTAKES),
    "7.2": (ch07._clipped_rows, ch07._CLIP_CASES, ch07._CLIP_MISTAKES),
    "7.3": (ch07._speed, ch07._SPEED_CASES, ch07._SPEED_MISTAKES),
    "7.4": (ch07._adamw, ch07._ADAM_CASES, ch07._ADAM_MISTAKES),
    "7.5": (ch07._stop, ch07._STOP_CASES, ch07._STOP_MISTAKES),
}


def test_the_librarys_schedule_passes():
    def answer(step, total, warmup, peak):
        config = TrainConfig(schedule="linear", warmup_steps=warmup, learning_rate=peak)
        return learning_rate_at(step, total, config)

    assert ch07.check_learning_rate(answer).passed


def test_torchs_clipping_passes():
    """To six digits: torch adds 1e-6 to the norm."""

    def answer(gradients, limit):
        parameters = [torch.nn.Parameter(torch.zeros(len(row)).double()) for row in gradients]
        for parameter, row in zip(parameters, gradients, strict=True):
            parameter.grad = torch.tensor(row).double()
        torch.nn.utils.clip_grad_norm_(parameters, limit)
        return [parameter.grad for parameter in parameters]

    assert ch07.check_clip_gradients(answer).passed


def test_the_live_plots_speed_passes():
    def answer(records, window):
        return LivePlot(records=records).tokens_per_second(window)

    assert ch07.check_tokens_per_second(answer).passed


def test_torchs_adamw_passes():
    def answer(weight, gradient, m, v, step, rate, decay):
        parameter = torch.nn.Parameter(torch.tensor(weight).double())
        optimizer = torch.optim.AdamW([parameter], lr=rate, betas=(0.9, 0.95), weight_decay=decay)
        parameter.grad = torch.tensor(gradient).double()
        optimizer.state[parameter] = {
            "step": torch.tensor(float(step - 1)),
            "exp_avg": torch.tensor(m).double(),
            "exp_avg_sq": torch.tensor(v).double(),
        }
        optimizer.step()
        state = optimizer.state[parameter]
        return parameter.item(), state["exp_avg"].item(), state["exp_avg_sq"].item()

    assert ch07.check_adamw_step(answer).passed


def test_the_librarys_early_stopping_passes():
    def answer(losses, patience, min_delta):
        stopping = EarlyStopping(patience=patience, min_delta=min_delta)
        for place, loss in enumerate(losses):
            stopping.see({"eval_loss": loss}, place, torch.nn.Linear(1, 1))
            if stopping.over:
                break
        return stopping.best_step, place

    assert ch07.check_stop_early(answer).passed
    assert ch07.check_stop_early(two_marks).passed


@pytest.mark.parametrize(
    "outcome", [3, "text", (1, 2), (1, 2, 3), ([1], "x"), {"a": 1}, True, [None, None], [[None]]]
)
def test_strange_values_do_not_raise(outcome):
    for number in EXERCISES:
        check = CHECKS[number]
        assert check(lambda *_, outcome=outcome: outcome).state in ("wrong", "error")
