"""The loss: cross-entropy over the trained tokens, divided by their number.

Labels stand at the position of their own token; the shift (position t predicts token t + 1)
happens here and nowhere else. The sum over a batch is divided by `normalizer` of the whole
optimiser step (`step_normalizer`), so that accumulation over micro-batches gives the gradient of
one big batch, not a mean of means.

A batch of an encoder-decoder (`course_lib.seq2seq`) brings `decoder_input_ids`, which are its
labels moved one to the right: there the shift is done, and the loss does not shift again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from course_lib.batching import IGNORE, Batch

# What a configuration calls a change of the logits after the output layer: Gemma's soft cap,
# Cohere's and Granite's scale, and their like. Such models go through their own forward.
_CHANGED_LOGITS = (
    "final_logit_softcapping",
    "lm_head_multiplier",
    "logit_scale",
    "logits_scaling",
    "logits_soft_cap",
    "output_multiplier",
)

Head = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True)
class LossConfig:
    """What is added to the plain loss, and how much of it is worked out at a time.

    `label_smoothing`: the share of the target that is spread evenly over the vocabulary.
    `z_loss`: the factor of log(Z)^2, which keeps logits near 0 (Chowdhery and others 2022, PaLM).
    `chunk`: how many tokens get their logits at a time, forward and backward; 0: all at once.
    """

    label_smoothing: float = 0.0
    z_loss: float = 0.0
    chunk: int = 0

    def __post_init__(self) -> None:
        if not 0.0 <= self.label_smoothing < 1.0:
            raise ValueError(f"label_smoothing {self.label_smoothing}: it is a share, 0 to below 1")
        if self.z_loss < 0.0 or self.chunk < 0:
            raise ValueError(f"z_loss {self.z_loss} and chunk {self.chunk} must not be negative")


_PLAIN = LossConfig()


def _aligned(batch: Batch) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Labels and weights (B, S) of the first S positions: what each of them is to predict."""
    first = 0 if "decoder_input_ids" in batch else 1
    weights = batch.get("weights")
    return batch["labels"][:, first:], None if weights is None else weights[:, first:]


def count_trained(batch: Batch) -> int:
    """Number of tokens in the batch that the loss covers (the first position predicts none)."""
    return int((_aligned(batch)[0] != IGNORE).sum())


def normalizer(batch: Batch) -> float:
    """What the batch's summed loss is divided by: its trained tokens, or the sum of its weights."""
    labels, weights = _aligned(batch)
    return _default_normalizer(labels, weights)


def _default_normalizer(labels: torch.Tensor, weights: torch.Tensor | None) -> float:
    where = labels != IGNORE
    return float(where.sum() if weights is None else weights[where].double().sum())


def step_normalizer(batches: Iterable[Batch]) -> float:
    """What every micro-batch of one optimiser step is divided by: the sum of their normalizers.

    With several processes (`torch.distributed`), the sum over all of them divided by their number,
    because data-parallel training takes the mean of the processes' gradients.
    """
    total = sum(normalizer(batch) for batch in batches)
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return total
    device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
    everywhere = torch.tensor(total, dtype=torch.float64, device=device)
    torch.distributed.all_reduce(everywhere)
    return everywhere.item() / torch.distributed.get_world_size()


def token_cross_entropy(
    logits: torch.Tensor,
    labels: torch.Tensor,
    num_tokens: float | None = None,
    config: LossConfig = _PLAIN,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean cross-entropy in nats of (B, T, V) logits against (B, T) labels; -100 is left out.

    Sum over trained tokens, times their `weights` (B, T) if given, divided by `num_tokens`
    (default: the number of trained tokens here, or the sum of the weights). Raises ValueError when
    nothing is trained, where a mean would be 0/0. Equal to `transformers`' `ForCausalLMLoss`.
    """
    batch = {"labels": labels} if weights is None else {"labels": labels, "weights": weights}
    return _mean(logits, lambda kept: kept, batch, num_tokens, config)


def lm_loss(
    model: Any, batch: Batch, num_tokens: float | None = None, config: LossConfig = _PLAIN
) -> torch.Tensor:
    """As `token_cross_entropy` on the model's logits, computed for trained tokens only.

    Uses the batch's `weights` if it has them. With `config.chunk` no more than so many rows of
    logits are in memory at a time; the backward pass works them out a second time.
    """
    states, head = _states_and_head(model, batch)
    return _mean(states, head, batch, num_tokens, config)


def trained_logits(model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (N, V) and labels (N,) of the N trained tokens only.

    The output layer runs on the positions that have a loss and on no others: less time, and no
    memory for logits that nobody reads.
    """
    states, head = _states_and_head(model, batch)
    labels, _ = _aligned(batch)
    where = labels != IGNORE
    return head(states[:, : labels.shape[1]][where]), labels[where]


def _mean(
    states: torch.Tensor, head: Head, batch: Batch, num_tokens: float | None, config: LossConfig
) -> torch.Tensor:
    labels, weights = _aligned(batch)
    where = labels != IGNORE
    own = _default_normalizer(labels, weights)
    if own == 0 or num_tokens == 0:
        raise ValueError(
            "the batch has no trained token, so its loss would be 0/0; check the mask, or set "
            "such dialogues aside with batching.truncate_all"
        )
    kept = states[:, : labels.shape[1]][where]  # (N, H), or (N, V) where the head has run
    shares = None if weights is None else weights[where].float()
    total = _in_chunks(kept, labels[where], shares, head, config)
    return total / (own if num_tokens is None else num_tokens)


def _in_chunks(
    states: torch.Tensor,
    labels: torch.Tensor,
    weights: torch.Tensor | None,
    head: Head,
    config: LossConfig,
) -> torch.Tensor:
    """Sum of the losses; each chunk's logits are dropped at once, and made again for backward."""
    if not config.chunk:
        return _sum(states, labels, weights, head, config)
    total = states.new_zeros((), dtype=torch.float32)
    for start in range(0, len(labels), config.chunk):
        part = slice(start, start + config.chunk)
        shares = None if weights is None else weights[part]
        inputs = (states[part], labels[part], shares, head, config)
        total = total + checkpoint(_sum, *inputs, use_reentrant=False, preserve_rng_state=False)
    return total


def _sum(
    states: torch.Tensor,
    labels: torch.Tensor,
    weights: torch.Tensor | None,
    head: Head,
    config: LossConfig,
) -> torch.Tensor:
    """Sum over N tokens of the loss of (N, H) states against (N,) labels, each times its weight."""
    logits = head(states).float()  # (N, V)
    reduction = "sum" if weights is None else "none"
    smoothing = config.label_smoothing
    losses = F.cross_entropy(logits, labels, reduction=reduction, label_smoothing=smoothing)
    if config.z_loss:
        squares = logits.logsumexp(-1).square()
        losses = losses + config.z_loss * (squares.sum() if weights is None else squares)
    return losses if weights is None else losses @ weights


def _states_and_head(model: Any, batch: Batch) -> tuple[torch.Tensor, Head]:
    """The last hidden states (B, T, H) and the output layer; where that is not all, the logits."""
    inputs = {name: batch[name] for name in batch if name not in ("labels", "weights")}
    core = model.get_base_model() if hasattr(model, "get_base_model") else model  # inside PEFT's
    if _has_plain_head(core):
        states = core.base_model(**inputs, use_cache=False).last_hidden_state
        return states, core.get_output_embeddings()
    return model(**inputs, use_cache=False).logits, lambda logits: logits


def _has_plain_head(model: Any) -> bool:
    """Whether the logits are the output layer of the last hidden states and nothing more."""
    if getattr(model, "base_model", model) is model or model.get_output_embeddings() is None:
        return False
    bias = getattr(model, "final_logits_bias", None)  # BART's
    config = model.config.get_text_config()
    changed = any(getattr(config, name, None) not in (None, 1, 1.0) for name in _CHANGED_LOGITS)
    return not changed and (bias is None or not bias.any())
