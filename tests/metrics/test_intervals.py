"""Dialogues are resampled and swapped whole; a difference that is chance is not called one."""

from __future__ import annotations

import numpy as np
import pytest

from course_lib.metrics.intervals import (
    bootstrap,
    bootstrap_totals,
    by_dialogue,
    mean,
    paired,
    paired_totals,
    ratio,
)

RNG = np.random.default_rng(0)
VALUES = RNG.random(120)


def test_the_interval_holds_the_mean_and_narrows_with_more_values():
    found = bootstrap(VALUES)
    assert found.value == pytest.approx(VALUES.mean())
    assert found.low < found.value < found.high
    spread = VALUES.std() / np.sqrt(len(VALUES))
    assert found.high - found.low == pytest.approx(2 * 1.96 * spread, rel=0.1)


def test_whole_dialogues_are_drawn():
    """Four copies of each value in one dialogue tell no more than one of them."""
    copies, groups = np.repeat(VALUES, 4), np.repeat(np.arange(120), 4).tolist()
    alone, by_turn, grouped = bootstrap(VALUES), bootstrap(copies), bootstrap(copies, groups)
    width = lambda interval: interval.high - interval.low  # noqa: E731
    assert width(grouped) == pytest.approx(width(alone))
    assert width(by_turn) < 0.7 * width(grouped)


def test_any_statistic_gives_the_same_as_the_fast_mean_within_chance():
    groups = [i // 3 for i in range(120)]
    fast = bootstrap(VALUES, groups)
    slow = bootstrap(VALUES, groups, statistic=lambda values: float(values.mean()))
    assert slow.value == pytest.approx(fast.value)
    assert slow.low == pytest.approx(fast.low, abs=0.02)
    assert slow.high == pytest.approx(fast.high, abs=0.02)
    median = bootstrap(VALUES, groups, statistic=lambda values: float(np.median(values)))
    assert median.low <= np.median(VALUES) <= median.high


def test_it_is_seeded():
    assert bootstrap(VALUES, seed=1) == bootstrap(VALUES, seed=1) != bootstrap(VALUES, seed=2)


def test_dialogues_keep_their_order_and_sum_their_rows():
    sums = by_dialogue(np.asarray([[1, 1], [2, 1], [4, 1]]), ["b", "a", "b"])
    assert sums.tolist() == [[5, 2], [2, 1]]
    assert ratio(sums.sum(0)) == pytest.approx(7 / 3)
    assert ratio(np.zeros(2)) == 0


@pytest.mark.parametrize("statistic", [mean, lambda values: float(np.mean(values))])
def test_a_small_steady_gain_is_seen_in_pairs_only(statistic):
    better = VALUES + 0.05 + 0.02 * RNG.random(120)
    found = paired(better, VALUES, statistic=statistic, resamples=400)
    assert found.difference.low > 0
    assert found.p < 0.01
    assert bootstrap(better).low < bootstrap(VALUES).high  # the plain intervals overlap


@pytest.mark.parametrize("statistic", [mean, lambda values: float(np.mean(values))])
def test_the_same_system_twice_is_no_difference(statistic):
    found = paired(VALUES, VALUES, statistic=statistic, resamples=100)
    assert found.p == 1
    assert found.difference.value == 0


def test_p_is_seldom_small_where_there_is_nothing():
    """Under the null its share below .1 is about .1; a test over turns would cry out far more."""
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(20), 5).tolist()
    whole, single = [], []
    for _ in range(120):
        a, b = (np.repeat(rng.random(20) < 0.5, 5).astype(float) for _ in range(2))
        whole.append(paired(a, b, groups, resamples=200).p)
        single.append(paired(a, b, resamples=200).p)
    assert np.mean(np.asarray(whole) < 0.1) < 0.2
    assert np.mean(np.asarray(single) < 0.1) > 0.3


def test_p_equals_the_exact_one_on_few_items():
    """All 2^6 swaps counted: one in 32 is as extreme as six gains out of six."""
    found = paired(np.ones(6), np.zeros(6), resamples=20_000)
    assert found.p == pytest.approx(2 / 64, abs=0.006)


def test_totals_of_rows_are_resampled_as_a_whole():
    rows = np.stack([RNG.random(50), 1 + RNG.random(50)], axis=1)
    found = bootstrap_totals(rows)
    assert found.value == pytest.approx(rows[:, 0].sum() / rows[:, 1].sum())
    assert paired_totals(rows, rows * [2, 1]).difference.high < 0


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="same items"):
        paired([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="name the dialogue of each value"):
        bootstrap([1.0, 2.0], ["a"])
    with pytest.raises(ValueError, match="name the dialogue"):
        bootstrap([1.0, 2.0], "ab")
    with pytest.raises(ValueError, match="at least one number"):
        bootstrap([])
