"""Precision: in how many bits a training step computes; the weights themselves stay in 32.

"auto" measures what is fast on this processor instead of asking what it claims to support.
"""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_precision(precision: str, kind: str) -> str:
    """What a config's `precision` means on a device of `kind` ("cpu", "cuda", …): never "auto".

    Raises ValueError for fp16 away from CUDA: there nothing scales the loss, and small gradients
    would vanish.
    """
    if precision == "auto":
        return "bf16" if bf16_is_fast(kind) else "fp32"
    if precision == "fp16" and kind != "cuda":
        raise ValueError(
            f"precision 'fp16' needs a CUDA device, the model is on {kind!r}; choose 'bf16' (the "
            "range of fp32 in 16 bits), 'fp32', or 'auto', which measures what is faster"
        )
    return precision


def autocast_for(model: Any, precision: str = "auto") -> AbstractContextManager[Any]:
    """Autocast to 16 bits where it is asked for, or where "auto" measures it to be faster."""
    kind = model.device.type
    precision = resolve_precision(precision, kind)
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(kind, dtype=_TYPES[precision])


def loss_scaler(precision: str, kind: str) -> torch.amp.GradScaler:
    """Scales the loss of fp16, whose smallest numbers are too coarse for gradients; else idle."""
    return torch.amp.GradScaler(kind, enabled=precision == "fp16")


def require_full_weights(model: Any) -> None:
    """Raises ValueError when a trained weight is kept in fewer than 32 bits.

    A step of AdamW is about the learning rate; beside a weight of bf16, which has three digits,
    most such steps round away.
    """
    short = {str(p.dtype) for p in model.parameters() if p.requires_grad and p.dtype.itemsize < 4}
    if short:
        raise ValueError(
            f"the model's trained weights are kept in {', '.join(sorted(short))}, where small "
            "steps round away; call model.float() first. precision='bf16' computes in 16 bits "
            "all the same"
        )


def bf16_is_fast(kind: str) -> bool:
    """Measures it: a matrix product in bf16 beside one in fp32 (a flag would not tell)."""
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return kind == "cpu" and 1.3 * _product_seconds(torch.bfloat16) < _product_seconds(torch.float)


def _product_seconds(dtype: torch.dtype) -> float:
    a, b = torch.ones(1024, 512, dtype=dtype), torch.ones(512, 512, dtype=dtype)
    best = math.inf
    for _ in range(5):
        started = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - started)
    return best
