"""Broken batches are broken in the one way they claim, and the batch given stays whole."""

from __future__ import annotations

import torch

from course_lib.batching import IGNORE, pad_batch
from course_lib.broken import other_side, shuffled
from course_lib.chat_format import encode_all


def batch_of(dialogues, tokenizer):
    return pad_batch(encode_all(dialogues, tokenizer), tokenizer.pad_token_id)


def test_the_other_side_is_trained_and_nothing_twice(three_dialogues, tokenizer):
    batch = batch_of(three_dialogues, tokenizer)
    turned = other_side(batch, tokenizer.pad_token_id)
    ours, theirs = (b["labels"] != IGNORE for b in (batch, turned))
    assert not (ours & theirs).any()
    assert torch.equal(ours | theirs, batch["attention_mask"].bool())
    assert torch.equal(turned["labels"][theirs], batch["input_ids"][theirs])


def test_shuffled_labels_are_the_same_ones_elsewhere(three_dialogues, tokenizer):
    batch = batch_of(three_dialogues, tokenizer)
    before, mixed = batch["labels"].clone(), shuffled(batch)["labels"]
    assert torch.equal(batch["labels"], before)
    assert torch.equal(mixed == IGNORE, before == IGNORE)
    assert torch.equal(mixed.flatten().sort().values, before.flatten().sort().values)
    assert (mixed != before).sum() > 0.5 * (before != IGNORE).sum()
