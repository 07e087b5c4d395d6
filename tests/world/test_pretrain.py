"""Pretraining: each token once an epoch, a folder that loads, a card that tells the truth."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import pytest
import torch

from course_lib.chat_format import CHAT_TOKENS
from course_lib.models import BASE_MODEL, count_parameters, load_base
from course_lib.world import pretrain as p

LINES = [
    f"The {name} kettle weighs {n} grams and costs {n + 3} euros. It is made of {stuff}."
    for n, (name, stuff) in enumerate(
        [("Brisa", "steel"), ("Tolvek", "glass"), ("Ambry", "copper"), ("Quendel", "clay")] * 60
    )
]


def test_rows_hold_each_token_once():
    documents = [list(range(i, i + 7)) for i in range(0, 700, 7)]
    rows = p.TextRows(documents, row_length=10, rows_per_batch=7)
    batches = list(rows.epoch(0))
    assert len(batches) == len(rows) == 10
    assert sorted(t for b in batches for t in b["input_ids"].flatten().tolist()) == list(range(700))
    again, other = list(rows.epoch(0)), list(rows.epoch(1))
    assert torch.equal(batches[0]["input_ids"], again[0]["input_ids"])
    assert not torch.equal(batches[0]["input_ids"], other[0]["input_ids"])


def test_tokenizer_is_the_same_each_time_and_lossless():
    one, two = (p.train_tokenizer(LINES, 300) for _ in range(2))
    assert one.get_vocab() == two.get_vocab()
    text = "Größe: 1.7 litres 😀\n\tend  "
    assert one.decode(one(text)["input_ids"]) == text
    assert not set(CHAT_TOKENS) & set(one.get_vocab())


def test_long_numbers_are_read_digit_by_digit_and_no_others():
    tokenizer = load_base()[1]
    for number in ("1234567", "4521783390", "0800" * 4):
        assert tokenizer.tokenize(f"order {number}.")[-len(number) - 1 : -1] == list(number)
    for text in ("1,200 watts", "123456", "39 euros", "KX-204"):
        digits = sum(character.isdigit() for character in text)
        pieces = [token for token in tokenizer.tokenize(text) if any(map(str.isdigit, token))]
        assert len(pieces) < digits


def test_the_shipped_tokenizer_is_set_up_as_the_code_makes_it():
    made, shipped = p.train_tokenizer(LINES, 300), load_base()[1]
    settings = [json.loads(t.backend_tokenizer.to_str())["pre_tokenizer"] for t in (made, shipped)]
    assert settings[0] == settings[1]


def test_held_out_documents_are_never_trained_on():
    trained, held_out = p.split_documents(LINES)
    assert len(trained) + len(held_out) == len(LINES)
    assert not set(trained) & set(held_out)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(p, "corpus_documents", lambda seed: LINES)
    monkeypatch.setattr(p, "SHAPE", {"n_positions": 64, "n_embd": 32, "n_layer": 1, "n_head": 2})
    monkeypatch.setattr(p, "train_tokenizer", _small_tokenizer)
    monkeypatch.setattr(p, "TextRows", _short_rows)


def _small_tokenizer(texts, vocabulary=300, train=p.train_tokenizer):
    return train(texts, vocabulary)


def _short_rows(documents, seed=0, rows_per_batch=2, rows=p.TextRows):
    return rows(documents, row_length=32, rows_per_batch=2, seed=seed)


def arguments(folder: Path) -> Namespace:
    return Namespace(
        out=folder / "model", epochs=1.0, steps=6, seed=7, device="cpu", checkpoint=folder / "c.pt"
    )


def test_a_run_writes_a_model_that_loads_and_a_card(small, tmp_path):
    history = p.pretrain(arguments(tmp_path))
    model, tokenizer = load_base(tmp_path / "model")
    assert model.config.vocab_size == len(tokenizer)
    figures = json.loads((tmp_path / "model" / "pretraining.json").read_text())
    assert figures["steps"] == len(history.records) == 6
    assert figures["documents"] == len(LINES)
    assert figures["corpus_sha256"] == p.hash_of(LINES)
    card = (tmp_path / "model" / "README.md").read_text()
    assert figures["corpus_sha256"] in card
    assert f"{figures['tokens_seen']:,}" in card


def test_an_interrupted_run_goes_on_from_its_checkpoint(small, tmp_path, monkeypatch):
    whole = p.pretrain(arguments(tmp_path / "whole"))
    monkeypatch.setattr(p, "TrainConfig", _often_saved)
    monkeypatch.setattr(p, "_show_progress", _stop_at_four)
    with pytest.raises(KeyboardInterrupt):
        p.pretrain(arguments(tmp_path / "broken"))
    monkeypatch.setattr(p, "_show_progress", lambda record: None)
    resumed = p.pretrain(arguments(tmp_path / "broken"))
    assert resumed.values("loss") == whole.values("loss")


def _often_saved(config=p.TrainConfig, **settings):
    return config(**{**settings, "checkpoint_every": 2})


def _stop_at_four(record):
    if record["step"] == 4:
        raise KeyboardInterrupt


@pytest.fixture(scope="module")
def documents():
    return p.corpus_documents(7)


def test_the_shipped_model_read_the_text_that_the_repository_writes(documents):
    """The card's hash is that of the text as it is built today."""
    figures = json.loads((BASE_MODEL / "pretraining.json").read_text(encoding="utf-8"))
    assert figures["tokens_in_one_epoch"] > 10_000_000
    assert figures["corpus_sha256"] == p.hash_of(documents), (
        "the corpus has changed since the base model was pretrained; "
        "run python -m course_lib.world.pretrain"
    )
    assert figures["documents"] == len(documents)


def test_the_text_holds_no_chat_format(documents):
    for text in documents:
        assert "<|" not in text
        assert not any(line.startswith(("User:", "Assistant:")) for line in text.splitlines())


def test_the_shipped_model_is_small():
    weights = BASE_MODEL / "model.safetensors"
    assert weights.stat().st_size < 15_000_000
    assert 3_000_000 < count_parameters(load_base()[0]) < 6_000_000


def test_the_card_shows_samples_with_their_prompts():
    figures = json.loads((BASE_MODEL / "pretraining.json").read_text(encoding="utf-8"))
    card = (BASE_MODEL / "README.md").read_text(encoding="utf-8")
    assert [prompt for prompt, _ in figures["samples"]] == list(p.PROMPTS)
    assert p.card_text(figures) == card


def test_samples_are_seeded():
    model, tokenizer = load_base()
    twice = [p.samples(model, tokenizer, p.PROMPTS[:1]) for _ in range(2)]
    assert twice[0] == twice[1] and len(twice[0][0][1].split()) > 10


def test_the_shipped_model_knows_its_text_better_than_chance(documents):
    """It knows its text: held-out documents surprise it far less than random weights are."""
    figures = json.loads((BASE_MODEL / "pretraining.json").read_text(encoding="utf-8"))
    assert figures["held_out_loss"][-1][1] < 1.5
    model, tokenizer = load_base()
    _, held_out = p.split_documents(documents)
    rows = p.TextRows(p.encode_documents(held_out[:40], tokenizer), rows_per_batch=2)
    assert p.text_loss(model, rows)["eval_loss"] < 1.6
