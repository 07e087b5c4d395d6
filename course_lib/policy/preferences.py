"""Direct preference optimisation: learn from pairs in which one reply is better than the other.

Rafailov and others (2023). The pairs come from a teacher that can be read: at every state that the
model gets into by itself, the rule engine says what it would reply, and where the model does
something else the rules' reply is the better one. No reward and no sampling; one loss on pairs.
"""

from __future__ import annotations

import copy
import math
import random
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F

from course_lib.batching import pad_batch
from course_lib.chat_format import Encoded, encode_all
from course_lib.dialogue import Dialogue, Message
from course_lib.generation import context_length
from course_lib.policy.reinforce import Played, frozen_copy, score, trained_weights
from course_lib.training import Record, TrainingDiverged, set_learning_rate, to_device

History = tuple[Mapping[str, Any], ...]


class Teacher(Protocol):
    """Whoever replies to many histories at once."""

    def reply(self, histories: Sequence[Any]) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Preference:
    """After `history` the reply `chosen` is better than `rejected`."""

    history: History
    chosen: str
    rejected: str

    def to_record(self) -> dict[str, Any]:
        """One row as TRL's trainers take it: lists of messages."""
        prompt = [{"role": m["role"], "content": m["content"]} for m in self.history]
        sides = {"chosen": self.chosen, "rejected": self.rejected}
        replies = {name: [{"role": "assistant", "content": text}] for name, text in sides.items()}
        return {"prompt": prompt, **replies}


def states(episodes: Sequence[Played]) -> list[tuple[History, str]]:
    """Every turn of the agent in these conversations: what came before it, and what it said."""
    return [
        (tuple(episode.messages[:turn]), message["content"])
        for episode in episodes
        for turn, message in enumerate(episode.messages)
        if turn > 0 and message["role"] == "assistant"
    ]


def preferences(
    episodes: Sequence[Played], teacher: Teacher, differs: Callable[[str, str], bool]
) -> list[Preference]:
    """The teacher's reply over the model's, at each of the model's states where they differ.

    `differs(model's, teacher's)` says whether two replies do different things; two wordings of
    one act are no preference. A pair that came up before is left out.
    """
    seen = states(episodes)
    better = teacher.reply([list(history) for history, _ in seen])
    pairs = [
        Preference(history, good, said)
        for (history, said), good in zip(seen, better, strict=True)
        if differs(said, good)
    ]
    unique = {repr((p.to_record(), p.chosen, p.rejected)): p for p in pairs}
    return list(unique.values())


# ---- the formulas


def rendered_replies(pairs: Sequence[tuple[History, str]], tokenizer: Any) -> list[Encoded]:
    """Histories with one reply each; the mask covers that reply and its end token only."""
    return encode_all([_one_reply(n, *pair) for n, pair in enumerate(pairs)], tokenizer)


def _one_reply(number: int, history: History, reply: str) -> Dialogue:
    before = [Message(m["role"], m["content"], train=False) for m in history]
    return Dialogue(f"pair {number}", [*before, Message("assistant", reply)])


def reply_log_probs(model: Any, replies: Sequence[Encoded], pad_id: int) -> torch.Tensor:
    """(B,) log probability of each whole reply: the sum over its tokens, the end included."""
    batch = to_device(pad_batch(replies, pad_id), model.device)
    scored = score(model, batch)
    sums = torch.zeros(len(replies), device=model.device)
    return sums.index_add(0, scored.rows, scored.taken)


def dpo_loss(
    chosen: torch.Tensor,
    rejected: torch.Tensor,
    reference_chosen: torch.Tensor,
    reference_rejected: torch.Tensor,
    beta: float = 0.1,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Four times (B,) log probabilities -> mean loss, and (B,) margins.

    The margin is how much more the model favours the chosen reply than its start did, times
    `beta`; the loss is −log sigmoid(margin). Equal to TRL's `DPOTrainer` with its "sigmoid" loss.
    """
    margins = beta * ((chosen - reference_chosen) - (rejected - reference_rejected))
    return -F.logsigmoid(margins).mean(), margins


# ---- training


@dataclass(frozen=True, slots=True)
class DPOConfig:
    """Settings of `prefer`; `beta` is the price of leaving the start (higher: stay nearer)."""

    epochs: int = 1
    pairs_per_step: int = 16
    learning_rate: float = 5e-5
    beta: float = 0.1
    clip: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.pairs_per_step < 1:
            raise ValueError("epochs and pairs_per_step must be at least 1")
        if self.beta <= 0 or self.learning_rate <= 0 or self.clip <= 0:
            raise ValueError("beta, learning_rate and clip must be above 0")


def prefer(
    model: Any,
    tokenizer: Any,
    pairs: Sequence[Preference],
    config: DPOConfig | None = None,
    on_record: Callable[[Record], None] | None = None,
) -> list[Record]:
    """Trains `model` in place on the pairs; returns one record a step.

    A record has the loss, the mean margin and `right`, the share of pairs whose margin is above 0.
    Pairs too long for the model are left out; with none left it raises ValueError.
    """
    config = config or DPOConfig()
    rows = _fitting(_encoded(pairs, tokenizer), context_length(model))
    records: list[Record] = []
    reference = frozen_copy(model)
    optimizer = torch.optim.AdamW(trained_weights(model), config.learning_rate, weight_decay=0.0)
    total = config.epochs * math.ceil(len(rows) / config.pairs_per_step)
    model.eval()
    for chosen in _batches(rows, config):
        started = time.perf_counter()
        set_learning_rate(optimizer, config.learning_rate * (1 - len(records) / total))
        found = _dpo_step(model, reference, optimizer, chosen, tokenizer.pad_token_id, config)
        seconds = time.perf_counter() - started
        records.append({"step": len(records) + 1, **found, "seconds": seconds})
        if on_record:
            on_record(records[-1])
    return records


Row = tuple[Encoded, Encoded]


def _encoded(pairs: Sequence[Preference], tokenizer: Any) -> list[Row]:
    good = rendered_replies([(p.history, p.chosen) for p in pairs], tokenizer)
    bad = rendered_replies([(p.history, p.rejected) for p in pairs], tokenizer)
    return list(zip(good, bad, strict=True))


def _fitting(rows: Sequence[Row], room: int) -> list[Row]:
    kept = [row for row in rows if max(map(len, row)) <= room]
    if not kept:
        raise ValueError(f"no pair of {len(rows)} fits into the model's {room} positions")
    return kept


def _batches(rows: Sequence[Row], config: DPOConfig) -> list[list[Row]]:
    order = random.Random(config.seed)
    batches = []
    for _ in range(config.epochs):
        shuffled = order.sample(list(rows), len(rows))
        for start in range(0, len(rows), config.pairs_per_step):
            batches.append(shuffled[start : start + config.pairs_per_step])
    return batches


def _dpo_step(
    model: Any,
    reference: Any,
    optimizer: torch.optim.Optimizer,
    rows: Sequence[Row],
    pad_id: int,
    config: DPOConfig,
) -> Record:
    both = [good for good, _ in rows] + [bad for _, bad in rows]
    chosen, rejected = reply_log_probs(model, both, pad_id).chunk(2)
    with torch.no_grad():
        held_chosen, held_rejected = reply_log_probs(reference, both, pad_id).chunk(2)
    loss, margins = dpo_loss(chosen, rejected, held_chosen, held_rejected, config.beta)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    weights = [p for group in optimizer.param_groups for p in group["params"]]
    norm = float(torch.nn.utils.clip_grad_norm_(weights, config.clip))
    if not math.isfinite(loss.item()) or not math.isfinite(norm):
        raise TrainingDiverged(f"loss {loss.item()}, gradient norm {norm}; lower the learning rate")
    optimizer.step()
    margins = margins.detach()
    right = float((margins > 0).float().mean())
    return {
        "loss": loss.item(),
        "margin": float(margins.mean()),
        "right": right,
        "grad_norm": norm,
    }


# ---- the same with TRL


def first_loss_of_trl(
    model: Any, tokenizer: Any, pairs: Sequence[Preference], beta: float = 0.1
) -> float:
    """The loss of TRL's `DPOTrainer` on the pairs, as one batch, with the model as its own start.

    The trainer writes nothing and takes no step; `trainer.train()` would go on from here. TRL is
    no dependency of the course, so this raises ImportError where it is missing.
    """
    import tempfile

    from datasets import Dataset, disable_progress_bars
    from trl import DPOConfig as TheirConfig
    from trl import DPOTrainer

    disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # TRL calls what transformers will drop
        trainer = DPOTrainer(
            copy.deepcopy(model),
            copy.deepcopy(model),
            args=TheirConfig(folder, **_THEIR_SETTINGS, beta=beta),
            train_dataset=Dataset.from_list([pair.to_record() for pair in pairs]),
            processing_class=tokenizer,
        )
        with torch.no_grad():
            batch = next(iter(trainer.get_train_dataloader()))
            return float(trainer.compute_loss(trainer.model, batch))


_THEIR_SETTINGS: dict[str, Any] = {
    "per_device_train_batch_size": 64,
    "report_to": [],
    "bf16": False,
    "gradient_checkpointing": None,  # True by default, which costs time and saves no memory here
    "disable_tqdm": True,
    "dataloader_pin_memory": False,
}
