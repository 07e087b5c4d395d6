"""Plain attention: the same numbers as torch's, taken only where it is the faster way."""

from __future__ import annotations

import copy

import pytest
import torch

import course_lib.attention as attention
from course_lib.attention import LONGEST, NAME, plain_attention, plain_products
from course_lib.batching import collate_packed, pad_batch
from course_lib.chat_format import Encoded
from course_lib.losses import lm_loss
from course_lib.switches import switched_on
from course_lib.train_config import TrainConfig
from tests.tiny import tiny_gpt2, tiny_llama

ROWS = [Encoded(list(range(5, 5 + n)), [True] * n, f"row {n}") for n in (9, 14, 5)]
PACKED = collate_packed([ROWS, ROWS[:2]], pad_id=0, row_length=32)
PADDED = pad_batch(ROWS, pad_id=0)


class Layer:
    """What `plain_attention` may ask of a module."""

    is_causal = True
    num_key_value_groups = 2


def tensors(dtype=torch.bfloat16, length: int = 12):
    torch.manual_seed(0)
    query = torch.randn(2, 4, length, 8, dtype=dtype, requires_grad=True)
    key, value = (torch.randn(2, 2, length, 8, dtype=dtype, requires_grad=True) for _ in "kv")
    mask = torch.ones(2, 1, length, length, dtype=torch.bool).tril()
    mask[1, 0, 6:, :6] = False  # two dialogues in the second row
    return query, key, value, mask


def reference(query, key, value, mask):
    """softmax(q · kᵀ / √d + mask) · v in 64 bits, heads repeated."""
    query, key, value = (t.detach().double() for t in (query, key, value))
    key, value = (t.repeat_interleave(2, dim=1) for t in (key, value))
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    scores = scores.masked_fill(~mask, -torch.inf)
    return (scores.softmax(-1) @ value).transpose(1, 2)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("additive", [False, True])
def test_it_is_the_formula(dtype, additive):
    query, key, value, mask = tensors(dtype)
    given = torch.zeros(mask.shape).masked_fill(~mask, -1e9).to(dtype) if additive else mask
    output, _ = plain_attention(Layer(), query, key, value, given)
    expected = reference(query, key, value, mask)
    assert output.shape == (2, 12, 4, 8)
    assert torch.allclose(output.double(), expected, atol=3e-2 if dtype == torch.bfloat16 else 1e-5)


def test_a_scale_of_its_own_is_used():
    query, key, value, mask = tensors()
    output, _ = plain_attention(Layer(), query, key, value, mask, scaling=0.0)
    even = reference(query * 0, key, value, mask)
    assert torch.allclose(output.double(), even, atol=3e-2)


def test_dropout_drops():
    query, key, value, mask = tensors()
    whole, _ = plain_attention(Layer(), query, key, value, mask)
    some, _ = plain_attention(Layer(), query, key, value, mask, dropout=0.5)
    assert not torch.allclose(whole, some)


@pytest.fixture
def torchs_way(monkeypatch):
    """The calls that went to torch's attention."""
    import transformers.integrations.sdpa_attention as theirs

    calls = []
    real = theirs.sdpa_attention_forward

    def noting(*arguments, **named):
        calls.append(1)
        return real(*arguments, **named)

    monkeypatch.setattr(theirs, "sdpa_attention_forward", noting)
    return calls


def test_torch_does_what_is_no_short_step_in_16_bits(torchs_way, monkeypatch):
    query, key, value, mask = tensors()
    plain_attention(Layer(), query, key, value, mask)
    assert not torchs_way
    with torch.no_grad():
        plain_attention(Layer(), query.detach(), key, value, mask)  # a reply is written
    plain_attention(Layer(), query, key, value, None)  # no mask: torch's causal way
    plain_attention(Layer(), *tensors(torch.float32))
    monkeypatch.setattr(attention, "LONGEST", 11)
    plain_attention(Layer(), query, key, value, mask)  # 12 long
    assert len(torchs_way) == 4 and LONGEST >= 512


def step(model, batch):
    """Loss and gradients of one step in bf16, as `train` computes it."""
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        loss = lm_loss(model, batch)
    loss.backward()
    return loss.item(), torch.cat([p.grad.flatten() for p in model.parameters()])


@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
@pytest.mark.parametrize("batch", [PACKED, PADDED], ids=["packed", "padded"])
def test_a_step_is_the_same_as_with_torchs(make, batch):
    model = make()
    loss, gradient = step(model, batch)
    with switched_on(model, TrainConfig()):
        assert model.config._attn_implementation == NAME
        ours, own = step(model, batch)
    assert model.config._attn_implementation == "sdpa"
    assert ours == pytest.approx(loss, rel=2e-3)
    assert torch.nn.functional.cosine_similarity(own, gradient, dim=0) > 0.999


def test_a_mask_that_is_lost_is_noticed(monkeypatch):
    """The mutant: everything may look at everything."""
    monkeypatch.setattr(attention, "_to_add", lambda mask, dtype: torch.zeros(1, dtype=dtype))
    with pytest.raises(AssertionError):
        test_a_step_is_the_same_as_with_torchs(tiny_gpt2, PACKED)


def test_no_neighbour_is_seen_in_training():
    model, other = tiny_gpt2(), copy.deepcopy(PACKED)
    other["input_ids"][:, :9] = 3  # the first dialogue of each row
    inputs = [{k: v for k, v in batch.items() if k != "labels"} for batch in (PACKED, other)]
    with plain_products(model.train()), torch.autocast("cpu", torch.bfloat16):
        one, two = (model(**batch, use_cache=False).logits[:, 9:] for batch in inputs)
    assert torch.equal(one, two)


def test_a_model_with_another_attention_is_left_alone():
    model = tiny_gpt2()
    model.set_attn_implementation("eager")
    with plain_products(model):
        assert model.config._attn_implementation == "eager"
    assert model.config._attn_implementation == "eager"


def test_the_models_own_attention_comes_back_after_an_error():
    model = tiny_gpt2()
    with pytest.raises(RuntimeError), plain_products(model):
        raise RuntimeError
    assert model.config._attn_implementation == "sdpa"
