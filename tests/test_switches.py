"""What training switches on: equal to its formula, off in evaluation, gone afterwards."""

from __future__ import annotations

import shutil

import pytest
import torch

from course_lib.batching import collate_packed, pad_batch
from course_lib.chat_format import Encoded
from course_lib.losses import lm_loss
from course_lib.switches import (
    compiled,
    dropout,
    gradient_checkpointing,
    neftune,
    real_lengths,
    switched_on,
)
from course_lib.train_config import TrainConfig
from tests.tiny import tiny_gpt2, tiny_llama

ALPHA = 5.0
ROWS = [Encoded(list(range(5, 5 + n)), [True] * n, f"row {n}") for n in (3, 8, 5)]


def noise_of(model, batch, alpha: float = ALPHA) -> torch.Tensor:
    """(B, T, H): what NEFTune adds to the embeddings of the batch."""
    layer, outputs = model.get_input_embeddings(), []
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    model.train()
    with neftune(model, alpha):
        hook = layer.register_forward_hook(lambda module, args, output: outputs.append(output))
        model.base_model(**inputs, use_cache=False)
        hook.remove()
    return outputs[0].detach() - layer(batch["input_ids"]).detach()


def assert_the_papers_formula(model) -> None:
    """±alpha/√(L·d) with L each row's own length, and as wide as that: not narrower."""
    torch.manual_seed(0)
    batch = pad_batch(ROWS * 8, pad_id=0)
    noise = noise_of(model, batch)
    width = noise.shape[-1]
    for row, length in zip(noise, batch["attention_mask"].sum(1).tolist(), strict=True):
        bound = ALPHA / (length * width) ** 0.5
        largest = row[:length].abs().max().item()
        assert 0.9 * bound < largest <= bound * 1.0001


def test_the_noise_is_the_papers(model):
    assert_the_papers_formula(model)


def test_lengths_with_padding_are_noticed(monkeypatch):
    """The mutant: L as the width of the padded batch, as in transformers' own hook."""
    import course_lib.switches as switches

    monkeypatch.setattr(switches, "real_lengths", lambda mask, hidden: real_lengths(None, hidden))
    with pytest.raises(AssertionError):
        assert_the_papers_formula(tiny_gpt2())


def test_the_noise_equals_transformers_where_nothing_is_padded():
    from transformers.integrations.neftune import neftune_post_forward_hook

    model, batch = tiny_gpt2(), pad_batch(ROWS[:1], pad_id=0)
    torch.manual_seed(1)
    ours = noise_of(model, batch)
    layer = model.get_input_embeddings()
    layer.neftune_noise_alpha = ALPHA
    torch.manual_seed(1)
    theirs = neftune_post_forward_hook(layer.train(), None, torch.zeros(1, 3, ours.shape[-1]))
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_in_packed_rows_each_dialogue_has_its_own_length():
    batch = collate_packed([ROWS], pad_id=0, row_length=20)
    hidden = torch.zeros(1, 20, 4)
    lengths = real_lengths(batch["attention_mask"], hidden)[0].tolist()
    assert lengths == [3.0] * 3 + [8.0] * 8 + [5.0] * 5 + [4.0] * 4
    additive = torch.zeros(1, 1, 20, 20).masked_fill(~batch["attention_mask"], -1e9)
    assert real_lengths(additive, hidden)[0].tolist() == lengths


def test_noise_is_for_training_only_and_leaves_no_hook():
    model, batch = tiny_gpt2(), pad_batch(ROWS, pad_id=0)
    plain = lm_loss(model.eval(), batch).item()
    with neftune(model, ALPHA):
        assert lm_loss(model, batch).item() == plain
        assert lm_loss(model.train(), batch).item() != plain
    assert lm_loss(model.train(), batch).item() == plain
    assert not model.get_input_embeddings()._forward_hooks
    assert not model.base_model._forward_pre_hooks


@pytest.mark.parametrize("make", [lambda: tiny_gpt2(dropout=0.1), tiny_llama])
def test_dropout_is_set_for_a_while(make):
    model, batch = make(), pad_batch(ROWS, pad_id=0)
    sure = lm_loss(model.eval(), batch).item()

    def losses() -> set[float]:
        return {lm_loss(model.train(), batch).item() for _ in range(3)}

    before = len(losses())
    with dropout(model, 0.0):
        assert max(losses()) == pytest.approx(sure) == min(losses())
    with dropout(model, 0.5):
        assert len(losses()) == 3
        assert lm_loss(model.eval(), batch).item() == sure  # and never in evaluation
    assert len(losses()) == before


def test_a_model_without_dropout_says_so():
    with pytest.raises(ValueError, match="no dropout"), dropout(torch.nn.Linear(1, 1), 0.1):
        pass


def checkpoints(model) -> bool:
    return any(getattr(module, "gradient_checkpointing", False) for module in model.modules())


def test_everything_is_off_again_after_an_error():
    model = tiny_gpt2(dropout=0.1)
    config = TrainConfig(dropout=0.3, neftune_alpha=5.0, gradient_checkpointing=True)
    with pytest.raises(RuntimeError), switched_on(model, config):
        assert model.training and checkpoints(model)
        assert model.transformer.drop.p == 0.3
        raise RuntimeError
    assert not model.training and not checkpoints(model)
    assert model.transformer.drop.p == 0.1
    assert not model.get_input_embeddings()._forward_hooks


def gradients(model, batch) -> dict[str, torch.Tensor]:
    model.zero_grad()
    lm_loss(model, batch).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_gradient_checkpointing_changes_memory_and_no_gradient():
    model, batch = tiny_gpt2(dropout=0.1).train(), pad_batch(ROWS, pad_id=0)
    torch.manual_seed(0)
    plain = gradients(model, batch)
    kept: list[int] = []
    with gradient_checkpointing(model):
        torch.manual_seed(0)
        with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, _same):
            cheap = gradients(model, batch)
    saved: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x.numel()) or x, _same):
        gradients(model, batch)
    assert sum(kept) < sum(saved)
    for name, gradient in plain.items():
        assert torch.allclose(gradient, cheap[name], atol=1e-7), name


def _same(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compile_keeps_losses_and_names():
    model, batch = tiny_gpt2(), pad_batch(ROWS, pad_id=0)
    names, plain = list(model.state_dict()), lm_loss(model, batch).item()
    with compiled(model):
        assert model.base_model._compiled_call_impl is not None
        assert lm_loss(model, batch).item() == pytest.approx(plain, abs=1e-5)
        assert list(model.state_dict()) == names
    assert model.base_model._compiled_call_impl is None


def test_a_compiled_wrapper_would_rename_the_weights():
    """Why the body is compiled in place: the usual wrapper changes what a checkpoint holds."""
    wrapped = torch.compile(tiny_gpt2())
    assert all(name.startswith("_orig_mod.") for name in wrapped.state_dict())
