"""The chat's benchmark on a tiny model: it counts what it says it counts."""

from __future__ import annotations

import importlib.util

import pytest

from course_lib.chat import ChatSession
from course_lib.reply_speed import Speed
from tests.tiny import ROOT, tiny_gpt2


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("chat_benchmark", ROOT / "benchmarks" / "chat.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def session(tokenizer):
    return ChatSession(tiny_gpt2(), tokenizer, max_new_tokens=4)


def test_full_conversations_fill_the_context(benchmark, session):
    texts = ["Hello! How long is the warranty?"] * 2
    assert len(benchmark.fresh(session, texts)) == 2
    assert len(session.messages) <= 2
    assert len(benchmark.full(session, texts)) == 2
    assert session.seen().note and session.seen().prompt <= session.room


def test_the_summary_is_of_medians(benchmark):
    speeds = [Speed(first, 11, first + 0.1) for first in (0.1, 0.2, 0.9)]
    found = benchmark.summary(speeds)
    assert found["first_token_seconds"] == 0.2 and found["slowest_first_token"] == 0.9
    assert found["tokens_a_second"] == pytest.approx(100)


def test_many_turns_are_one_conversation(benchmark, session):
    found = benchmark.many_turns(session, ["Hello!", "And?"], 10)
    assert found["turns"] == session.asked == 10
    assert found["late_mib"] - found["early_mib"] == pytest.approx(found["grown_mib"], abs=0.2)
