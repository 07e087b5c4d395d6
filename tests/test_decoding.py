"""Rows of a batch: what the cache holds is what each row alone would hold."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from course_lib.cache import is_roomy, roomy_cache
from course_lib.decoding import Rows, _chunks
from course_lib.models import prepare_for_chat
from tests.tiny import ROOT, bpe_tokenizer, tiny_llama

PROMPTS = [[5, 6], [7, 8, 9], [5, 9, 8, 7, 6, 5]]


def alone(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0, -1]


@torch.no_grad()
def test_rows_that_join_leave_and_move_go_on_as_alone():
    model = tiny_llama()
    rows = Rows(model, 0, 4, 32)
    texts = {i: list(prompt) for i, prompt in enumerate(PROMPTS[:2])}
    logits = rows.join([0, 1], PROMPTS[:2])
    assert torch.allclose(logits, torch.stack([alone(model, t) for t in texts.values()]), atol=1e-5)
    for token in (3, 4):
        logits = rows.step(torch.tensor([token] * 2))
        for text in texts.values():
            text.append(token)
    assert rows.keep([False, True]) == [1]  # the second row moves into the gap
    assert rows.places() == 3
    read = rows.join([2], PROMPTS[2:])  # longer than what is there: the old row is shifted
    assert rows.numbers == [1, 2]
    assert torch.allclose(read[0], alone(model, PROMPTS[2]), atol=1e-5)
    logits = rows.step(torch.tensor([3, 3]))
    assert torch.allclose(logits[0], alone(model, [*texts[1], 3]), atol=1e-5)
    assert torch.allclose(logits[1], alone(model, [*PROMPTS[2], 3]), atol=1e-5)


def test_nobody_joins_a_batch_that_is_half_full():
    rows = Rows(tiny_llama(), 0, 4, 32)
    with torch.no_grad():
        rows.join([0, 1], PROMPTS[:2])
        assert rows.places() == 2
        rows.join([2], PROMPTS[2:])
    assert rows.places() == 0


def test_masked_columns_hold_no_strays():
    """An unset number could be NaN, and 0 times NaN is NaN."""
    cache = roomy_cache(tiny_llama(), 3, 8)
    assert is_roomy(cache)
    layer = cache.layers[0]
    states = torch.ones(1, 2, 3, 4)
    layer.put(1, (states, states), 6)
    assert layer.keys.shape == (2, 2, 6, 4)
    assert layer.keys.sum() == states.sum()


def test_chunks_hold_every_prompt_once_and_few_tokens():
    prompts = [[1] * n for n in (1, 2, 2, 3, 9, 9, 30)]
    parts = list(_chunks(prompts, 10))
    assert [i for a, b in parts for i in range(a, b)] == list(range(7))
    for start, stop in parts:
        widths = [len(p) for p in prompts[start:stop]]
        assert max(widths) * len(widths) <= 10 or len(widths) == 1
    assert list(_chunks([], 10)) == []


@pytest.fixture(scope="module")
def benchmark():
    path = ROOT / "benchmarks" / "generation.py"
    spec = importlib.util.spec_from_file_location("generation_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_benchmark_compares_the_same_replies(benchmark):
    model, tokenizer = prepare_for_chat(tiny_llama(), bpe_tokenizer())
    asked = [[{"role": "user", "content": "word " * n}] for n in (1, 5, 3)]
    found = benchmark.compare(model, tokenizer, asked, 1, check=False)
    assert found["same_replies"] == found["prompts"] == 3
    assert found["ratio"] > 0
    assert "times as fast" in benchmark.table(found)


def test_the_benchmark_refuses_busy_cores(benchmark, monkeypatch):
    monkeypatch.setattr(benchmark, "others_share", lambda seconds: 0.5)
    with pytest.raises(SystemExit, match="other processes use 50%"):
        benchmark.main([])
