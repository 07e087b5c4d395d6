"""The swapped norms: equal to PyTorch's, really swapped, and BatchNorm's leaks shown biting."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from course_lib.norms import (
    KINDS,
    BatchNormOverTokens,
    as_in_training,
    batch_norms,
    company_matters,
    future_leak,
    influence,
    leaks,
    make_norm,
    padding_matters,
    small_model,
    swap_norms,
)
from tests.tiny import tiny_gpt2

ROW = [5, 9, 3, 14, 7, 2]


def small(kind, **sizes):
    return small_model(kind, 30, width=16, layers=2, positions=32, **sizes).eval()


def trained_a_little(kind):
    """A few steps on random rows, so that running statistics are not the initial ones."""
    model = small(kind).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        ids = torch.randint(30, (4, 12), generator=generator)
        model(ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


@pytest.mark.parametrize("kind", KINDS)
def test_every_layer_norm_is_replaced(kind):
    model = small(kind)
    left = [m for m in model.modules() if isinstance(m, nn.LayerNorm)]
    assert len(left) == (5 if kind == "LayerNorm" else 0)  # two a layer and the last one
    assert len(list(batch_norms(model))) == (5 if kind == "BatchNorm" else 0)
    assert model(torch.tensor([ROW])).logits.shape == (1, 6, 30)


def test_the_other_weights_are_the_same_for_every_kind():
    one, other = small("LayerNorm", seed=3), small("BatchNorm", seed=3)
    assert torch.equal(one.transformer.wte.weight, other.transformer.wte.weight)
    assert torch.equal(one.transformer.h[1].mlp.c_fc.weight, other.transformer.h[1].mlp.c_fc.weight)
    assert not torch.equal(one.transformer.wte.weight, small("none").transformer.wte.weight)


def test_batch_norm_is_torchs_over_rows_and_positions():
    hidden = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0)) * 2 + 1
    ours = BatchNormOverTokens(8).train()(hidden)
    mean, variance = hidden.mean((0, 1)), hidden.var((0, 1), unbiased=False)
    torch.testing.assert_close(ours, (hidden - mean) / (variance + 1e-5).sqrt())
    torch.testing.assert_close(ours, nn.BatchNorm1d(8)(hidden.mT).mT)


def test_swapping_a_trained_model_counts_its_layers():
    model = tiny_gpt2()
    assert swap_norms(model, "RMSNorm") == 5
    assert swap_norms(model, "RMSNorm") == 0


def test_an_unknown_kind_is_said():
    with pytest.raises(ValueError, match="choose from LayerNorm"):
        make_norm("GroupNorm", 8)


@pytest.mark.parametrize("kind", ["LayerNorm", "RMSNorm", "none"])
def test_without_batch_norm_nothing_leaks(kind):
    model = as_in_training(trained_a_little(kind))
    moved = influence(model, ROW, other=20)
    assert future_leak(moved) < 1e-5
    assert moved.tril().max() > 1e-3  # the measure itself sees something
    found = leaks(model, ROW, [[1, 2, 3, 4, 5, 6]], pad_id=0)
    assert set(found) == {"later tokens", "other dialogues", "padding"}
    assert max(found.values()) < 1e-5


def test_batch_norm_in_training_sees_the_future_the_neighbours_and_the_padding():
    model = as_in_training(trained_a_little("BatchNorm"))
    assert future_leak(influence(model, ROW, other=20)) > 1e-3
    assert company_matters(model, ROW, [[1, 2, 3, 4, 5, 6]]) > 1e-3
    assert padding_matters(model, ROW, 0, 6) > 1e-3
    assert min(leaks(model, ROW, [[1, 2, 3, 4, 5, 6]], pad_id=0).values()) > 1e-3


def test_batch_norm_in_evaluation_is_causal_again():
    model = trained_a_little("BatchNorm")
    assert future_leak(influence(model, ROW, other=20)) < 1e-5
    assert company_matters(model, ROW, [[1, 2, 3, 4, 5, 6]]) < 1e-5


def test_as_in_training_is_what_training_does_and_leaves_the_model_alone():
    model = trained_a_little("BatchNorm")
    before = next(batch_norms(model)).running_mean.clone()
    ids = torch.tensor([ROW, ROW[::-1]])
    shown = as_in_training(model)(ids).logits
    assert torch.equal(next(batch_norms(model)).running_mean, before)
    torch.testing.assert_close(shown, model.train()(ids).logits)
    assert not torch.allclose(shown, model.eval()(ids).logits, atol=1e-3)


def test_one_token_has_no_variance():
    model = as_in_training(small("BatchNorm"))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        model(torch.tensor([[3]]))


def test_accumulation_is_not_one_big_batch_under_batch_norm():
    """Two micro-batches have statistics of their own, so their gradient is another one."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(30, (4, 12), generator=generator)

    def gradient(kind, parts):
        model = small(kind).train()
        for part in ids.chunk(parts):
            (model(part, labels=part).loss / parts).backward()
        return model.transformer.wte.weight.grad

    torch.testing.assert_close(
        gradient("LayerNorm", 2), gradient("LayerNorm", 1), atol=1e-6, rtol=1e-4
    )
    far = (gradient("BatchNorm", 2) - gradient("BatchNorm", 1)).norm()
    assert far > 0.01 * gradient("BatchNorm", 1).norm()
