"""Batches that are broken on purpose, to see what a training on them looks like."""

from __future__ import annotations

import torch

from course_lib.batching import IGNORE, Batch


def other_side(batch: Batch, pad_id: int) -> Batch:
    """The mask turned round: trained is what was context (padding left out), and nothing else."""
    ids = batch["input_ids"]
    context = (batch["labels"] == IGNORE) & (ids != pad_id)
    return {**batch, "labels": ids.masked_fill(~context, IGNORE)}


def shuffled(batch: Batch, seed: int = 0) -> Batch:
    """The right labels in the wrong places, dealt out anew among all trained positions."""
    labels = batch["labels"].clone()
    trained = labels[labels != IGNORE]
    order = torch.randperm(len(trained), generator=torch.Generator().manual_seed(seed))
    labels[labels != IGNORE] = trained[order]
    return {**batch, "labels": labels}
