"""Loss, perplexity and token accuracy on dialogues that were not trained on, by trained token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from course_lib.batching import pad_batch, padded_batches
from course_lib.chat_format import Encoded, encode_all
from course_lib.dialogue import Dialogue
from course_lib.generation import context_length
from course_lib.losses import IGNORE, trained_logits
from course_lib.metrics.score import Score, score_of
from course_lib.training import to_device
from course_lib.truncation import truncate_all

NATS, GUESSED, TOKENS, BYTES = range(4)


@torch.no_grad()
def held_out_loss(
    model: Any, dialogues: Sequence[Encoded], pad_id: int, rows_per_batch: int = 16
) -> dict[str, float]:
    """`eval_loss` (nats per trained token) and `eval_accuracy` (share of them guessed right).

    Sums over all trained tokens of all dialogues, then divides: never a mean over batches.
    """
    model.eval()
    total, right, count = 0.0, 0, 0
    for batch in padded_batches(dialogues, rows_per_batch, pad_id):
        logits, labels = trained_logits(model, to_device(batch, model.device))
        total += float(F.cross_entropy(logits.float(), labels, reduction="sum"))
        right += int((logits.argmax(-1) == labels).sum())
        count += len(labels)
    if count == 0:
        raise ValueError("no trained token in the held-out dialogues; check the mask and the split")
    return {"eval_loss": total / count, "eval_accuracy": right / count}


@dataclass(frozen=True, slots=True)
class Losses:
    """What the trained tokens of each dialogue cost; every figure is a Score over dialogues.

    `rows` (D, 4): nats, tokens guessed right, trained tokens, and the bytes of their text.
    """

    rows: np.ndarray
    dialogue_ids: tuple[str, ...]

    @property
    def loss(self) -> Score:
        """Nats per trained token."""
        return self._of(NATS, TOKENS, "loss|nats per trained token")

    @property
    def perplexity(self) -> Score:
        """e to the loss: depends on the tokenizer, so only for models that share one."""
        return self._of(NATS, TOKENS, "perplexity|per trained token", exponent=True)

    @property
    def perplexity_per_byte(self) -> Score:
        """The same per UTF-8 byte of the replies; models with other tokenizers compare too."""
        return self._of(NATS, BYTES, "perplexity|per byte of the replies", exponent=True)

    @property
    def accuracy(self) -> Score:
        """Share of trained tokens that the model guesses right, given all before them."""
        return self._of(GUESSED, TOKENS, "token accuracy")

    def _of(self, above: int, below: int, signature: str, exponent: bool = False) -> Score:
        def measure(totals: np.ndarray) -> np.ndarray:
            found = totals[..., 0] / np.maximum(totals[..., 1], 1)
            return np.exp(found) if exponent else found

        rows = self.rows[:, [above, below]]
        return score_of(measure(rows).tolist(), signature, rows, measure)


def losses(
    model: Any, tokenizer: Any, dialogues: Sequence[Dialogue], rows_per_batch: int = 16
) -> Losses:
    """The losses of each dialogue with a trained token; what is too long loses its oldest turns.

    The end token of a reply costs nats but has no bytes.
    """
    encoded, _ = truncate_all(encode_all(dialogues, tokenizer), context_length(model))
    said = {d.id: d for d in dialogues}
    rows: dict[str, np.ndarray] = {}
    for one, (nats, right) in zip(
        encoded, _each(model, encoded, tokenizer.pad_token_id, rows_per_batch), strict=True
    ):
        size = _bytes(one, said[one.dialogue_id], tokenizer)
        row = np.asarray([nats, right, sum(one.mask), size], dtype=float)
        rows[one.dialogue_id] = rows.get(one.dialogue_id, 0) + row
    if not rows:
        raise ValueError("no trained token in the held-out dialogues; check the mask and the split")
    return Losses(np.stack(list(rows.values())), tuple(rows))


def of_log_probabilities(
    log_probabilities: Sequence[Sequence[float]],
    labels: Sequence[Sequence[int]],
    byte_counts: Sequence[int] | None = None,
) -> Losses:
    """Losses from each label's log-probability (natural), one row a dialogue; -100 is untrained."""
    _require_like(log_probabilities, labels)
    rows = np.zeros((len(labels), 4))
    for row, chances, wanted in zip(rows, log_probabilities, labels, strict=True):
        trained = [c for c, label in zip(chances, wanted, strict=True) if label != IGNORE]
        row[NATS], row[TOKENS] = -sum(trained), len(trained)
    if byte_counts is not None:
        rows[:, BYTES] = byte_counts
    return Losses(rows, tuple(str(i) for i in range(len(rows))))


def token_accuracy(guesses: Sequence[Sequence[int]], labels: Sequence[Sequence[int]]) -> Score:
    """Share of trained labels that were guessed right; guess t stands where label t stands."""
    _require_like(guesses, labels)
    pairs = [
        [(g, label) for g, label in zip(*both, strict=True) if label != IGNORE]
        for both in zip(guesses, labels, strict=True)
    ]
    right = [sum(g == label for g, label in row) for row in pairs]
    rows = np.asarray([[r, len(row)] for r, row in zip(right, pairs, strict=True)], dtype=float)
    each = [r / max(len(row), 1) for r, row in zip(right, pairs, strict=True)]
    return score_of(each, "token accuracy", rows)


def _require_like(predictions: Sequence[Sequence[float]], labels: Sequence[Sequence[int]]) -> None:
    if len(predictions) != len(labels):
        raise ValueError(f"{len(predictions)} rows of predictions and {len(labels)} of labels")
    for number, (row, wanted) in enumerate(zip(predictions, labels, strict=True)):
        if len(row) != len(wanted):
            raise ValueError(f"row {number}: {len(row)} predictions and {len(wanted)} labels")
    if not any(label != IGNORE for row in labels for label in row):
        raise ValueError("no trained token in the labels: all are -100")


def perplexity(
    model: Any, tokenizer: Any, dialogues: Sequence[Dialogue], per: str = "token"
) -> Score:
    """Perplexity of the replies, per "token" or per "byte"; see `Losses`."""
    if per not in ("token", "byte"):
        raise ValueError(f"per={per!r}: choose token or byte")
    found = losses(model, tokenizer, dialogues)
    return found.perplexity if per == "token" else found.perplexity_per_byte


@torch.no_grad()
def _each(
    model: Any, encoded: Sequence[Encoded], pad_id: int, rows_per_batch: int
) -> Iterator[tuple[float, int]]:
    """(nats, tokens guessed right) of each dialogue, in order."""
    model.eval()
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
    found: dict[int, tuple[float, int]] = {}
    for start in range(0, len(order), rows_per_batch):
        chosen = order[start : start + rows_per_batch]
        batch = to_device(pad_batch([encoded[i] for i in chosen], pad_id), model.device)
        logits, labels = trained_logits(model, batch)
        owner = (batch["labels"][:, 1:] != IGNORE).nonzero()[:, 0]  # which row each label is of
        each = F.cross_entropy(logits.float(), labels, reduction="none")
        nats = torch.zeros(len(chosen), device=each.device).index_add_(0, owner, each)
        right = torch.zeros_like(nats).index_add_(0, owner, (logits.argmax(-1) == labels).float())
        found.update(zip(chosen, zip(nats.tolist(), right.tolist(), strict=True), strict=True))
    yield from ((found[i][0], int(found[i][1])) for i in range(len(encoded)))


def _bytes(encoded: Encoded, dialogue: Dialogue, tokenizer: Any) -> int:
    """Bytes of the trained text: of the replies themselves, or of what a cut left of them."""
    trained = [m for m in dialogue.messages if m.role == "assistant" and m.train]
    if len(encoded.turns) == len(dialogue.messages) or not encoded.turns:
        return sum(len(message.content.encode()) for message in trained)
    return len(tokenizer.decode(encoded.trained_ids, skip_special_tokens=True).encode())
