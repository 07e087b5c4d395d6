"""Precision: measured or named, refused where it cannot work, and never for the weights."""

from __future__ import annotations

import pytest
import torch

from course_lib import precision
from course_lib.precision import (
    autocast_for,
    loss_scaler,
    require_full_weights,
    resolve_precision,
)
from tests.tiny import tiny_gpt2


@pytest.mark.parametrize(("bf16", "expected"), [(1.0, "bf16"), (1.9, "fp32"), (9.0, "fp32")])
def test_auto_takes_what_was_measured_to_be_faster(monkeypatch, bf16, expected):
    times = {torch.bfloat16: bf16, torch.float: 2.0}
    monkeypatch.setattr(precision, "_product_seconds", times.__getitem__)
    assert resolve_precision("auto", "cpu") == expected


@pytest.fixture
def old_gpu(monkeypatch):
    """A card such as a T4: it has no bf16, and says yes when asked without a second word."""
    says = lambda including_emulation=True: including_emulation  # noqa: E731
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", says)


def test_a_gpu_that_only_emulates_bf16_computes_in_fp32(old_gpu):
    assert resolve_precision("auto", "cuda") == "fp32"


def test_asking_without_a_second_word_is_noticed(old_gpu, monkeypatch):
    monkeypatch.setattr(precision, "bf16_is_fast", lambda kind: torch.cuda.is_bf16_supported())
    with pytest.raises(AssertionError):
        test_a_gpu_that_only_emulates_bf16_computes_in_fp32(old_gpu)


def test_half_precision_away_from_cuda_is_refused():
    for kind in ("cpu", "mps"):
        with pytest.raises(ValueError, match=f"'fp16' needs a CUDA device.*{kind}.*'bf16'"):
            resolve_precision("fp16", kind)
    assert resolve_precision("fp16", "cuda") == "fp16"


def test_autocast_computes_in_16_bits_and_keeps_weights_in_32():
    model = tiny_gpt2()
    ids = torch.zeros(1, 4, dtype=torch.long)
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with autocast_for(model, name):
            assert model(ids).logits.dtype == dtype
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_the_scaler_works_for_fp16_alone():
    assert not loss_scaler("fp32", "cpu").is_enabled()
    assert not loss_scaler("bf16", "cpu").is_enabled()
    loss = torch.tensor(3.0)
    assert loss_scaler("fp32", "cpu").scale(loss) is loss


def test_weights_in_16_bits_are_refused():
    with pytest.raises(ValueError, match=r"bfloat16.*model\.float\(\)"):
        require_full_weights(tiny_gpt2().bfloat16())
    frozen = tiny_gpt2().bfloat16().requires_grad_(False)
    require_full_weights(frozen)  # as under LoRA: what does not move may be short


@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, False), (torch.bfloat16, True)])
def test_what_the_refusal_prevents(dtype, most):
    """At a rate of fine-tuning, most weights of bf16 never move; of fp32 nearly all do."""
    torch.manual_seed(0)
    weight = torch.nn.Parameter((0.1 * torch.randn(10_000)).to(dtype))
    before = weight.detach().clone()
    optimizer = torch.optim.AdamW([weight], lr=2e-5, weight_decay=0.0)
    for _ in range(5):
        weight.grad = torch.randn(10_000).to(dtype)
        optimizer.step()
    stayed = (weight == before).float().mean().item()
    assert (stayed > 0.5) == most and (most or stayed < 0.05)
