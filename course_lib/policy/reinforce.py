"""Reinforcement learning in the open: play, judge, and make what went well more likely.

The model plays whole conversations with sampled replies, a reward judges each, and one step of
policy gradient follows: REINFORCE (Williams 1992) with a leave-one-out baseline (Kool and others
2019; Ahmadian and others 2024) and a KL term that holds the model near the one it started from.
The loss is that of SFT with a weight on each dialogue, and the mask is the chat format's: only
what the agent said is trained.
"""

from __future__ import annotations

import copy
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch

from course_lib.batching import IGNORE, Batch, pad_batch
from course_lib.chat_format import Encoded, encode_all
from course_lib.dialogue import Dialogue, Message
from course_lib.generation import context_length
from course_lib.losses import trained_logits
from course_lib.optimizers import token_weights
from course_lib.precision import autocast_for
from course_lib.training import Record, TrainingDiverged, set_learning_rate, to_device


class Played(Protocol):
    """A conversation that was played to its end: `messages` of role and content."""

    @property
    def messages(self) -> Sequence[Mapping[str, Any]]: ...


Groups = Sequence[Sequence[Played]]  # one scenario a group, played several times
Watch = Callable[[Sequence[Any]], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class RLConfig:
    """Settings of `reinforce`.

    `kl_weight`: nats of divergence from the start are charged at this rate, per trained token.
    `temperature`: that of the sampled replies; the log probabilities are taken at the same.
    `rows`: conversations in one forward pass. The learning rate rises over `warmup` steps, as
    Adam's first steps are of full size however noisy the gradient, and falls to 0 from there.
    """

    steps: int = 20
    learning_rate: float = 5e-5
    kl_weight: float = 0.1
    temperature: float = 0.7
    clip: float = 1.0
    rows: int = 16
    warmup: int = 3
    precision: str = "auto"

    def __post_init__(self) -> None:
        if self.steps < 1 or self.rows < 1:
            raise ValueError(f"steps {self.steps} and rows {self.rows} must be at least 1")
        if self.kl_weight < 0 or self.learning_rate <= 0 or self.clip <= 0:
            raise ValueError("learning_rate and clip must be above 0, kl_weight not below it")
        if self.temperature <= 0:
            raise ValueError("greedy replies of one customer are all alike: set a temperature")


# ---- the formulas


def advantages(rewards: Sequence[Sequence[float]]) -> list[list[float]]:
    """Each reward minus the mean of the other ones of its group (leave-one-out).

    A group is one scenario played several times, so its mean says how hard the scenario is. Raises
    ValueError for a group of one, which has nothing to be compared with.
    """
    if any(len(group) < 2 for group in rewards):
        raise ValueError("each scenario must be played at least twice, or it has no baseline")
    return [
        [(r - sum(group) / len(group)) * len(group) / (len(group) - 1) for r in group]
        for group in rewards
    ]


class Scored(NamedTuple):
    """The N trained tokens of a batch: `log_probs` (N, V), `labels` (N,) and their `rows` (N,)."""

    log_probs: torch.Tensor
    labels: torch.Tensor
    rows: torch.Tensor

    @property
    def taken(self) -> torch.Tensor:
        """(N,) log probability of each token that was said."""
        return self.log_probs.gather(1, self.labels[:, None]).squeeze(1)

    @property
    def entropy(self) -> torch.Tensor:
        """(N,) nats: how open each choice was."""
        return -(self.log_probs.exp() * self.log_probs).sum(-1)


def score(model: Any, batch: Batch, temperature: float = 1.0) -> Scored:
    """One forward pass over whole conversations; only the agent's tokens are kept."""
    logits, labels = trained_logits(model, batch)
    rows = (batch["labels"][:, 1:] != IGNORE).nonzero()[:, 0]
    return Scored((logits.float() / temperature).log_softmax(-1), labels, rows)


def divergence(log_probs: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """(N, V) twice -> (N,) nats: KL(model || reference) over the next token, exact."""
    return (log_probs.exp() * (log_probs - reference)).sum(-1)


def policy_loss(
    scored: Scored, reference: torch.Tensor, advantage: torch.Tensor, kl_weight: float
) -> torch.Tensor:
    """Sum over the N tokens of −advantage · log p(token) + kl_weight · KL; `advantage` is (rows,).

    Its gradient is that of REINFORCE: a conversation better than the others of its group becomes
    more likely, a worse one less.
    """
    weighted = -advantage[scored.rows] * scored.taken
    return (weighted + kl_weight * divergence(scored.log_probs, reference)).sum()


# ---- one step


def rendered(episodes: Sequence[Played], tokenizer: Any) -> list[Encoded]:
    """The conversations as ids and mask, by the renderer of SFT."""
    return encode_all([_dialogue(n, e.messages) for n, e in enumerate(episodes)], tokenizer)


def _dialogue(number: int, messages: Sequence[Mapping[str, Any]]) -> Dialogue:
    turns = [
        Message(m["role"], m["content"], train=m.get("train", True) is not False) for m in messages
    ]
    return Dialogue(f"episode {number}", turns)


def policy_step(
    model: Any,
    reference: Any,
    optimizer: torch.optim.Optimizer,
    conversations: Sequence[tuple[Encoded, float]],
    pad_id: int,
    config: RLConfig,
) -> Record:
    """One update from conversations with their advantages; `reference` is never changed.

    Returns loss, kl, entropy (means over the agent's tokens), grad_norm and tokens. Raises
    TrainingDiverged, with the weights as before, when loss or gradient is no number.
    """
    optimizer.zero_grad(set_to_none=True)
    tokens = sum(sum(encoded.mask[1:]) for encoded, _ in conversations)
    if tokens == 0:
        raise ValueError("the agent said nothing in these conversations: nothing can be learned")
    totals = {"loss": 0.0, "kl": 0.0, "entropy": 0.0}
    for part in _parts(conversations, config.rows):
        for name, value in _backward(model, reference, part, pad_id, config, tokens).items():
            totals[name] += value / tokens
    weights = [p for group in optimizer.param_groups for p in group["params"]]
    norm = float(torch.nn.utils.clip_grad_norm_(weights, config.clip))
    if not math.isfinite(totals["loss"]) or not math.isfinite(norm):
        optimizer.zero_grad(set_to_none=True)
        raise TrainingDiverged(
            f"loss {totals['loss']}, gradient norm {norm}; lower the learning rate, and look "
            "whether every reward is a number"
        )
    optimizer.step()
    return {**totals, "grad_norm": norm, "tokens": tokens}


def _parts(
    conversations: Sequence[tuple[Encoded, float]], rows: int
) -> Iterator[Sequence[tuple[Encoded, float]]]:
    """Conversations of like length together: little padding."""
    order = sorted(conversations, key=lambda pair: len(pair[0]))
    for start in range(0, len(order), rows):
        yield order[start : start + rows]


def _backward(
    model: Any,
    reference: Any,
    part: Sequence[tuple[Encoded, float]],
    pad_id: int,
    config: RLConfig,
    tokens: int,
) -> Record:
    """Adds one part's gradient, divided by the step's `tokens`; returns its sums over tokens."""
    batch = to_device(pad_batch([encoded for encoded, _ in part], pad_id), model.device)
    advantage = torch.tensor([weight for _, weight in part], device=model.device)
    with autocast_for(model, config.precision):
        scored = score(model, batch, config.temperature)
        with torch.no_grad():
            held = score(reference, batch, config.temperature).log_probs
    loss = policy_loss(scored, held, advantage, config.kl_weight)
    (loss / tokens).backward()
    with torch.no_grad():
        kl = divergence(scored.log_probs, held).sum()
        return {
            "loss": loss.item(),
            "kl": kl.item(),
            "entropy": scored.entropy.sum().item(),
        }


# ---- the whole


def frozen_copy(model: Any) -> Any:
    """The model as it is now, for the KL term; nothing trains it."""
    return copy.deepcopy(model).eval().requires_grad_(False)


def trained_weights(model: Any) -> list[torch.nn.Parameter]:
    """All but the table of tokens, which holds what the model knows about names."""
    tables = {id(weight) for weight in token_weights(model)}
    return [p for p in model.parameters() if p.requires_grad and id(p) not in tables]


def reinforce(
    model: Any,
    tokenizer: Any,
    play: Callable[[int], Groups],
    reward: Callable[[Any], float],
    config: RLConfig | None = None,
    on_record: Callable[[Record], None] | None = None,
    watch: Watch | None = None,
) -> list[Record]:
    """Improves `model` in place by policy gradient; returns one record a step.

    `play(step)` has the model as it stands play each scenario several times, with sampled replies
    at `config.temperature`; `reward` judges one conversation. `watch` adds measures of a step's
    conversations to its record: look at them, for they are what the reward does not see.
    """
    config = config or RLConfig()
    reference, records = frozen_copy(model), []
    optimizer = torch.optim.AdamW(trained_weights(model), lr=config.learning_rate, weight_decay=0.0)
    model.eval()  # the replies are sampled without dropout, so they are scored without
    for step in range(config.steps):
        started = time.perf_counter()
        groups = play(step)
        set_learning_rate(optimizer, rate_at(step, config))
        record = _learn(model, reference, tokenizer, optimizer, groups, reward, config)
        seen = watch([episode for group in groups for episode in group]) if watch else {}
        seconds = time.perf_counter() - started
        records.append({"step": step + 1, **record, **seen, "seconds": seconds})
        if on_record:
            on_record(records[-1])
    return records


def rate_at(step: int, config: RLConfig) -> float:
    """Learning rate of step `step` (from 0): up over the warm-up, then down to 0."""
    rising = min(1.0, (step + 1) / (config.warmup + 1))
    return config.learning_rate * rising * (1 - step / config.steps)


def _learn(
    model: Any,
    reference: Any,
    tokenizer: Any,
    optimizer: torch.optim.Optimizer,
    groups: Groups,
    reward: Callable[[Any], float],
    config: RLConfig,
) -> Record:
    """Rewards, advantages and one update."""
    rewards = [[float(reward(episode)) for episode in group] for group in groups]
    flat = [r for group in rewards for r in group]
    better = [a for group in advantages(rewards) for a in group]
    if not all(map(math.isfinite, better)):
        raise TrainingDiverged(f"a reward is no finite number: {flat}; nothing was learned from it")
    encoded = rendered([episode for group in groups for episode in group], tokenizer)
    fitting = [p for p in zip(encoded, better, strict=True) if len(p[0]) <= context_length(model)]
    telling = [pair for pair in fitting if abs(pair[1]) > 1e-9]  # the others have no gradient
    record: Record = {
        "reward": sum(flat) / len(flat),
        "too_long": len(encoded) - len(fitting),
        "telling": len(telling) / len(flat),
    }
    if not telling:  # every scenario's tries were equally good: nothing is learned
        return {**record, **_UNCHANGED}
    pad_id = tokenizer.pad_token_id
    return {**record, **policy_step(model, reference, optimizer, telling, pad_id, config)}


_UNCHANGED: Record = {"loss": 0.0, "kl": None, "entropy": None, "grad_norm": 0.0, "tokens": 0}


def drawn(items: Sequence[Any], count: int, step: int, seed: int = 0) -> list[Any]:
    """`count` of the items for one step, without repetition; seed and step alone decide which."""
    return random.Random(f"{seed} {step}").sample(list(items), count)
