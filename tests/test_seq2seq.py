"""Encoder-decoders: pairs, the shift, and a loss equal to that of the models themselves."""

from __future__ import annotations

import pytest
import torch

from course_lib import seq2seq
from course_lib.batching import IGNORE, pad_batch, truncate
from course_lib.chat_format import END, encode_all, prompt_ids, trained_text
from course_lib.losses import LossConfig, count_trained, lm_loss, normalizer, trained_logits
from course_lib.models import prepare_for_chat
from course_lib.seq2seq import (
    ReplyPairs,
    pair_loss,
    reply_pairs,
    seq2seq_batch,
    seq2seq_replies,
    shift_right,
    small_encoder_decoder,
    start_id,
)
from course_lib.training import TrainConfig, train
from tests.losses import assert_equal_loss, assert_same, gradients
from tests.tiny import tiny_gpt2


@pytest.fixture
def encoded(tokenizer, three_dialogues):
    return encode_all(three_dialogues, tokenizer)


@pytest.fixture
def pairs(encoded):
    return reply_pairs(encoded)


@pytest.fixture
def batch(pairs, tokenizer):
    return seq2seq_batch(pairs, tokenizer.pad_token_id, start_id(tokenizer))


@pytest.fixture(params=["bart", "t5", "two GPT-2s"])
def encoder_decoder(request, tokenizer):
    """BART (an output layer of its own), T5 (a scale before it), two models made into one."""
    torch.manual_seed(0)
    ids = {
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "decoder_start_token_id": start_id(tokenizer),
    }
    return {"bart": _bart, "t5": _t5, "two GPT-2s": _two}[request.param](len(tokenizer), ids)


def _bart(vocabulary, ids):
    from transformers import BartConfig, BartForConditionalGeneration

    sizes = {f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in
             (("layers", 1), ("attention_heads", 2), ("ffn_dim", 32))}  # fmt: skip
    config = BartConfig(vocab_size=vocabulary, d_model=16, max_position_embeddings=128, **sizes,
                        dropout=0.0, forced_eos_token_id=None, **ids)  # fmt: skip
    return BartForConditionalGeneration(config).eval()


def _t5(vocabulary, ids):
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(vocab_size=vocabulary, d_model=16, d_ff=32, d_kv=8, num_layers=1,
                      num_heads=2, dropout_rate=0.0, **ids)  # fmt: skip
    return T5ForConditionalGeneration(config).eval()


def _two(vocabulary, ids):
    from transformers import EncoderDecoderConfig, EncoderDecoderModel

    part = tiny_gpt2(vocabulary).config
    config = EncoderDecoderConfig.from_encoder_decoder_configs(part, part)
    model = EncoderDecoderModel(config=config).eval()
    for name, value in ids.items():
        setattr(model.config, name, value)
    return model


# ---- pairs


def test_pairs_hold_every_trained_reply_and_what_came_before(pairs, three_dialogues, tokenizer):
    replies = "".join(tokenizer.decode(pair.reply) for pair in pairs)
    assert replies == "".join(trained_text(dialogue) for dialogue in three_dialogues)
    assert [pair.dialogue_id for pair in pairs] == ["d1", "d1", "d2", "d2", "d3"]
    second = tokenizer.decode(pairs[1].history)
    assert second.endswith("And the price?<|end|><|assistant|>")
    assert f"It is two years.{END}" in second


def test_the_same_tokens_are_trained_as_in_a_decoder_only_model(pairs, encoded, batch):
    assert count_trained(batch) == sum(len(pair.reply) for pair in pairs)
    assert count_trained(batch) == count_trained(pad_batch(encoded, 0)) == normalizer(batch)


def test_a_history_may_be_cut_from_its_left(encoded, pairs):
    short = reply_pairs(encoded, max_history=5)
    assert [pair.history for pair in short] == [pair.history[-5:] for pair in pairs]
    assert [pair.reply for pair in short] == [pair.reply for pair in pairs]


def test_a_turn_that_truncation_made_context_is_no_reply(encoded, pairs):
    cut = truncate(encoded[0], len(pairs[1].reply) + 8)
    found = reply_pairs([cut])
    assert [pair.reply for pair in found] == [pairs[1].reply]


def test_padding_is_never_trained_and_never_seen(pairs, batch, tokenizer):
    for row, pair in enumerate(pairs):
        assert batch["labels"][row][batch["labels"][row] != IGNORE].tolist() == pair.reply
        assert batch["input_ids"][row][batch["attention_mask"][row] == 1].tolist() == pair.history
    rest = batch["input_ids"][batch["attention_mask"] == 0]
    assert set(rest.tolist()) == {tokenizer.pad_token_id}


# ---- the shift


def test_the_shift_is_that_of_transformers(batch, tokenizer):
    from transformers.models.bart.modeling_bart import shift_tokens_right

    pad, start = tokenizer.pad_token_id, start_id(tokenizer)
    theirs = shift_tokens_right(batch["labels"], pad, start)
    assert torch.equal(batch["decoder_input_ids"], theirs)
    assert torch.equal(shift_right(batch["labels"], pad, start), theirs)


def test_the_shift_by_hand_leaves_the_labels_as_they_are():
    labels = torch.tensor([[5, 6, 7], [8, 9, IGNORE]])
    assert shift_right(labels, 0, 1).tolist() == [[1, 5, 6], [1, 8, 9]]
    assert labels.tolist() == [[5, 6, 7], [8, 9, IGNORE]]
    assert shift_right(torch.tensor([[5, IGNORE, IGNORE]]), 0, 1).tolist() == [[1, 5, 0]]


# ---- the loss


@pytest.mark.parametrize("chunk", [0, 3])
def test_the_loss_is_the_models_own(encoder_decoder, batch, chunk):
    given = {k: v for k, v in batch.items() if k != "decoder_input_ids"}
    theirs = encoder_decoder(**given).loss
    config = LossConfig(chunk=chunk)
    ours = lm_loss(encoder_decoder, batch, config=config)
    assert_equal_loss(ours, theirs)
    assert_same(
        gradients(encoder_decoder, [lm_loss(encoder_decoder, batch, config=config)]),
        gradients(encoder_decoder, [encoder_decoder(**given).loss]),
    )


def test_accumulation_over_pairs(encoder_decoder, pairs, batch, tokenizer):
    whole = gradients(encoder_decoder, [lm_loss(encoder_decoder, batch)])
    settings = (tokenizer.pad_token_id, start_id(tokenizer))
    parts = [seq2seq_batch([pair], *settings) for pair in pairs]
    losses = [lm_loss(encoder_decoder, part, count_trained(batch)) for part in parts]
    assert_same(gradients(encoder_decoder, losses), whole)


def loss_of(model, batch):
    return lm_loss(model, batch).item()


def test_mutants_of_the_shift_are_noticed(encoder_decoder, batch):
    given = {k: v for k, v in batch.items() if k != "decoder_input_ids"}
    theirs = encoder_decoder(**given).loss.item()
    copies = batch["labels"].masked_fill(batch["labels"] == IGNORE, 0)  # no shift: it reads the key
    assert abs(loss_of(encoder_decoder, batch | {"decoder_input_ids": copies}) - theirs) > 1e-4
    twice = batch | {"labels": batch["labels"].roll(-1, dims=1)}
    assert abs(loss_of(encoder_decoder, twice) - theirs) > 1e-4
    counted = batch | {"labels": batch["labels"].masked_fill(batch["labels"] == IGNORE, 0)}
    assert abs(loss_of(encoder_decoder, counted) - theirs) > 1e-4


def test_a_token_is_predicted_from_the_tokens_before_it(encoder_decoder, pairs, tokenizer):
    """Teacher forcing without a look ahead: another token at place 3 moves no logits up to it."""
    settings = (tokenizer.pad_token_id, start_id(tokenizer))
    before = seq2seq_batch(pairs[:1], *settings)
    pairs[0].reply[3] += 1
    after = seq2seq_batch(pairs[:1], *settings)
    one, other = (trained_logits(encoder_decoder, b)[0] for b in (before, after))
    torch.testing.assert_close(one[:4], other[:4])
    assert (one[4] - other[4]).abs().max() > 1e-4


def test_no_reply_is_an_error(batch, encoder_decoder):
    batch["labels"][:] = IGNORE
    with pytest.raises(ValueError, match="no trained token"):
        lm_loss(encoder_decoder, batch)


# ---- training


@pytest.fixture
def data(pairs, tokenizer):
    return ReplyPairs(pairs, tokenizer.pad_token_id, start_id(tokenizer), pairs_per_batch=2)


def test_an_epoch_has_every_pair_once_in_an_order_of_its_own(data, pairs):
    epochs = [[b["labels"].tolist() for b in data.epoch(n)] for n in (0, 0, 1, 2)]
    assert epochs[0] == epochs[1] and (epochs[0] != epochs[2] or epochs[0] != epochs[3])
    assert len(epochs[0]) == len(data) == 3
    found = sorted([t for t in row if t != IGNORE] for batch in epochs[0] for row in batch)
    assert found == sorted(pair.reply for pair in pairs)
    assert [b["labels"].tolist() for b in data.epoch(0, start=2)] == epochs[0][2:]


def test_it_learns_the_toy_replies(data, pairs, tokenizer, three_dialogues):
    model = small_encoder_decoder(tokenizer, layers=1)
    settings = (tokenizer.pad_token_id, start_id(tokenizer))
    before = pair_loss(model, pairs, *settings)
    config = TrainConfig(max_steps=60, learning_rate=3e-3, warmup_steps=5, precision="fp32")
    train(model, data, config)
    after = pair_loss(model, pairs, *settings, pairs_per_batch=3)
    assert after < 0.1 < 3 < before
    histories = [three_dialogues[0].to_messages()[:2], three_dialogues[2].to_messages()[:1]]
    assert [prompt_ids(h, tokenizer) for h in histories] == [pairs[0].history, pairs[4].history]
    replies = seq2seq_replies(model, tokenizer, histories, 40)
    assert replies == ["It is two years.", "You are welcome."]


def test_a_models_own_settings_change_no_reply(tokenizer, three_dialogues, monkeypatch):
    model = small_encoder_decoder(tokenizer, layers=1)
    histories = [three_dialogues[0].to_messages()[:2], three_dialogues[2].to_messages()[:1]]
    plain = seq2seq_replies(model, tokenizer, histories, 12)
    model.generation_config.update(num_beams=3, no_repeat_ngram_size=2, repetition_penalty=3.0)
    assert seq2seq_replies(model, tokenizer, histories, 12) == plain
    monkeypatch.setattr(seq2seq, "PLAIN_GREEDY", {"do_sample": False})  # the mutant
    assert seq2seq_replies(model, tokenizer, histories, 12) != plain


def test_held_out_pairs_are_summed_before_the_division(pairs, tokenizer):
    model = small_encoder_decoder(tokenizer, layers=1)
    settings = (tokenizer.pad_token_id, start_id(tokenizer))
    whole = lm_loss(model, seq2seq_batch(pairs, *settings)).item()
    for size in (1, 2, 5):
        assert pair_loss(model, pairs, *settings, size) == pytest.approx(whole, abs=1e-5)


def test_the_small_model_is_prepared_for_chat(tokenizer):
    model = small_encoder_decoder(tokenizer, layers=1)
    assert model.config.decoder_start_token_id == start_id(tokenizer)
    assert model.config.eos_token_id == tokenizer.convert_tokens_to_ids(END)
    assert not any(m.p for m in model.modules() if isinstance(m, torch.nn.Dropout))
    same = small_encoder_decoder(tokenizer, layers=1)
    assert all(map(torch.equal, model.state_dict().values(), same.state_dict().values()))


def test_a_decoder_only_batch_still_shifts(encoded):
    model, _ = prepare_for_chat(tiny_gpt2(), _fresh())
    batch = pad_batch(encoded, 0)
    assert_equal_loss(lm_loss(model, batch), model(**batch).loss)


def _fresh():
    from tests.tiny import bpe_tokenizer

    return bpe_tokenizer()
