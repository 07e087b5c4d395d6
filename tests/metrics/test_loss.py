"""Held-out loss is a mean over trained tokens, not over batches."""

from __future__ import annotations

import math

import pytest
import torch
from transformers import GPT2LMHeadModel

from course_lib.batching import pad_batch
from course_lib.chat_format import Encoded, encode_all
from course_lib.dialogue import Dialogue, Message
from course_lib.metrics import held_out_loss
from course_lib.metrics.loss import losses, of_log_probabilities, perplexity, token_accuracy
from course_lib.models import prepare_for_chat
from tests.kinds import KINDS
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


def rows_of_two_kinds(model) -> list[Encoded]:
    """A short row of the model's own likeliest tokens, and a long one that it does not guess."""
    ids = [1]
    while len(ids) < 6:
        ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    rows = [ids, list(range(5, 30))]
    return [Encoded(row, [False] + [True] * (len(row) - 1)) for row in rows]


def assert_by_token(model, measure) -> None:
    """Loss and accuracy are those of one batch with all rows, however they are batched."""
    rows = rows_of_two_kinds(model)
    whole = held_out_loss(model, rows, 0, rows_per_batch=2)
    assert 5 / 29 <= whole["eval_accuracy"] < 0.5
    assert measure(model, rows, 0, 1) == pytest.approx(whole, abs=1e-5)


def test_rows_of_unlike_length_count_by_token(model):
    with torch.no_grad():
        assert_by_token(model, held_out_loss)


@pytest.mark.parametrize("name", ["eval_loss", "eval_accuracy"])
def test_a_mean_over_batches_is_noticed(model, name):
    """The mutant: one of the two figures as the mean of what each batch gives."""

    def mean_of_batches(model, rows, pad_id, rows_per_batch):
        parts = [held_out_loss(model, [row], pad_id)[name] for row in rows]
        return held_out_loss(model, rows, pad_id) | {name: sum(parts) / len(parts)}

    with torch.no_grad(), pytest.raises(AssertionError):
        assert_by_token(model, mean_of_batches)


def test_evaluation_turns_dropout_off(three_dialogues):
    model, tokenizer = prepare_for_chat(tiny_gpt2(dropout=0.5), bpe_tokenizer())
    encoded = encode_all(three_dialogues, tokenizer)
    model.train()
    a, b = (held_out_loss(model, encoded, tokenizer.pad_token_id) for _ in range(2))
    assert a == b


def test_an_evaluation_with_dropout_is_noticed(three_dialogues, monkeypatch):
    """The mutant: the model stays in training mode."""
    monkeypatch.setattr(GPT2LMHeadModel, "eval", lambda self: self)
    with pytest.raises(AssertionError):
        test_evaluation_turns_dropout_off(three_dialogues)


def test_nothing_to_measure_is_said():
    with pytest.raises(ValueError, match="no trained token"):
        held_out_loss(tiny_gpt2(), [], 0)


# ---- losses of each dialogue


@pytest.fixture(scope="module")
def prepared():
    return prepare_for_chat(tiny_gpt2(), bpe_tokenizer())


def test_losses_of_dialogues_sum_to_the_held_out_loss(prepared, three_dialogues):
    model, tokenizer = prepared
    encoded = encode_all(three_dialogues, tokenizer)
    whole = held_out_loss(model, encoded, tokenizer.pad_token_id)
    for rows in (1, 2, 3):
        found = losses(model, tokenizer, three_dialogues, rows_per_batch=rows)
        assert found.loss.value == pytest.approx(whole["eval_loss"], abs=1e-5)
        assert found.accuracy.value == pytest.approx(whole["eval_accuracy"], abs=1e-6)
        assert found.dialogue_ids == tuple(d.id for d in three_dialogues)
        alone = losses(model, tokenizer, three_dialogues[1:2])
        assert found.rows[1] == pytest.approx(alone.rows[0], rel=1e-4)


def test_perplexity_per_token_and_per_byte(prepared, three_dialogues):
    model, tokenizer = prepared
    found = losses(model, tokenizer, three_dialogues)
    nats, _, tokens, size = found.rows.sum(0)
    said = [
        m.content for d in three_dialogues for m in d.messages if m.role == "assistant" and m.train
    ]
    assert size == len("".join(said).encode())
    assert found.perplexity.value == pytest.approx(math.exp(nats / tokens))
    assert found.perplexity_per_byte.value == pytest.approx(math.exp(nats / size))
    assert perplexity(model, tokenizer, three_dialogues, per="byte").value == pytest.approx(
        found.perplexity_per_byte.value
    )
    interval = found.perplexity.interval()
    assert interval.low < found.perplexity.value < interval.high
    with pytest.raises(ValueError, match="token or byte"):
        perplexity(model, tokenizer, three_dialogues, per="word")


def test_perplexity_per_byte_of_even_guesses_knows_no_tokenizer(three_dialogues):
    """Two tokenizers, models without a clue: per token they differ far more than per byte."""
    found = []
    for tokenizer in (bpe_tokenizer(), KINDS["llama2"]()):
        model, tokenizer = prepare_for_chat(tiny_gpt2(), tokenizer)
        found.append(losses(model, tokenizer, three_dialogues).rows.sum(0))
    assert found[0][3] == found[1][3]
    assert found[0][2] != found[1][2]


def test_what_a_cut_leaves_is_what_counts():
    tokenizer = bpe_tokenizer()
    model, tokenizer = prepare_for_chat(tiny_gpt2(positions=48), tokenizer)
    turns = [Message(r, f"{r} says {i}") for i in range(6) for r in ("user", "assistant")]
    found = losses(model, tokenizer, [Dialogue("long", turns)])
    whole = sum(len(m.content) for m in turns if m.role == "assistant")
    assert 0 < found.rows[0, 3] < whole


def test_log_probabilities_and_guesses_by_hand():
    found = of_log_probabilities([[-1.0, -2.0], [-0.5, -9.0]], [[3, 4], [5, -100]], [6, 1])
    assert found.loss.value == pytest.approx(3.5 / 3)
    assert found.perplexity_per_byte.value == pytest.approx(math.exp(0.5))
    assert token_accuracy([[1, 2], [3, 3]], [[1, -100], [3, 4]]).value == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="row 0: 1 predictions and 2 labels"):
        token_accuracy([[1]], [[1, 2]])
    with pytest.raises(ValueError, match="all are -100"):
        token_accuracy([[1]], [[-100]])
