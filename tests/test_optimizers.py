"""Muon beside AdamW: who moves what, equal to torch's own, one learning rate, exact state."""

from __future__ import annotations

import copy

import pytest
import torch

from course_lib.optimizers import BETAS, hidden_matrices, make_optimizer
from course_lib.training import set_learning_rate
from tests.tiny import tiny_gpt2


@pytest.fixture
def model():
    torch.manual_seed(0)
    return tiny_gpt2()


def some_steps(model, optimizers, number: int = 3, seed: int = 0) -> None:
    """Optimiser steps on random token ids."""
    torch.manual_seed(seed)
    for _ in range(number):
        ids = torch.randint(0, model.config.vocab_size, (2, 16))
        model(input_ids=ids, labels=ids).loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        model.zero_grad(set_to_none=True)


def test_hidden_matrices_are_those_of_the_blocks(model):
    hidden = hidden_matrices(model)
    names = {name for name, parameter in model.named_parameters() if parameter in hidden}
    kinds = {".".join(name.split(".")[-3:]) for name in names}
    assert all(name.startswith("transformer.h.") for name in names)
    assert kinds == {f"{part}.weight" for part in
                     ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")}  # fmt: skip


def test_an_untied_output_layer_is_no_hidden_matrix(model):
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    assert model.lm_head.weight not in hidden_matrices(model)


def test_equal_to_torchs_two_optimisers(model):
    """The same weights as with torch.optim.Muon and torch.optim.AdamW set up by hand."""
    other = copy.deepcopy(model)
    some_steps(model, [make_optimizer(model, "muon", 1e-2, 0.1, False)])
    blocks = [p for n, p in other.named_parameters() if ".h." in n and p.dim() == 2]
    tables = [p for n, p in other.named_parameters() if ".h." not in n and p.dim() == 2]
    small = [p for p in other.parameters() if p.dim() == 1]
    groups = [{"params": tables, "weight_decay": 0.1}, {"params": small, "weight_decay": 0.0}]
    theirs = [
        torch.optim.Muon(blocks, lr=1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(groups, lr=1e-2, betas=BETAS, fused=True),
    ]
    some_steps(other, theirs)
    for (name, ours), reference in zip(model.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, reference), name


def test_one_learning_rate_reaches_both(model):
    optimizer = make_optimizer(model, "muon", 1e-2, 0.1, False)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    set_learning_rate(optimizer, 0.0)
    some_steps(model, [optimizer])
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    set_learning_rate(optimizer, 1e-2)
    some_steps(model, [optimizer])
    assert not any(torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_state_goes_on_where_it_stopped(model):
    """Saved after three steps and loaded into a new pair: the next steps are the same."""
    optimizer = make_optimizer(model, "muon", 1e-2, 0.1, False)
    some_steps(model, [optimizer])
    other = copy.deepcopy(model)
    loaded = make_optimizer(other, "muon", 1e-2, 0.1, False)
    loaded.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    set_learning_rate(optimizer, 5e-3)
    set_learning_rate(loaded, 5e-3)
    some_steps(model, [optimizer], seed=1)
    some_steps(other, [loaded], seed=1)
    forgetful = copy.deepcopy(other)
    for (name, ours), theirs in zip(model.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs), name
    some_steps(model, [optimizer], seed=2)
    some_steps(forgetful, [make_optimizer(forgetful, "muon", 5e-3, 0.1, False)], seed=2)
    assert not torch.equal(model.transformer.wte.weight, forgetful.transformer.wte.weight)


def test_held_embeddings_do_not_decay(model):
    groups = make_optimizer(model, "muon", 1e-2, 0.1, True).param_groups
    (place,) = [g for g in groups if any(p is model.transformer.wte.weight for p in g["params"])]
    assert place["weight_decay"] == 0.0


def test_an_old_torch_is_told(model, monkeypatch):
    monkeypatch.delattr(torch.optim, "Muon")
    make_optimizer(model, "adamw", 1e-2, 0.1, False)
    with pytest.raises(RuntimeError, match=r"torch 2\.9 or newer"):
        make_optimizer(model, "muon", 1e-2, 0.1, False)
