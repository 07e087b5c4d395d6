"""Stop rate, repetition, distinct-n, length and parse failures, on cases counted by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from course_lib.generation import Reply
from course_lib.metrics.replies import (
    distinct_n,
    lengths,
    parse_failures,
    repetition,
    stop_rate,
)


def test_stop_rate_counts_end_tokens():
    replies = [Reply("a", [1], True), Reply("b", [1, 2], False), Reply("", [], True)]
    assert stop_rate(replies).value == pytest.approx(2 / 3)
    assert lengths(replies).value == pytest.approx(1)
    assert lengths(replies).signature == "length|tokens"
    assert lengths(["one two", "three"]).value == 1.5


def test_repetition_is_the_share_of_n_grams_that_were_there_before():
    assert repetition(["a b a b a b"], n=2).value == pytest.approx(3 / 5)
    assert repetition(["a b c d e"], n=2).value == 0
    pooled = repetition(["a b a b a b", "c d"], n=2)
    assert pooled.value == pytest.approx(3 / 6)
    assert pooled.per_reply == (pytest.approx(3 / 5), 0)
    assert repetition(["one two"]).value == 0  # shorter than four words


def test_distinct_counts_over_all_replies():
    assert distinct_n(["a b", "a b"], 1).value == 0.5
    assert distinct_n(["a b", "A c"], 1).value == 0.75
    assert distinct_n(["a b a b"], 2).value == pytest.approx(2 / 3)


def test_the_interval_of_distinct_lies_around_it_where_a_bootstrap_would_not():
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), 6)) for _ in range(60)]
    found = distinct_n(texts)
    interval = found.interval([i // 2 for i in range(60)])
    assert interval.low < found.value < interval.high
    drawn = [distinct_n([texts[i] for i in rng.integers(0, 60, 60)]).value for _ in range(100)]
    assert np.quantile(drawn, 0.975) < found.value


def test_the_jackknife_leaves_out_whole_dialogues():
    texts, groups = ["a b", "b c", "a b"], ["x", "y", "x"]
    without = distinct_n(texts, 1)._without_each(groups)
    assert without.tolist() == [
        pytest.approx(distinct_n(["b c"], 1).value),
        pytest.approx(distinct_n(["a b", "a b"], 1).value),
    ]


def test_parse_failures_take_any_parser():
    assert parse_failures(['{"a": 1}', "{", "[]"], json.loads).value == pytest.approx(1 / 3)
    assert parse_failures(["ab", "c"], lambda text: text if len(text) > 1 else None).value == 0.5


@pytest.mark.parametrize("measure", [repetition, lengths, distinct_n])
def test_bare_texts_and_nothing_are_refused(measure):
    with pytest.raises(TypeError, match="give a list"):
        measure("one reply")
    with pytest.raises(ValueError, match="none given"):
        measure([])
