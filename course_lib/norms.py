"""Normalisation, swapped for real: one small GPT-2 with LayerNorm, RMSNorm, BatchNorm or none.

LayerNorm and RMSNorm look at one token's vector. BatchNorm takes each feature's mean and variance
over all rows and positions of the batch. In a language model these hold other dialogues, padding
and what comes later in the same row: the functions below show what follows from that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from course_lib.models import without_dropout

KINDS = ("LayerNorm", "RMSNorm", "BatchNorm", "none")


class BatchNormOverTokens(nn.Module):
    """`BatchNorm1d` for hidden states: (..., C), one mean and variance a feature over all else."""

    def __init__(self, width: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width, eps=eps)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        tokens = hidden.reshape(-1, hidden.shape[-1])  # (B * T, C): rows and positions alike
        return self.norm(tokens).view_as(hidden)


def make_norm(kind: str, width: int, eps: float = 1e-5) -> nn.Module:
    """A fresh normalisation layer of one of `KINDS` for vectors of `width` numbers."""
    if kind == "LayerNorm":
        return nn.LayerNorm(width, eps=eps)
    if kind == "RMSNorm":
        return nn.RMSNorm(width, eps=eps)
    if kind == "BatchNorm":
        return BatchNormOverTokens(width, eps)
    if kind == "none":
        return nn.Identity()
    raise ValueError(f"normalisation {kind!r}: choose from {', '.join(KINDS)}")


def swap_norms(model: nn.Module, kind: str) -> int:
    """Puts a fresh layer of `kind` in the place of every LayerNorm; returns how many."""
    found = [(name, old) for name, old in model.named_modules() if isinstance(old, nn.LayerNorm)]
    for name, old in found:
        parent = model.get_submodule(name.rpartition(".")[0])
        new = make_norm(kind, old.normalized_shape[0], old.eps)
        setattr(parent, name.rpartition(".")[2], new.to(next(model.parameters()).device))
    return len(found)


def small_model(
    kind: str,
    vocabulary: int,
    seed: int = 0,
    width: int = 64,
    layers: int = 4,
    heads: int = 2,
    positions: int = 128,
) -> Any:
    """A small GPT-2 with random weights drawn from `seed`, normalised by `kind`.

    The weights are the same for every kind: they are drawn before the norms are swapped.
    """
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=vocabulary,
        n_positions=positions,
        n_embd=width,
        n_layer=layers,
        n_head=heads,
        activation_function="gelu_pytorch_tanh",
        bos_token_id=None,
        eos_token_id=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = GPT2LMHeadModel(config)
    swap_norms(model, kind)
    model.loss_type = "ForCausalLM"
    return without_dropout(model)


def batch_norms(model: nn.Module) -> Iterator[nn.BatchNorm1d]:
    """Every BatchNorm layer of a model."""
    return (module for module in model.modules() if isinstance(module, nn.BatchNorm1d))


def as_in_training(model: Any) -> Any:
    """A copy that takes the statistics of the batch it is given, as BatchNorm does in training.

    The copy keeps none of its own, so using it changes nothing. Models without BatchNorm behave
    the same as before.
    """
    copy = deepcopy(model).eval()
    for norm in batch_norms(copy):
        norm.running_mean = norm.running_var = None
        norm.track_running_stats = False
    return copy


@torch.no_grad()
def influence(model: Any, ids: Sequence[int], other: int) -> torch.Tensor:
    """(T, T): how far the logits at position i move when the token at position j becomes `other`.

    Above the diagonal (j > i) lies the future: in a causal model it is 0. One row at a time, as in
    a batch BatchNorm would mix the trials. Largest change over the vocabulary.
    """
    row = torch.tensor([list(ids)])
    before = model(row, use_cache=False).logits[0]
    columns = []
    for place in range(len(ids)):
        changed = row.clone()
        changed[0, place] = other
        columns.append((model(changed, use_cache=False).logits[0] - before).abs().amax(-1))
    return torch.stack(columns, dim=1)


def future_leak(influences: torch.Tensor) -> float:
    """The greatest influence of a later token on an earlier position; 0 in a causal model."""
    return float(influences.triu(1).max())


@torch.no_grad()
def company_matters(model: Any, ids: Sequence[int], company: Sequence[Sequence[int]]) -> float:
    """How far a row's logits move when other rows of the same length share its batch."""
    alone = model(torch.tensor([list(ids)]), use_cache=False).logits[0]
    together = model(torch.tensor([list(ids), *map(list, company)]), use_cache=False).logits[0]
    return float((together - alone).abs().max())


@torch.no_grad()
def padding_matters(model: Any, ids: Sequence[int], pad_id: int, count: int) -> float:
    """How far a row's logits move when `count` masked padding tokens stand behind it."""
    alone = model(torch.tensor([list(ids)]), use_cache=False).logits[0]
    padded = torch.tensor([[*ids, *[pad_id] * count]])
    seen = torch.tensor([[1] * len(ids) + [0] * count])
    logits = model(padded, attention_mask=seen, use_cache=False).logits[0, : len(ids)]
    return float((logits - alone).abs().max())


def leaks(
    model: Any, ids: Sequence[int], company: Sequence[Sequence[int]], pad_id: int
) -> dict[str, float]:
    """What moves a row's logits though it should not: the future, other rows, masked padding."""
    return {
        "later tokens": future_leak(influence(model, ids, other=pad_id)),
        "other dialogues": company_matters(model, ids, company),
        "padding": padding_matters(model, ids, pad_id, len(ids)),
    }
