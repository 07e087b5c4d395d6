"""One optimiser step over two processes on the CPU; importable, as child processes need it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from course_lib.losses import lm_loss, step_normalizer

_LENGTHS = ((4, 30), (9, 17))  # of the two micro-batches of each of the two processes


def _batches(process: int) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(process)
    rows = [torch.randint(0, 400, (1, n), generator=generator) for n in _LENGTHS[process]]
    return [{"input_ids": ids, "labels": ids.clone()} for ids in rows]


def _gradient(batches: list[dict[str, torch.Tensor]], divisor: float) -> list[torch.Tensor]:
    from tests.tiny import tiny_gpt2

    model = tiny_gpt2()
    for batch in batches:
        lm_loss(model, batch, divisor).backward()
    return [p.grad for p in model.parameters() if p.grad is not None]


def gradient_of_all() -> list[torch.Tensor]:
    """The gradient of a single process that has all micro-batches."""
    batches = _batches(0) + _batches(1)
    return _gradient(batches, step_normalizer(batches))


def gradient_of_two(folder: Path, wrong: bool = False) -> list[torch.Tensor]:
    """The mean of the gradients of two processes; `wrong`: each divides by its own count."""
    out = folder / f"{'wrong' if wrong else 'right'}.pt"
    meeting = folder / f"meeting-{wrong}"
    torch.multiprocessing.spawn(_work, (str(meeting), str(out), wrong), nprocs=2)
    found: list[torch.Tensor] = torch.load(out)
    return found


def _work(rank: int, meeting: str, out: str, wrong: bool) -> Any:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    batches = _batches(rank)
    own = float(sum(batch["labels"].shape[1] - 1 for batch in batches))
    gradient = _gradient(batches, own if wrong else step_normalizer(batches))
    for part in gradient:  # what DDP does
        dist.all_reduce(part)
        part /= 2
    if rank == 0:
        torch.save(gradient, out)
    dist.destroy_process_group()
