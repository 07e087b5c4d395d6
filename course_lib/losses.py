"""The loss: cross-entropy over the trained tokens, divided by their number.

Labels stand at the position of their own token; the shift (position t predicts token t + 1)
happens here and nowhere else. `num_tokens` is the count over a whole optimiser step, so that
accumulation over micro-batches gives the gradient of one big batch, not a mean of means.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from course_lib.batching import IGNORE, Batch


def count_trained(batch: Batch) -> int:
    """Number of tokens in the batch that the loss covers (the first position predicts none)."""
    return int((batch["labels"][:, 1:] != IGNORE).sum())


def token_cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, num_tokens: int | None = None
) -> torch.Tensor:
    """Mean cross-entropy in nats of (B, T, V) logits against (B, T) labels; -100 is left out.

    Sum over trained tokens divided by `num_tokens` (default: their number here). Raises
    ValueError when nothing is trained, where a mean would be 0/0. Equal to `transformers`'
    `ForCausalLMLoss`.
    """
    shifted = labels[:, 1:].reshape(-1)
    return _summed(logits[:, :-1].reshape(len(shifted), -1), shifted, num_tokens)


def _summed(logits: torch.Tensor, labels: torch.Tensor, num_tokens: int | None) -> torch.Tensor:
    count = num_tokens if num_tokens is not None else int((labels != IGNORE).sum())
    if count == 0:
        raise ValueError(
            "the batch has no trained token, so its loss would be 0/0; check the mask, or set "
            "such dialogues aside with batching.truncate_all"
        )
    total = F.cross_entropy(logits.float(), labels, ignore_index=IGNORE, reduction="sum")
    return total / count


def trained_logits(model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (N, V) and labels (N,) of the N trained tokens only.

    The output layer runs on the positions that have a loss and on no others: less time, and no
    memory for logits that nobody reads.
    """
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    hidden = model.base_model(**inputs, use_cache=False).last_hidden_state
    labels = batch["labels"][:, 1:]
    where = labels != IGNORE
    return model.get_output_embeddings()(hidden[:, :-1][where]), labels[where]


def lm_loss(model: Any, batch: Batch, num_tokens: int | None = None) -> torch.Tensor:
    """As `token_cross_entropy` on the model's logits, computed for trained tokens only."""
    logits, labels = trained_logits(model, batch)
    return _summed(logits, labels, num_tokens)
