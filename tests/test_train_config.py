"""The config: wrong settings are named, and it prints what it changes."""

from __future__ import annotations

import pytest

from course_lib.train_config import TrainConfig


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"schedule": "step"}, "schedule 'step': choose from constant, linear, cosine, wsd"),
        ({"optimizer": "sgd"}, "optimizer 'sgd'"),
        ({"precision": "fp8"}, "precision 'fp8'"),
        ({"accumulation": 0}, "positive"),
        ({"learning_rate": 0.0}, "positive"),
        ({"clip": 0.0}, "positive"),
        ({"max_steps": 0}, "max_steps"),
        ({"checkpoint_every": 0}, "checkpoint_every"),
        ({"dropout": 1.0}, "dropout"),
        ({"decay_share": 1.5}, "decay_share"),
        ({"patience": -1}, "patience"),
        ({"patience": 2}, "eval_every"),
    ],
)
def test_bad_settings_are_named(settings, says):
    with pytest.raises(ValueError, match=says):
        TrainConfig(**settings)


def test_it_prints_what_differs_from_the_defaults():
    lines = str(TrainConfig(learning_rate=7e-4, schedule="wsd")).splitlines()
    assert lines == [
        "TrainConfig    value   by default",
        "learning_rate  0.0007  0.001",
        "schedule       wsd     cosine",
    ]
    assert str(TrainConfig()) == "TrainConfig: all as by default"
