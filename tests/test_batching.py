"""Padding, buckets, packing: the mask's meaning survives, no neighbour is seen, nothing is lost."""

from __future__ import annotations

import random
import statistics
import time

import pytest
import torch

from course_lib import batching, truncation
from course_lib.batching import (
    IGNORE,
    PackedDialogues,
    PaddedDialogues,
    collate_packed,
    pack,
    pad_batch,
    padded_batches,
    trained_ids,
    truncate_all,
    waste,
    wasted_share,
)
from course_lib.chat_format import Encoded, assert_trained, encode_all
from course_lib.losses import lm_loss
from tests.tiny import ROOT, tiny_gpt2, tiny_llama


def toy(length: int, name: str = "toy") -> Encoded:
    """A prompt of one third, an answer of two thirds."""
    cut = length // 3
    return Encoded(
        list(range(1, length + 1)),
        [False] * cut + [True] * (length - cut),
        name,
        [(0, cut), (cut, length)],
    )


@pytest.fixture(scope="module")
def many() -> list[Encoded]:
    rng = random.Random(5)
    return [toy(rng.choice((9, 14, 30, 60, 90)) + rng.randint(0, 8), str(i)) for i in range(700)]


# ---- the mask's one equality, from the renderer to the shifted labels


def shifted(batch) -> list[int]:
    """The ids that the loss really asks for: the label of the position before is dropped."""
    labels = batch["labels"][:, 1:]
    return labels[labels != IGNORE].tolist()


@pytest.mark.parametrize("pad", ["own", "end token"])
@pytest.mark.parametrize("way", ["padded", "packed"])
def test_what_is_trained_is_what_the_assistant_said(three_dialogues, tokenizer, pad, way):
    pad_id = tokenizer.pad_token_id if pad == "own" else tokenizer.eos_token_id
    encoded = encode_all(three_dialogues, tokenizer)
    batch = collated(encoded, pad_id, way)
    for trained in (trained_ids(batch), shifted(batch)):
        assert_trained(trained, three_dialogues, tokenizer)


def collated(encoded, pad_id, way):
    if way == "padded":
        return pad_batch(encoded, pad_id)
    return collate_packed([encoded], pad_id, 320)


def masked_nowhere(batch):
    batch["labels"] = batch["input_ids"].clone()


def masked_where_padded_only(batch):
    batch["labels"] = torch.where(batch["input_ids"] == batch["input_ids"][0, -1], IGNORE, 0)
    batch["labels"] += batch["input_ids"] * (batch["labels"] == 0)


def one_late(batch):
    batch["labels"] = late(batch, 1)


def one_early(batch):
    batch["labels"] = late(batch, -1)


def late(batch, by):
    on = torch.roll(batch["labels"] != IGNORE, by, dims=1)
    return torch.where(on, batch["input_ids"], IGNORE)


def last_reply_only(batch):
    on = batch["labels"] != IGNORE
    for row in on:
        places = row.nonzero().flatten()
        gaps = (places[1:] - places[:-1] > 1).nonzero()
        row[: places[int(gaps[-1]) + 1] if len(gaps) else 0] = False
    batch["labels"] = torch.where(on, batch["input_ids"], IGNORE)


def end_token_left_out(batch):
    end = batch["labels"].max()
    batch["labels"][batch["labels"] == end] = IGNORE


def prompt_trained(batch):
    on = batch["labels"] != IGNORE
    batch["labels"] = torch.where(~on, batch["input_ids"], IGNORE)


def padding_trained(batch):
    batch["labels"][:, -1] = batch["input_ids"][:, -1]


BREAKS = (
    masked_nowhere,
    masked_where_padded_only,
    one_late,
    one_early,
    last_reply_only,
    end_token_left_out,
    prompt_trained,
    padding_trained,
)


@pytest.mark.parametrize("breaks", BREAKS, ids=lambda breaks: breaks.__name__)
@pytest.mark.parametrize("way", ["padded", "packed"])
def test_a_broken_mask_is_noticed(three_dialogues, tokenizer, way, breaks):
    end = tokenizer.eos_token_id
    encoded = encode_all(three_dialogues, tokenizer)
    batch = collated(encoded, end, way)
    breaks(batch)
    with pytest.raises(AssertionError, match="not the assistant's replies"):
        assert_trained(shifted(batch), three_dialogues, tokenizer)


def test_a_collator_that_drops_the_mask_is_noticed(three_dialogues, tokenizer, monkeypatch):
    """The mutant in the code itself: every token of a dialogue is taken for trained."""
    real = batching._tokens

    def forgetful(dialogues):
        found = real(dialogues)
        found.trained[:] = True
        return found

    monkeypatch.setattr(batching, "_tokens", forgetful)
    batch = pad_batch(encode_all(three_dialogues, tokenizer), tokenizer.pad_token_id)
    with pytest.raises(AssertionError, match="not the assistant's replies"):
        assert_trained(trained_ids(batch), three_dialogues, tokenizer)


@pytest.mark.parametrize("kind", ["packed", "random", "length"])
def test_an_epoch_trains_what_was_said_and_nothing_else(tokenizer, kind):
    from course_lib.dialogue import read_dialogues

    dialogues = list(read_dialogues(ROOT / "data/shop/dev.jsonl"))[:120]
    encoded, report = truncate_all(encode_all(dialogues, tokenizer), 2000)
    assert not report.set_aside
    data = data_of(encoded, kind, pad_id=tokenizer.eos_token_id, room=2000)
    by_id = {dialogue.id: dialogue for dialogue in dialogues}
    seen = []
    for number, batch in enumerate(data.epoch(1)):
        here = [by_id[name] for name in data.ids_of(1, number)]
        assert_trained(shifted(batch), here, tokenizer)
        seen += here
    assert sorted(d.id for d in seen) == sorted(by_id)


def data_of(dialogues, kind, pad_id=0, room=400, **options):
    if kind == "packed":
        return PackedDialogues(dialogues, pad_id, room, **options)
    return PaddedDialogues(dialogues, pad_id, tokens_per_batch=3 * room, order=kind, **options)


# ---- padding


def test_padding_is_never_trained_even_as_end_token():
    batch = pad_batch([toy(9), toy(4)], pad_id=9)
    assert batch["labels"][1].tolist() == [IGNORE, 2, 3, 4] + [IGNORE] * 5
    assert batch["attention_mask"].sum().item() == 13


def test_equals_the_collator_of_transformers(three_dialogues, tokenizer):
    from transformers import DataCollatorForSeq2Seq

    encoded = encode_all(three_dialogues, tokenizer)
    rows = [
        {"input_ids": e.ids, "labels": labels_by_hand(e), "attention_mask": [1] * len(e)}
        for e in encoded
    ]
    theirs = DataCollatorForSeq2Seq(tokenizer, padding=True)(rows)
    assert_equal_tensors(pad_batch(encoded, tokenizer.pad_token_id), theirs)


def test_equals_the_collator_of_trl(three_dialogues, tokenizer):
    collators = pytest.importorskip("trl.trainer.sft_trainer")
    encoded = encode_all(three_dialogues, tokenizer)
    rows = [{"input_ids": e.ids, "labels": labels_by_hand(e)} for e in encoded]
    pad_id = tokenizer.pad_token_id
    padded = collators.DataCollatorForLanguageModeling(pad_id)(rows)
    assert_equal_tensors(pad_batch(encoded, pad_id), padded)
    flat = collators.DataCollatorForLanguageModeling(pad_id, padding_free=True)(rows)
    ours = collate_packed([encoded], pad_id, flat["input_ids"].shape[1])
    for name in ("input_ids", "labels", "position_ids"):
        assert torch.equal(ours[name], flat[name])


def labels_by_hand(encoded):
    return [t if on else IGNORE for t, on in zip(encoded.ids, encoded.mask, strict=True)]


def assert_equal_tensors(ours, theirs):
    for name in ("input_ids", "labels", "attention_mask"):
        assert torch.equal(ours[name], theirs[name]), name


def test_a_mask_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"'odd' has 3 ids, but 2 mask values"):
        pad_batch([Encoded([1, 2, 3], [False, True], "odd")], 0)


# ---- packing


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


def test_best_fit_takes_the_fullest_row_that_has_room():
    rows = pack([toy(n, str(n)) for n in (7, 6, 4, 3)], 10)
    assert [[len(d) for d in row] for row in rows] == [[7, 3], [6, 4]]


def test_packing_refuses_what_is_too_long():
    with pytest.raises(ValueError, match=r"'big' has 50 tokens.*truncate_all"):
        pack([toy(50, "big")], 40)
    with pytest.raises(ValueError, match=r"'big' has 50 tokens.*truncate_all"):
        pad_batch([toy(50, "big")], 0, length=40)
    with pytest.raises(ValueError, match=r"'a', 'b' have 50 tokens together, more than 40"):
        collate_packed([[toy(30, "a"), toy(20, "b")]], 0, 40)


@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
def test_a_neighbour_in_the_row_is_never_seen(make):
    """Another first dialogue in the row: the second one's logits do not move."""
    assert moved(make()) < 1e-6
    model, second = make(), toy(9)
    beside = packed_logits(model, collate_packed([[toy(12), second]], 0, 24))[0, 12:21]
    alone = packed_logits(model, collate_packed([[second]], 0, 24))[0, :9]
    torch.testing.assert_close(beside, alone, atol=1e-5, rtol=0)


def moved(model, change=None, **options) -> float:
    """How far the second dialogue's logits move when the first of its row is another one."""
    first, second, other = toy(12), toy(9), toy(12)
    other.ids = [token + 100 for token in other.ids]
    logits = []
    for one in (first, other):
        batch = collate_packed([[one, second]], 0, 24)
        if change:
            change(batch)
        logits.append(packed_logits(model, batch, **options)[0, 12:21])
    return float((logits[0] - logits[1]).abs().max())


def all_ones(batch):
    batch["attention_mask"] = torch.ones(1, 24, dtype=torch.long)


def no_mask(batch):
    del batch["attention_mask"]


def plain_causal(batch):
    batch["attention_mask"] = torch.ones(1, 1, 24, 24, dtype=torch.bool).tril()


@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
def test_what_lets_a_neighbour_leak_and_what_does_not(make):
    """With `position_ids` alone transformers isolates only without a mask and without a cache."""
    model = make()
    assert moved(model, no_mask) < 1e-6
    assert moved(model, no_mask, use_cache=True) > 1e-4
    assert moved(model, all_ones) > 1e-4
    assert moved(model, plain_causal) > 1e-4
    assert moved(model, use_cache=True) < 1e-6  # our mask isolates in either case


def test_a_mask_that_forgets_the_owner_is_noticed(monkeypatch):
    """The mutant in the code itself: causal, whoever a token belongs to."""

    def causal(owner):
        size = owner.shape[-1]
        return torch.ones(len(owner), 1, size, size, dtype=torch.bool).tril()

    monkeypatch.setattr(batching, "block_causal_mask", causal)
    with pytest.raises(AssertionError):
        test_a_neighbour_in_the_row_is_never_seen(tiny_gpt2)


@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
def test_positions_that_run_on_are_noticed(make):
    """GPT-2's learned positions give other logits; rotary ones look at distances alone."""
    model = make()
    batch = collate_packed([[toy(12), toy(9)]], 0, 24)
    right = packed_logits(model, batch)[0, 12:21]
    batch["position_ids"] = torch.arange(24)[None]
    wrong = packed_logits(model, batch)[0, 12:21]
    far = float((right - wrong).abs().max())
    assert far > 1e-3 if make is tiny_gpt2 else far < 1e-5
    assert collate_packed([[toy(12), toy(9)]], 0, 24)["position_ids"][0, 12:15].tolist() == [
        0,
        1,
        2,
    ]


@torch.no_grad()
def packed_logits(model, batch, use_cache=False):
    return model(**{k: v for k, v in batch.items() if k != "labels"}, use_cache=use_cache).logits


def test_no_dialogue_is_trained_to_open_the_next_one():
    """Where everything is trained, the neighbour's last token must not predict a first one."""
    pages = [Encoded([5, 6, 7], [True] * 3, "a"), Encoded([8, 9], [True] * 2, "b")]
    packed, padded = collate_packed([pages], 0, 6), pad_batch(pages, 0)
    assert packed["labels"].tolist() == [[IGNORE, 6, 7, IGNORE, 9, IGNORE]]
    assert shifted(packed) == shifted(padded) == [6, 7, 9]


@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
@pytest.mark.parametrize("weighting", ["token", "dialogue"])
def test_packed_and_padded_give_the_same_loss_and_gradients(make, weighting):
    model = make()
    dialogues = [toy(n, str(n)) for n in (12, 9, 20, 5)]
    dialogues.append(Encoded(list(range(50, 60)), [True] * 10, "page"))
    options = {"rows_per_batch": 9, "weighting": weighting}
    (packed,) = PackedDialogues(dialogues, 0, 40, **options).epoch(0)
    (padded,) = PaddedDialogues(dialogues, 0, **options).epoch(0)
    found = []
    for batch in (packed, padded):
        weights = batch.pop("weights", None)
        loss = weighted_loss(model, batch, weights)
        model.zero_grad()
        loss.backward()
        found.append((loss.detach(), [p.grad.clone() for p in model.parameters()]))
    (one, some), (other, others) = found
    torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    for a, b in zip(some, others, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def test_positions_that_run_on_give_another_loss(monkeypatch):
    """The mutant in the code itself: each dialogue goes on counting where its neighbour ended."""
    real = batching._fill

    def running_on(*given):
        filled = real(*given)
        filled.positions[:] = filled.count
        return filled

    monkeypatch.setattr(batching, "_fill", running_on)
    with pytest.raises(AssertionError):
        test_packed_and_padded_give_the_same_loss_and_gradients(tiny_gpt2, "token")


def weighted_loss(model, batch, weights):
    if weights is None:
        return lm_loss(model, batch)
    logits = model(**{k: v for k, v in batch.items() if k != "labels"}, use_cache=False).logits
    each = torch.nn.functional.cross_entropy(
        logits[:, :-1].transpose(1, 2), batch["labels"][:, 1:], reduction="none"
    )
    return (each * weights[:, 1:]).sum() / weights[:, 1:].sum()


# ---- training data: each dialogue once, in an order that repeats, from any batch on


KINDS = ("packed", "random", "length")


@pytest.mark.parametrize("kind", KINDS)
def test_epochs_hold_every_dialogue_once_and_repeat_exactly(many, kind):
    data = data_of(many, kind, seed=3)
    names = [[n for i in range(data.batches_in(e)) for n in data.ids_of(e, i)] for e in (0, 1)]
    assert sorted(names[0]) == sorted(names[1]) == sorted(d.dialogue_id for d in many)
    assert names[0] != names[1]
    trained = sorted(t for batch in data.epoch(0) for t in trained_ids(batch))
    assert trained == sorted(t for d in many for t in d.trained_ids)
    assert len(list(data.epoch(0))) == len(data) == data.batches_in(0)
    assert_same_batches(data.epoch(0), data_of(many, kind, seed=3).epoch(0))
    assert data_of(many, kind, seed=4).ids_of(0, 0) != data.ids_of(0, 0)


def assert_same_batches(some, others):
    for one, other in zip(some, others, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighting", ["token", "dialogue"])
def test_an_epoch_goes_on_from_any_batch(many, kind, weighting, monkeypatch):
    data = data_of(many, kind, weighting=weighting)
    whole = list(data.epoch(2))
    built = []
    real = batching._fill
    monkeypatch.setattr(batching, "_fill", lambda *a: built.append(1) or real(*a))
    for start in (0, 1, len(whole) - 1, len(whole), len(whole) + 3):
        built.clear()
        assert_same_batches(data.epoch(2, start), whole[start:])
        assert len(built) == len(whole[start:])  # the earlier ones are not built
    with pytest.raises(ValueError, match="start=-1"):
        next(data.epoch(2, -1))


@pytest.mark.parametrize("kind", KINDS)
def test_ids_of_names_the_dialogues_of_a_batch(many, kind):
    data = data_of(many, kind)
    by_name = {d.dialogue_id: d for d in many}
    for number, batch in enumerate(data.epoch(1)):
        expected = [t for name in data.ids_of(1, number) for t in by_name[name].trained_ids]
        assert trained_ids(batch) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_weights_count_every_dialogue_as_one(many, kind):
    data = data_of(many, kind, weighting="dialogue")
    for number, batch in enumerate(data.epoch(0)):
        weights = batch["weights"]
        assert weights.dtype == torch.float32 and weights.shape == batch["labels"].shape
        assert torch.equal(weights > 0, batch["labels"] != IGNORE)
        assert float(weights.sum()) == pytest.approx(len(data.ids_of(0, number)), abs=1e-4)
    assert "weights" not in next(data_of(many, kind).epoch(0))


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_are_those_of_the_batches(many, kind):
    data = data_of(many, kind)
    sizes = data.sizes(1)
    for size, batch in zip(sizes, data.epoch(1), strict=True):
        assert (size.rows, size.width) == batch["input_ids"].shape
        assert size.trained == len(trained_ids(batch))
        there = batch["attention_mask"].sum() if kind != "packed" else None
        assert there is None or size.tokens == int(there)
    assert sum(size.tokens for size in sizes) == sum(map(len, many))
    positions = sum(size.positions for size in sizes)
    assert waste(data, 1) == pytest.approx(wasted_share(many, positions))


SILENT = Encoded([1, 2, 3], [False] * 3, "silent")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dialogue", [SILENT, Encoded([1, 2], [True, False], "silent")])
def test_a_dialogue_without_a_trained_token_never_gets_in(kind, dialogue):
    with pytest.raises(ValueError, match=r"'silent' has no trained token.*truncate_all"):
        data_of([toy(9), dialogue], kind)
    kept, _ = truncate_all([toy(9), dialogue], 400)
    assert all(trained_ids(batch) for batch in data_of(kept, kind).epoch(0))


@pytest.mark.parametrize("blind", [lambda d: True, lambda d: any(d.mask)])
def test_a_check_that_lets_silent_rows_in_is_noticed(monkeypatch, blind):
    """The mutants: no check at all, and one that counts the first token, which has no loss."""
    for module in (batching, truncation):
        monkeypatch.setattr(module, "has_loss", blind)
    first_only = Encoded([1, 2], [True, False], "silent")
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        test_a_dialogue_without_a_trained_token_never_gets_in("packed", first_only)


def test_trl_packs_rows_without_a_trained_token():
    """The wrong variant beside ours: a row that gives no loss, or 0/0 in a batch of its own."""
    trl = pytest.importorskip("trl")
    from datasets import Dataset

    both = [toy(9), SILENT]
    rows = {"input_ids": [e.ids for e in both], "labels": [labels_by_hand(e) for e in both]}
    packed = trl.pack_dataset(Dataset.from_dict(rows), 9, strategy="bfd")["labels"]
    assert [any(token != IGNORE for token in row) for row in packed] == [True, False]
    kept, report = truncate_all(both, 9)
    assert all(trained_ids(batch) for batch in PackedDialogues(kept, 0, 9, 1).epoch(0))
    assert [name for name, _ in report.set_aside] == ["silent"]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: PackedDialogues([], 0), "no dialogue to train on"),
        (lambda: PackedDialogues([toy(50, "big")], 0, 40), "'big' has 50 tokens, more than the"),
        (lambda: PackedDialogues([toy(9)], 0, rows_per_batch=0), "rows_per_batch=0"),
        (lambda: PackedDialogues([toy(9)], 0, weighting="turn"), "choose from token, dialogue"),
        (lambda: PaddedDialogues([toy(9)], 0), "either rows_per_batch or tokens_per_batch"),
        (lambda: PaddedDialogues([toy(9)], 0, 2, 64), "either rows_per_batch or tokens_per_batch"),
        (lambda: PaddedDialogues([toy(9)], 0, 2, order="size"), "choose from random, length"),
        (lambda: PaddedDialogues([toy(50, "big")], 0, tokens_per_batch=40), "'big' has 50 tokens"),
    ],
)
def test_what_cannot_work_is_refused_at_once(make, says):
    with pytest.raises(ValueError, match=says):
        make()


# ---- buckets


def swing(data, epoch=0) -> float:
    """Standard deviation of the trained tokens a step, as a share of their mean."""
    trained = [size.trained for size in data.sizes(epoch)]
    return statistics.pstdev(trained) / statistics.mean(trained)


def test_a_budget_is_kept_and_used(many):
    for order in ("random", "length"):
        sizes = PaddedDialogues(many, 0, tokens_per_batch=1000, order=order).sizes()
        assert all(size.positions <= 1000 for size in sizes)
        # a next row fits no more: at most 98 wide, and it would widen as many as there are
        assert sum((size.rows + 1) * 98 > 1000 for size in sizes) >= len(sizes) - 1
    rows = PaddedDialogues(many, 0, rows_per_batch=16, order="length").sizes()
    assert [size.rows for size in rows].count(16) >= len(rows) - 1


def test_buckets_of_a_fixed_number_of_rows_swing_and_those_of_a_budget_do_not(many):
    fixed = PaddedDialogues(many, 0, rows_per_batch=16, order="length")
    budget = PaddedDialogues(many, 0, tokens_per_batch=16 * 45, order="length")
    assert abs(len(fixed) - len(budget)) < 0.2 * len(fixed)  # steps of like size on average
    assert swing(fixed) > 0.5
    assert swing(budget) < 0.2
    assert swing(PackedDialogues(many, 0, 256, 3)) < 0.2


def test_buckets_waste_less_than_a_random_order_and_packing_least(many):
    random_order = waste(PaddedDialogues(many, 0, rows_per_batch=16))
    buckets = waste(PaddedDialogues(many, 0, tokens_per_batch=720, order="length"))
    packed = waste(PackedDialogues(many, 0, 256))
    assert packed < 0.05 and buckets < 0.1 < 0.4 < random_order


STEP_SIZES = ({"rows_per_batch": 8}, {"tokens_per_batch": 400})


@pytest.mark.parametrize("size", STEP_SIZES)
def test_steps_come_in_no_order_of_length(many, size):
    data = PaddedDialogues(many, 0, order="length", **size)
    assert_no_order_of_length([step.width for step in data.sizes()])


@pytest.mark.parametrize("size", STEP_SIZES)
def test_an_order_of_length_is_noticed(many, size):
    """The mutants: long to short over the epoch, and anew in every group, as in transformers."""
    data = PaddedDialogues(many, 0, order="length", **size)
    widths = [step.width for step in data.sizes()]
    groups = [sorted(widths[start : start + 16]) for start in range(0, len(widths), 16)]
    for order in (sorted(widths), [width for group in groups for width in reversed(group)]):
        with pytest.raises(AssertionError):
            assert_no_order_of_length(order)


def assert_no_order_of_length(widths) -> None:
    assert abs(trend(widths)) < 0.3
    jumps = sum(abs(a - b) > 10 for a, b in zip(widths, widths[1:], strict=False))
    assert jumps > len(widths) / 2


def trend(values) -> float:
    return statistics.correlation(range(len(values)), values)


def test_packing_wastes_less_than_padding():
    dialogues = [toy(6 + (7 * i) % 50) for i in range(300)]
    rows = pack(dialogues, 64)
    padded = sum(b["input_ids"].numel() for b in padded_batches(dialogues, 16, 0, by_length=False))
    assert wasted_share(dialogues, 64 * len(rows)) < 0.05
    assert wasted_share(dialogues, padded) > 0.3


# ---- beside TRL, and the clock


@pytest.mark.parametrize("source", ["shop", "abcd"])
@pytest.mark.parametrize("row_length", [256, 512])
def test_packing_wastes_no_more_than_trl(source, row_length, tokenizer, request):
    trl = pytest.importorskip("trl")
    from datasets import Dataset

    encoded = encode_all(real_dialogues(source, request), tokenizer)
    kept, _ = truncate_all(encoded, row_length)
    theirs = trl.pack_dataset(
        Dataset.from_dict({"input_ids": [e.ids for e in kept]}), row_length, strategy="bfd"
    )
    assert sum(map(len, theirs["input_ids"])) == sum(map(len, kept))
    assert len(pack(kept, row_length)) <= len(theirs)
    # an epoch packs pools of a few dozen rows, so that rows change: that costs next to nothing
    rows = len(PackedDialogues(kept, 0, row_length).rows(0))
    assert rows <= len(theirs) * 1.03 + 1


def real_dialogues(source, request):
    from course_lib.dialogue import read_dialogues
    from course_lib.sources import read_source

    if source == "shop":
        return list(read_dialogues(ROOT / "data/shop/dev.jsonl"))
    folder = request.getfixturevalue("samples")
    return list(read_source("abcd", folder / "abcd" / "abcd_sample.json"))


@pytest.mark.parametrize("kind", KINDS)
def test_collating_is_no_bottleneck(kind):
    """Over a million tokens a second of one core; training takes some hundred times as long."""
    rng = random.Random(0)
    dialogues = [toy(rng.randint(30, 250), str(i)) for i in range(1000)]
    data = data_of(dialogues, kind, room=256)
    list(data.epoch(0, len(data)))  # flattened once
    seconds = []
    for _ in range(3):
        started = time.process_time()
        list(data.epoch(0))
        seconds.append(time.process_time() - started)
    assert sum(map(len, dialogues)) / min(seconds) > 1e6
