"""The loss is transformers' and TRL's own; packed, padded, accumulated and chunked alike."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from course_lib.batching import IGNORE, collate_packed, pack, pad_batch
from course_lib.chat_format import encode_all
from course_lib.dialogue import Dialogue, Message
from course_lib.losses import (
    LossConfig,
    count_trained,
    lm_loss,
    normalizer,
    step_normalizer,
    token_cross_entropy,
    trained_logits,
)
from course_lib.models import prepare_for_chat
from course_lib.peak_memory import logit_peaks
from course_lib.traps import naive_mean
from tests.losses import MUTANTS, assert_equal_loss, assert_right, assert_same, gradients, logits_of
from tests.tiny import bpe_tokenizer, tiny_gpt2

REPLIES = [
    "Yes.",
    "It is two years.",
    "39 euros, and the warranty is two years.",
    "No.",
    "I have cancelled your order, and the money is on its way to you. Anything else?",
    "Your order was sent.",
    "Good day.",
    "Thank you, that was all. Have a nice day, and come again when you like.",
]


@pytest.fixture
def prepared(model, three_dialogues):
    model, tokenizer = prepare_for_chat(model, bpe_tokenizer())
    return model, encode_all(three_dialogues, tokenizer), tokenizer.pad_token_id


@pytest.fixture
def eight_rows(model):
    """A model, and eight batches of one dialogue each, with 2 to about 40 trained tokens."""
    model, tokenizer = prepare_for_chat(model, bpe_tokenizer())
    dialogues = [
        Dialogue(f"d{i}", [Message("user", "Hello!"), Message("assistant", reply)])
        for i, reply in enumerate(REPLIES)
    ]
    encoded = encode_all(dialogues, tokenizer)
    return model, [pad_batch([e], tokenizer.pad_token_id, length=64) for e in encoded]


def weighted(batch, owner=None):
    """The batch with 1/(trained tokens of its dialogue) as weights; a row is one dialogue."""
    owner = torch.arange(len(batch["labels"]))[:, None] if owner is None else owner
    owner = owner.expand_as(batch["labels"])
    where = batch["labels"] != IGNORE
    weights = torch.zeros(where.shape)
    for number in owner[where].unique():
        mine = where & (owner == number)
        weights[mine] = 1.0 / mine.sum()
    return batch | {"weights": weights}


# ---- equal to the references, and no mutant is


def test_the_loss_is_right_whole_and_accumulated(eight_rows):
    assert_right(lm_loss, *eight_rows)
    assert_right(lambda m, b, n: lm_loss(m, b, n, LossConfig(chunk=5)), *eight_rows)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_noticed(name, eight_rows):
    with pytest.raises(AssertionError):
        assert_right(MUTANTS[name], *eight_rows)


def test_equals_transformers(prepared):
    model, encoded, pad = prepared
    batch = pad_batch(encoded, pad)
    theirs = model(**batch).loss
    ours = lm_loss(model, batch)
    assert_equal_loss(ours, theirs)
    logits = logits_of(model, batch)
    assert_equal_loss(token_cross_entropy(logits, batch["labels"]), theirs)
    assert_same(gradients(model, [lm_loss(model, batch)]), gradients(model, [model(**batch).loss]))


@pytest.mark.parametrize("items", [None, 57])
def test_equals_the_loss_function_of_transformers(prepared, items):
    from transformers.loss.loss_utils import ForCausalLMLoss

    model, encoded, pad = prepared
    batch = pad_batch(encoded, pad)
    logits = logits_of(model, batch)
    theirs = ForCausalLMLoss(logits, batch["labels"], logits.shape[-1], num_items_in_batch=items)
    for ours in (
        token_cross_entropy(logits, batch["labels"], items),
        lm_loss(model, batch, items),
        lm_loss(model, batch, items, LossConfig(chunk=7)),
    ):
        assert_equal_loss(ours, theirs)


@pytest.mark.parametrize("items", [None, 57])
def test_equals_trl(prepared, items, tmp_path):
    trl = pytest.importorskip("trl")
    from datasets import Dataset

    model, encoded, pad = prepared
    batch = pad_batch(encoded, pad)
    batch.pop("position_ids")
    tokenizer = bpe_tokenizer()
    tokenizer.add_special_tokens({"pad_token": "<|pad|>"})
    args = trl.SFTConfig(
        str(tmp_path), report_to=[], use_cpu=True, bf16=False, gradient_checkpointing=False
    )
    rows = Dataset.from_list([{"input_ids": e.ids, "labels": e.ids} for e in encoded])
    trainer = trl.SFTTrainer(model, args, train_dataset=rows, processing_class=tokenizer)
    number = None if items is None else torch.tensor(items)

    def theirs():
        return trainer.compute_loss(model, dict(batch), num_items_in_batch=number)

    assert_equal_loss(lm_loss(model, batch, items), theirs())
    assert_same(gradients(model, [lm_loss(model, batch, items)]), gradients(model, [theirs()]))


def test_packed_equals_padded(prepared):
    model, encoded, pad = prepared
    padded, packed = pad_batch(encoded, pad), collate_packed(pack(encoded, 128), pad, 128)
    a, b = lm_loss(model, padded), lm_loss(model, packed)
    torch.testing.assert_close(a, b, atol=1e-5, rtol=0)
    assert_same(gradients(model, [a]), gradients(model, [b]))


def test_accumulation_equals_one_big_batch(prepared):
    model, encoded, pad = prepared
    parts = [pad_batch([e], pad) for e in encoded]
    whole = gradients(model, [lm_loss(model, pad_batch(encoded, pad))])
    divisor = step_normalizer(parts)
    assert_same(gradients(model, [lm_loss(model, part, divisor) for part in parts]), whole)


def test_a_mean_of_means_would_not_be(prepared):
    """The mutant: dividing each micro-batch by its own count gives another gradient."""
    model, encoded, pad = prepared
    whole = gradients(model, [lm_loss(model, pad_batch(encoded, pad))])
    means = gradients(model, [lm_loss(model, pad_batch([e], pad)) / 3 for e in encoded])
    far = max((a - b).abs().max().item() for a, b in zip(whole, means, strict=True))
    assert far > 1e-3


@pytest.mark.slow
def test_two_processes_give_the_gradient_of_one(tmp_path):
    """Each process has its own micro-batches; their gradients are averaged, as DDP does."""
    from tests.two_processes import gradient_of_all, gradient_of_two

    one = gradient_of_all()
    assert_same(gradient_of_two(tmp_path), one)
    with pytest.raises(AssertionError):  # the mutant: each process divides by its own count
        assert_same(gradient_of_two(tmp_path, wrong=True), one)


def test_shift_by_hand():
    """Two positions predict two tokens; the first token is predicted by nothing."""
    logits = torch.log(torch.tensor([[[0.1, 0.9], [0.7, 0.3], [0.5, 0.5]]]))
    labels = torch.tensor([[1, 1, 0]])
    expected = -(torch.log(torch.tensor(0.9)) + torch.log(torch.tensor(0.7))) / 2
    torch.testing.assert_close(token_cross_entropy(logits, labels), expected)
    assert count_trained({"labels": labels}) == 2


# ---- weights


def test_a_weighted_loss_is_the_mean_over_dialogues(prepared):
    model, encoded, pad = prepared
    batch = weighted(pad_batch(encoded, pad))
    means = torch.stack([lm_loss(model, pad_batch([e], pad)) for e in encoded])
    assert_equal_loss(lm_loss(model, batch), means.mean())
    assert normalizer(batch) == pytest.approx(3)
    logits = logits_of(model, batch)
    alone = token_cross_entropy(logits, batch["labels"], weights=batch["weights"])
    assert_equal_loss(alone, means.mean())
    assert abs(lm_loss(model, pad_batch(encoded, pad)) - means.mean()) > 1e-3  # per token: another


def test_weighted_packed_equals_padded_and_accumulates(prepared):
    model, encoded, pad = prepared
    rows = pack(encoded, 128)
    owner = torch.full((len(rows), 128), -1)
    for row, dialogues in enumerate(rows):
        ends = torch.tensor([len(d) for d in dialogues]).cumsum(0)
        for number, dialogue in enumerate(dialogues):
            owner[row, ends[number] - len(dialogue) : ends[number]] = 10 * row + number
    padded = weighted(pad_batch(encoded, pad))
    packed = weighted(collate_packed(rows, pad, 128), owner)
    whole = gradients(model, [lm_loss(model, padded)])
    assert_same(gradients(model, [lm_loss(model, packed)]), whole)
    parts = [weighted(pad_batch([e], pad)) for e in encoded]
    divisor = step_normalizer(parts)
    assert_same(gradients(model, [lm_loss(model, part, divisor) for part in parts]), whole)


def test_equal_weights_change_nothing_and_a_weight_of_0_leaves_out(prepared):
    model, encoded, pad = prepared
    batch = pad_batch(encoded, pad)
    plain = lm_loss(model, batch)
    same = lm_loss(model, batch | {"weights": torch.full(batch["labels"].shape, 0.5)})
    assert_equal_loss(same, plain)
    only = torch.zeros(batch["labels"].shape)
    only[0] = 1.0
    first = lm_loss(model, pad_batch(encoded[:1], pad))
    assert_equal_loss(lm_loss(model, batch | {"weights": only}), first)


def test_the_weight_stands_where_its_token_stands():
    """The mutant: weights that are not shifted with the labels fall on their neighbours."""
    logits = torch.zeros(1, 3, 2)
    logits[0, 0, 1] = 3.0
    labels, weights = torch.tensor([[0, 1, 0]]), torch.tensor([[5.0, 1.0, 0.0]])
    expected = F.cross_entropy(logits[0, :1], labels[0, 1:2])
    torch.testing.assert_close(token_cross_entropy(logits, labels, weights=weights), expected)
    assert normalizer({"labels": labels, "weights": weights}) == 1.0


# ---- label smoothing, z-loss


def smoothed_by_hand(logits, labels, epsilon):
    log_probs = logits.log_softmax(-1)
    right = log_probs[torch.arange(len(labels)), labels]
    return -((1 - epsilon) * right + epsilon * log_probs.mean(-1))


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.5])
def test_label_smoothing_is_torchs_and_transformers(epsilon):
    from transformers.trainer_pt_utils import LabelSmoother

    torch.manual_seed(1)
    logits = torch.randn(2, 6, 11)
    labels = torch.randint(0, 11, (2, 6))
    labels[0, :3] = labels[1, 5:] = IGNORE
    ours = token_cross_entropy(logits, labels, config=LossConfig(label_smoothing=epsilon))
    where = labels[:, 1:] != IGNORE
    kept, wanted = logits[:, :-1][where], labels[:, 1:][where]
    by_torch = F.cross_entropy(kept, wanted, label_smoothing=epsilon)
    by_hand = smoothed_by_hand(kept, wanted, epsilon).mean()
    smoother = LabelSmoother(epsilon=epsilon)
    by_theirs = smoother({"logits": logits}, labels, shift_labels=True)
    for other in (by_torch, by_hand, by_theirs):
        assert_equal_loss(ours, other)


def test_label_smoothing_of_transformers_does_not_shift_unless_told():
    """The documented difference: their smoother takes the labels as they stand."""
    from transformers.trainer_pt_utils import LabelSmoother

    torch.manual_seed(2)
    logits, labels = torch.randn(1, 5, 7), torch.randint(0, 7, (1, 5))
    ours = token_cross_entropy(logits, labels, config=LossConfig(label_smoothing=0.1))
    theirs = LabelSmoother(epsilon=0.1)({"logits": logits}, labels)
    assert abs(ours - theirs) > 1e-2


def test_z_loss_by_hand_and_what_it_sees():
    torch.manual_seed(3)
    logits, labels = torch.randn(1, 4, 5), torch.tensor([[0, 1, IGNORE, 3]])
    config = LossConfig(z_loss=1e-2)
    kept = logits[0, [0, 2]]  # positions 0 and 2 predict tokens 1 and 3
    plain = F.cross_entropy(kept, torch.tensor([1, 3]))
    expected = plain + 1e-2 * kept.exp().sum(-1).log().square().mean()
    torch.testing.assert_close(token_cross_entropy(logits, labels, config=config), expected)
    moved = token_cross_entropy(logits + 9, labels, config=config)
    assert moved > expected + 0.1  # the plain loss does not see such a shift, this one does
    unmoved = [token_cross_entropy(logits + by, labels) for by in (0, 9)]
    torch.testing.assert_close(*unmoved, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "wrong", [{"label_smoothing": 1.0}, {"label_smoothing": -0.1}, {"z_loss": -1.0}, {"chunk": -1}]
)
def test_a_config_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        LossConfig(**wrong)


# ---- chunks


@pytest.mark.parametrize("chunk", [1, 7, 1000])
@pytest.mark.parametrize("by_dialogue", [False, True])
def test_chunks_change_nothing(prepared, chunk, by_dialogue):
    model, encoded, pad = prepared
    batch = pad_batch(encoded, pad)
    batch = weighted(batch) if by_dialogue else batch
    settings = {"label_smoothing": 0.1, "z_loss": 1e-3}
    whole = lm_loss(model, batch, config=LossConfig(**settings))
    parts = lm_loss(model, batch, config=LossConfig(**settings, chunk=chunk))
    assert_equal_loss(parts, whole)
    assert_same(gradients(model, [parts]), gradients(model, [whole]), atol=1e-6)


def test_chunks_keep_the_logits_out_of_memory():
    """Vocabulary of GPT-2, 512 trained tokens of 1,024: what the logits take, and what is left."""
    row = 50_257 * 4  # bytes of one token's logits
    full, trained, chunks = logit_peaks(chunk=16).values()
    gradients = 2 * 50_257 * 192 * 4  # of the embedding table: so far, and a part to be added
    assert full > 2 * 1024 * row
    assert 2 * 512 * row < trained < 0.7 * full
    assert gradients < chunks < 0.5 * trained


# ---- other heads


def config_of(name, **extra):
    import transformers

    small = {
        "vocab_size": 64,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 32,
        "pad_token_id": 0,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    return getattr(transformers, f"{name}Config")(**small | extra)


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("Gemma2", {"final_logit_softcapping": 0.5, "head_dim": 8}),
        ("Cohere", {"logit_scale": 0.0625}),
        ("Granite", {"logits_scaling": 8.0}),
        ("Qwen2", {}),
    ],
)
def test_changed_logits_are_not_forgotten(name, extra):
    """A soft cap or a scale behind the output layer: the loss is that of the model's own logits."""
    import transformers

    torch.manual_seed(0)
    model = getattr(transformers, f"{name}ForCausalLM")(config_of(name, **extra)).eval()
    ids = torch.randint(1, 64, (2, 9))
    batch = {"input_ids": ids, "labels": ids}
    theirs = model(**batch).loss
    for config in (LossConfig(), LossConfig(chunk=3)):
        assert_equal_loss(lm_loss(model, batch, config=config), theirs)
    logits, _ = trained_logits(model, batch)
    torch.testing.assert_close(logits, model(ids).logits[:, :-1].flatten(0, 1))
    if extra:  # the mutant: the output layer alone
        hidden = model.base_model(ids).last_hidden_state
        bare = model.get_output_embeddings()(hidden[:, :-1]).flatten(0, 1)
        assert (bare - logits).abs().max() > 1e-3


def test_a_model_with_adapters_is_read_through_them():
    peft = pytest.importorskip("peft")
    model = tiny_gpt2()
    ids = torch.randint(0, 400, (2, 9))
    batch = {"input_ids": ids, "labels": ids}
    before = lm_loss(model, batch)
    lora = peft.LoraConfig(target_modules=["c_attn"], init_lora_weights=False, fan_in_fan_out=True)
    adapted = peft.get_peft_model(model, lora).eval()
    ours, theirs = lm_loss(adapted, batch), adapted(**batch).loss
    assert_equal_loss(ours, theirs)
    assert abs(ours - before) > 1e-4
    assert_same(
        gradients(adapted, [lm_loss(adapted, batch)]), gradients(adapted, [adapted(**batch).loss])
    )


# ---- nothing to train


@pytest.mark.parametrize("settings", [{}, {"num_tokens": 9}, {"config": LossConfig(chunk=4)}])
def test_a_batch_without_trained_tokens_is_an_error_not_nan(prepared, settings):
    model, encoded, pad = prepared
    batch = pad_batch(encoded, pad)
    batch["labels"][:] = IGNORE
    with pytest.raises(ValueError, match="no trained token"):
        lm_loss(model, batch, **settings)
    settings.pop("config", None)
    with pytest.raises(ValueError, match="no trained token"):
        token_cross_entropy(logits_of(model, batch), batch["labels"], **settings)


def test_a_loss_of_nan_is_noticed(prepared, monkeypatch):
    """The mutant: losses times mask by the sum of the mask, as it is often written."""
    import tests.test_losses as here

    monkeypatch.setattr(here, "lm_loss", lambda model, batch: naive_mean(model, batch))
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        here.test_a_batch_without_trained_tokens_is_an_error_not_nan(prepared, {})


def test_weights_of_0_alone_are_an_error_too(prepared):
    model, encoded, pad = prepared
    batch = pad_batch(encoded, pad)
    with pytest.raises(ValueError, match="no trained token"):
        lm_loss(model, batch | {"weights": torch.zeros(batch["labels"].shape)})


def test_dropout_is_off_in_evaluation():
    """GPT-2's configuration has a dropout of 0.1 three times; a held-out loss must not have it."""
    from course_lib.chat_format import Encoded
    from course_lib.metrics import held_out_loss

    model = tiny_gpt2(dropout=0.1).train()
    rows = [Encoded(list(range(1, 20)), [True] * 19)]
    first, second = (held_out_loss(model, rows, 0)["eval_loss"] for _ in range(2))
    assert first == second
    batch = pad_batch(rows, 0)
    model.train()
    assert lm_loss(model, batch).item() != lm_loss(model, batch).item()


def test_a_held_out_loss_is_no_mean_over_batches():
    from course_lib.chat_format import Encoded
    from course_lib.metrics import held_out_loss

    model = tiny_gpt2()
    rows = [Encoded([1, 2, 3], [False, True, True]), Encoded(list(range(3, 40)), [True] * 37)]
    whole = lm_loss(model, pad_batch(rows, 0)).item()
    assert held_out_loss(model, rows, 0, rows_per_batch=1)["eval_loss"] == pytest.approx(whole)
    means = [lm_loss(model, pad_batch([row], 0)).item() for row in rows]
    assert abs(sum(means) / 2 - whole) > 1e-4


def other_devices():
    found = ["cuda"] if torch.cuda.is_available() else []
    return found + (["mps"] if torch.backends.mps.is_available() else [])


def assert_loss_of_the_cpu(model, batch, config, device, loss=lm_loss) -> None:
    here = lm_loss(model, batch, config=config).item()
    there = {name: tensor.to(device) for name, tensor in batch.items()}
    assert loss(model.to(device), there, config=config).item() == pytest.approx(here, 1e-3)


@pytest.mark.parametrize("config", [LossConfig(), LossConfig(0.1, 1e-3, 5)])
def test_another_device_gives_the_loss_of_the_cpu(prepared, config):
    """Where there is one: a backend once gave 19.9 for a loss of 3.8."""
    if not other_devices():
        pytest.skip("this machine has neither CUDA nor MPS")
    model, encoded, pad = prepared
    for device in other_devices():
        assert_loss_of_the_cpu(model, weighted(pad_batch(encoded, pad)), config, device)


def test_a_device_that_computes_otherwise_is_noticed(prepared):
    """The mutant: a backend whose matrix products come out with their columns moved by one."""
    model, encoded, pad = prepared

    def wrong(model, batch, config):
        moved = lambda module, inputs, output: output.roll(1, -1)  # noqa: E731
        with model.get_output_embeddings().register_forward_hook(moved):
            return lm_loss(model, batch, config=config)

    batch = weighted(pad_batch(encoded, pad))
    assert_loss_of_the_cpu(model, batch, LossConfig(), "cpu")
    with pytest.raises(AssertionError):
        assert_loss_of_the_cpu(model, batch, LossConfig(), "cpu", wrong)
