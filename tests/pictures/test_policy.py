"""The pictures of chapter 10 say in words what they show, and are the same each time."""

from __future__ import annotations

import pytest

from course_lib.annotation.scores import Interval
from course_lib.pictures.policy import (
    RewardPlot,
    act_legend,
    acts_in_words,
    is_right,
    plot_pass_k,
    plot_rewards,
    talk_by_act,
)
from course_lib.policy.agents import DoNothing
from course_lib.policy.customer import draw_customers
from course_lib.policy.episodes import play
from course_lib.policy.rules import RuleAgent

RECORDS = [{"step": n, "reward": 0.1 * n, "kl": 0.01 * n, "words": 9.0} for n in range(1, 5)]


def test_a_talk_ticks_what_was_due():
    (episode,) = play(RuleAgent(), draw_customers(1, seed=4))
    view = talk_by_act(episode)
    assert repr(view).count("who: agent") == len(episode.steps)
    assert "✗" not in repr(view)
    assert "background:" in view.page


def test_a_talk_crosses_what_was_not_and_says_what_was():
    (episode,) = play(DoNothing("Zzz qqq."), draw_customers(1, seed=4))
    text = repr(talk_by_act(episode))
    assert "✗ nothing known" in text
    assert f"was due: {acts_in_words(episode.steps[-1].due)}" in text
    assert not is_right(episode.steps[-1])


def test_hostile_words_are_escaped():
    customers = draw_customers(1, seed=4)
    (episode,) = play(DoNothing("<script>alert(1)</script>"), customers)
    assert "<script>" not in talk_by_act(episode).page


def test_the_legend_names_every_colour():
    assert all(act in repr(act_legend()) for act in ("request", "confirm", "handover"))


def test_rewards_are_drawn_by_key():
    picture = plot_rewards({"one": RECORDS, "other": RECORDS[:2]}, {"reward": "R", "kl": "KL"})
    assert repr(picture) == "<reinforcement: reward, kl by step, one and other>"
    assert [axis.get_title() for axis in picture.figure.axes] == ["R", "KL"]
    assert list(picture.figure.axes[0].get_lines()[0].get_ydata()) == pytest.approx(
        [0.1, 0.2, 0.3, 0.4]
    )


def test_the_live_plot_names_reward_and_kl():
    plot = RewardPlot(total=4)
    for record in RECORDS:
        plot(record)
    assert plot._done() == "reinforcement: step 4 of 4, reward 0.40, KL 0.040"
    assert len(plot.picture().figure.axes) == 3  # a key that no record has gets no panel


def test_pass_k_has_a_bar_where_there_is_an_interval():
    values = [Interval(0.8, 0.7, 0.9), Interval(0.6, 0.4, 0.8)]
    picture = plot_pass_k({"rules": [1.0, 1.0], "SFT": values})
    assert repr(picture) == "<pass^k: pass^k by k, rules and SFT>"
    assert len(picture.figure.axes[0].containers) == 2
