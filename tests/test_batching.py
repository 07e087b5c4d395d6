"""Truncation, padding, packing: nothing trained is lost in silence, no neighbour is seen."""

from __future__ import annotations

import random

import pytest
import torch

from course_lib.batching import (
    IGNORE,
    PackedDialogues,
    collate_packed,
    pack,
    pad_batch,
    padded_batches,
    trained_ids,
    truncate,
    truncate_all,
    wasted_share,
)
from course_lib.chat_format import Encoded, encode_all
from tests.tiny import tiny_gpt2, tiny_llama


def toy(length: int, name: str = "toy") -> Encoded:
    """A prompt of one third, an answer of two thirds."""
    cut = length // 3
    return Encoded(
        list(range(1, length + 1)),
        [False] * cut + [True] * (length - cut),
        name,
        [(0, cut), (cut, length)],
    )


def test_truncation_keeps_the_last_answer_whole(three_dialogues, tokenizer):
    encoded = encode_all(three_dialogues, tokenizer)[0]
    whole = tokenizer.decode(encoded.trained_ids)
    for limit in range(8, len(encoded)):
        short = truncate(encoded, limit)
        if short is not None:
            assert len(short) <= limit
            assert short.ids[0] == tokenizer.bos_token_id
            trained = tokenizer.decode(short.trained_ids)
            assert whole.endswith(trained)
            assert trained.startswith(("It is two years.", "39 euros."))


def test_what_cannot_be_fitted_is_set_aside_with_its_reason():
    silent = Encoded([1, 2, 3], [False] * 3, "silent", [(0, 3)])
    kept, report = truncate_all([toy(9, "short"), toy(90, "long answer"), silent], 30)
    assert [encoded.dialogue_id for encoded in kept] == ["short"]
    assert dict(report.set_aside) == {
        "long answer": "its last reply alone is longer than 30 tokens",
        "silent": "no trained token: it has no assistant reply to learn from",
    }
    assert report.kept + len(report.set_aside) == 3


def test_truncation_counts_what_it_cuts(three_dialogues, tokenizer):
    encoded = encode_all(three_dialogues, tokenizer)
    kept, report = truncate_all(encoded, 30)
    before = sum(len(e) for e in encoded if e.dialogue_id in {k.dialogue_id for k in kept})
    assert report.tokens_cut == before - sum(len(k) for k in kept) > 0
    assert report.trained_tokens_cut > 0


def test_a_reply_that_lost_its_beginning_is_context_only():
    two_replies = Encoded(
        list(range(30)), [False] * 2 + [True] * 28, "two", [(0, 2), (2, 20), (20, 30)]
    )
    short = truncate(two_replies, 15)
    assert short is not None
    assert short.trained_ids == list(range(20, 30))


def test_padding_is_never_trained_even_as_end_token():
    batch = pad_batch([toy(9), toy(4)], pad_id=9)
    assert batch["labels"][1].tolist() == [IGNORE, 2, 3, 4] + [IGNORE] * 5
    assert batch["attention_mask"].sum().item() == 13


@pytest.mark.parametrize("seed", range(40))
def test_packing_loses_nothing_and_overfills_nothing(seed):
    rng = random.Random(seed)
    lengths = [rng.randint(3, 40) for _ in range(rng.randint(1, 60))]
    dialogues = [toy(length, str(i)) for i, length in enumerate(lengths)]
    rows = pack(dialogues, 40)
    packed = sorted(d.dialogue_id for row in rows for d in row)
    assert packed == sorted(d.dialogue_id for d in dialogues)
    assert all(sum(len(d) for d in row) <= 40 for row in rows)
    # best fit fills well: two rows can never both be half empty
    assert sum(sum(len(d) for d in row) <= 20 for row in rows) <= 1


def test_packing_refuses_what_is_too_long():
    with pytest.raises(ValueError, match=r"'big' has 50 tokens.*truncate_all"):
        pack([toy(50, "big")], 40)
    with pytest.raises(ValueError, match=r"'big' has 50 tokens.*truncate_all"):
        pad_batch([toy(50, "big")], 0, length=40)


@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
def test_a_neighbour_in_the_row_is_never_seen(make):
    """Another first dialogue in the row: the second one's logits do not move."""
    model = make()
    first, second, other = toy(12), toy(9), toy(12)
    other.ids = [token + 100 for token in other.ids]
    here, there = (collate_packed([[one, second]], 0, 24) for one in (first, other))
    a, b = (packed_logits(model, batch)[0, 12:21] for batch in (here, there))
    torch.testing.assert_close(a, b, atol=1e-6, rtol=0)
    alone = packed_logits(model, collate_packed([[second]], 0, 24))[0, :9]
    torch.testing.assert_close(a, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
def test_with_an_all_ones_mask_the_neighbour_leaks(make):
    """The mutant: the usual (B, T) mask lets dialogues look at each other."""
    model = make()
    first, second, other = toy(12), toy(9), toy(12)
    other.ids = [token + 100 for token in other.ids]
    logits = []
    for one in (first, other):
        batch = collate_packed([[one, second]], 0, 24)
        batch["attention_mask"] = torch.ones(1, 24, dtype=torch.long)
        logits.append(packed_logits(model, batch)[0, 12:21])
    assert (logits[0] - logits[1]).abs().max() > 1e-4


@torch.no_grad()
def packed_logits(model, batch):
    return model(**{k: v for k, v in batch.items() if k != "labels"}, use_cache=False).logits


def test_epochs_hold_every_dialogue_once_and_repeat_exactly():
    dialogues = [toy(5 + i % 20, str(i)) for i in range(200)]
    data = PackedDialogues(dialogues, pad_id=0, row_length=32, rows_per_batch=4, seed=3)
    assert len(list(data.epoch(0))) == len(data)
    trained = [sorted(t for batch in data.epoch(n) for t in trained_ids(batch)) for n in (0, 1)]
    assert trained[0] == trained[1] == sorted(t for d in dialogues for t in d.trained_ids)
    first, again, other = list(data.epoch(0)), list(data.epoch(0)), list(data.epoch(1))
    assert all(
        torch.equal(a["input_ids"], b["input_ids"]) for a, b in zip(first, again, strict=True)
    )
    assert not torch.equal(first[0]["input_ids"], other[0]["input_ids"])


def test_packing_wastes_less_than_padding():
    dialogues = [toy(6 + (7 * i) % 50) for i in range(300)]
    rows = pack(dialogues, 64)
    padded = sum(b["input_ids"].numel() for b in padded_batches(dialogues, 16, 0, by_length=False))
    assert wasted_share(dialogues, 64 * len(rows)) < 0.05
    assert wasted_share(dialogues, padded) > 0.3
