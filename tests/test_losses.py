"""The loss is transformers' own; packed, padded and accumulated give the same gradients."""

from __future__ import annotations

import pytest
import torch

from course_lib.batching import IGNORE, collate_packed, pack, pad_batch
from course_lib.chat_format import encode_all
from course_lib.losses import count_trained, lm_loss, token_cross_entropy
from course_lib.models import prepare_for_chat


@pytest.fixture
def prepared(model, three_dialogues):
    from tests.tiny import bpe_tokenizer

    model, tokenizer = prepare_for_chat(model, bpe_tokenizer())
    return model, encode_all(three_dialogues, tokenizer), tokenizer.pad_token_id


def gradients(model, losses) -> list[torch.Tensor]:
    model.zero_grad()
    for loss in losses:
        loss.backward()
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


def assert_same(some, others) -> None:
    for one, other in zip(some, others, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_equals_transformers(prepared):
    model, encoded, pad = prepared
    batch = pad_batch(encoded, pad)
    theirs = model(**batch).loss
    ours = lm_loss(model, batch)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)
    logits = model(**{k: v for k, v in batch.items() if k != "labels"}).logits
    torch.testing.assert_close(
        token_cross_entropy(logits, batch["labels"]), theirs, atol=1e-6, rtol=0
    )
    assert_same(gradients(model, [lm_loss(model, batch)]), gradients(model, [model(**batch).loss]))


def test_packed_equals_padded(prepared):
    model, encoded, pad = prepared
    padded, packed = pad_batch(encoded, pad), collate_packed(pack(encoded, 128), pad, 128)
    a, b = lm_loss(model, padded), lm_loss(model, packed)
    torch.testing.assert_close(a, b, atol=1e-5, rtol=0)
    assert_same(gradients(model, [a]), gradients(model, [b]))


def test_accumulation_equals_one_big_batch(prepared):
    model, encoded, pad = prepared
    big = pad_batch(encoded, pad)
    count = count_trained(big)
    whole = gradients(model, [lm_loss(model, big)])
    parts = [lm_loss(model, pad_batch([e], pad), num_tokens=count) for e in encoded]
    assert_same(gradients(model, parts), whole)


def test_a_mean_of_means_would_not_be(prepared):
    """The mutant: dividing each micro-batch by its own count gives another gradient."""
    model, encoded, pad = prepared
    whole = gradients(model, [lm_loss(model, pad_batch(encoded, pad))])
    means = gradients(model, [lm_loss(model, pad_batch([e], pad)) / 3 for e in encoded])
    far = max((a - b).abs().max().item() for a, b in zip(whole, means, strict=True))
    assert far > 1e-3


def test_shift_by_hand():
    """Two positions predict two tokens; the first token is predicted by nothing."""
    logits = torch.log(torch.tensor([[[0.1, 0.9], [0.7, 0.3], [0.5, 0.5]]]))
    labels = torch.tensor([[1, 1, 0]])
    expected = -(torch.log(torch.tensor(0.9)) + torch.log(torch.tensor(0.7))) / 2
    torch.testing.assert_close(token_cross_entropy(logits, labels), expected)
    assert count_trained({"labels": labels}) == 2


def test_a_batch_without_trained_tokens_is_an_error_not_nan(prepared):
    model, encoded, pad = prepared
    batch = pad_batch(encoded, pad)
    batch["labels"][:] = IGNORE
    with pytest.raises(ValueError, match="no trained token"):
        lm_loss(model, batch)
