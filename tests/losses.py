"""References and mutants of the loss, for several test files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from course_lib.batching import IGNORE
from course_lib.losses import lm_loss

Loss = Callable[[Any, dict[str, torch.Tensor], float | None], torch.Tensor]


def gradients(model: Any, losses: Any) -> list[torch.Tensor]:
    """The gradient of every parameter after the backward pass of all losses."""
    model.zero_grad()
    for loss in losses:
        loss.backward()
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


def assert_same(some: Any, others: Any, atol: float = 1e-5) -> None:
    for one, other in zip(some, others, strict=True):
        torch.testing.assert_close(one, other, atol=atol, rtol=0)


def assert_equal_loss(one: torch.Tensor, other: torch.Tensor) -> None:
    """To 1e-6, and two roundings of a float of 32 bits."""
    torch.testing.assert_close(one, other, atol=1e-6, rtol=2.4e-7)


def without_labels(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {k: v for k, v in batch.items() if k not in ("labels", "weights")}


def logits_of(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return model(**without_labels(batch)).logits


def assert_right(loss: Loss, model: Any, parts: list[dict[str, torch.Tensor]]) -> None:
    """Value and gradient of `transformers`, whole and over 1, 2, 4, 8 micro-batches."""
    counts = [int((part["labels"][:, 1:] != IGNORE).sum()) for part in parts]
    total = torch.tensor(sum(counts))
    for part in parts:
        assert_equal_loss(loss(model, part, None), model(**part).loss)
    whole = gradients(model, [model(**p, num_items_in_batch=total).loss for p in parts])
    for steps in (1, 2, 4, 8):
        size = len(parts) // steps
        micro = [joined(parts[i : i + size]) for i in range(0, len(parts), size)]
        assert len(micro) == steps
        assert_same(gradients(model, [loss(model, m, float(total)) for m in micro]), whole)


def joined(parts: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _divided(losses: torch.Tensor, count: Any, num_tokens: float | None) -> torch.Tensor:
    return losses.sum() / (count if num_tokens is None else num_tokens)


def _at(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    flat = logits.reshape(-1, logits.shape[-1]), labels.reshape(-1)
    return F.cross_entropy(*flat, ignore_index=IGNORE, reduction="none")


def no_shift(model: Any, batch: Any, num_tokens: float | None = None) -> torch.Tensor:
    labels = batch["labels"]
    losses = _at(logits_of(model, batch), labels)
    return _divided(losses, (labels != IGNORE).sum(), num_tokens)


def double_shift(model: Any, batch: Any, num_tokens: float | None = None) -> torch.Tensor:
    labels = batch["labels"][:, 2:]
    losses = _at(logits_of(model, batch)[:, :-2], labels)
    return _divided(losses, (labels != IGNORE).sum(), num_tokens)


def mean_of_means(model: Any, batch: Any, num_tokens: float | None = None) -> torch.Tensor:
    mean = lm_loss(model, batch)
    if num_tokens is None:
        return mean
    rows = len(batch["labels"])
    return mean * rows / 8  # eight rows a step: each micro-batch its share of the rows


def mask_ignored(model: Any, batch: Any, num_tokens: float | None = None) -> torch.Tensor:
    labels = batch["input_ids"][:, 1:]
    losses = _at(logits_of(model, batch)[:, :-1], labels)
    return _divided(losses, losses.numel(), num_tokens)


def ignored_counted(model: Any, batch: Any, num_tokens: float | None = None) -> torch.Tensor:
    labels = batch["labels"][:, 1:]
    losses = _at(logits_of(model, batch)[:, :-1], labels)
    return _divided(losses, labels.numel(), None)


MUTANTS = {
    "no shift": no_shift,
    "double shift": double_shift,
    "mean of means": mean_of_means,
    "mask ignored": mask_ignored,
    "-100 counted in the denominator": ignored_counted,
}
