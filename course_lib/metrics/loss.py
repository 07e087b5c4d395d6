"""Loss on dialogues that were not trained on, by trained token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from course_lib.batching import padded_batches
from course_lib.chat_format import Encoded
from course_lib.losses import trained_logits
from course_lib.training import to_device


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
