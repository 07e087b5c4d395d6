"""Held-out loss is a mean over trained tokens, not over batches."""

from __future__ import annotations

import pytest
import torch

from course_lib.batching import pad_batch
from course_lib.chat_format import encode_all
from course_lib.metrics import held_out_loss
from course_lib.models import prepare_for_chat
from tests.tiny import bpe_tokenizer, tiny_gpt2


def test_loss_and_accuracy_over_all_trained_tokens(model, three_dialogues):
    model, tokenizer = prepare_for_chat(model, bpe_tokenizer())
    encoded = encode_all(three_dialogues, tokenizer)
    pad = tokenizer.pad_token_id
    batch = pad_batch(encoded, pad)
    with torch.no_grad():
        output = model(**batch)
    expected = output.loss.item()
    labels = batch["labels"][:, 1:]
    right = (output.logits[:, :-1].argmax(-1) == labels)[labels != -100].float().mean().item()
    for rows in (1, 2, 3):  # however it is batched
        found = held_out_loss(model, encoded, pad, rows_per_batch=rows)
        assert found["eval_loss"] == pytest.approx(expected, abs=1e-5)
        assert found["eval_accuracy"] == pytest.approx(right, abs=1e-6)


def test_a_mean_over_batches_would_differ(three_dialogues):
    model, tokenizer = prepare_for_chat(tiny_gpt2(), bpe_tokenizer())
    encoded = encode_all(three_dialogues, tokenizer)
    each = [held_out_loss(model, [e], tokenizer.pad_token_id)["eval_loss"] for e in encoded]
    whole = held_out_loss(model, encoded, tokenizer.pad_token_id)["eval_loss"]
    assert abs(sum(each) / 3 - whole) > 1e-4


def test_evaluation_turns_dropout_off(three_dialogues):
    model, tokenizer = prepare_for_chat(tiny_gpt2(dropout=0.5), bpe_tokenizer())
    encoded = encode_all(three_dialogues, tokenizer)
    model.train()
    a, b = (held_out_loss(model, encoded, tokenizer.pad_token_id) for _ in range(2))
    assert a == b


def test_nothing_to_measure_is_said():
    with pytest.raises(ValueError, match="no trained token"):
        held_out_loss(tiny_gpt2(), [], 0)
