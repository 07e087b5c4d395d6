"""Attention of a training step on a CPU: plain matrix products where they are faster.

torch's own `scaled_dot_product_attention` never holds all scores of a row at once, which saves
memory that grows with the square of the length. Rows of some hundred tokens have little to save,
and in bf16 its backward pass on a CPU takes about twice as long as products and a softmax. So
short rows take the plain way, in 16 bits and in training only; all else is left to torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

NAME = "plain_products"
LONGEST = 1024  # tokens of a row; above it the scores of a batch would fill the memory


def plain_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """softmax(query · keyᵀ · scaling + mask) · value, in the form that transformers calls.

    `query` (B, H, T, D), `key` and `value` (B, G, S, D) with G dividing H, `attention_mask`
    (B or 1, 1 or H, T, S): bool (True = may look) or numbers to add. Returns (B, T, H, D). Equal to
    transformers' `sdpa_attention_forward`, to which it leaves whatever is not a step of training
    in bf16 over short rows.
    """
    from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward

    if not _is_short_step(query, attention_mask, more):
        return sdpa_attention_forward(  # type: ignore[return-value]
            module, query, key, value, attention_mask, dropout, scaling, **more
        )
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    scores = query @ key.transpose(-1, -2)  # (B, H, T, S)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = torch.add(_to_add(attention_mask, scores.dtype), scores, alpha=scale)
    weights = torch.nn.functional.dropout(scores.softmax(-1), dropout)
    return (weights @ value).transpose(1, 2), None


def _is_short_step(query: torch.Tensor, mask: torch.Tensor | None, more: dict[str, Any]) -> bool:
    return (
        mask is not None
        and query.requires_grad
        and query.dtype == torch.bfloat16
        and query.device.type == "cpu"
        and mask.shape[-1] <= LONGEST
        and more.get("position_bias") is None
    )


def _to_add(mask: Any, dtype: torch.dtype) -> torch.Tensor:
    """0 where a position may look, and as low as the numbers go where it may not."""
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros(mask.shape, dtype=dtype).masked_fill_(~mask, torch.finfo(dtype).min)


@contextmanager
def plain_products(model: Any) -> Iterator[None]:
    """Lets a model that uses torch's attention take the plain way where it is faster."""
    core = model.get_base_model() if hasattr(model, "get_base_model") else model  # inside PEFT's
    if model.device.type != "cpu" or getattr(core.config, "_attn_implementation", "") != "sdpa":
        yield
        return
    _register()
    core.set_attn_implementation(NAME)
    try:
        yield
    finally:
        core.set_attn_implementation("sdpa")


def _register() -> None:
    """Names the function and, as one without a mask of its own would get none, torch's mask."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, plain_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
