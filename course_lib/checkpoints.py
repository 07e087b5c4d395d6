"""Checkpoints: a training state on disk, whole or not at all, whenever the process dies."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import torch

State = dict[str, Any]
FORMAT = 2


def save_checkpoint(path: str | Path, state: State) -> None:
    """Writes the state aside, syncs it, renames it over `path`, and syncs the folder.

    A reader finds the old state or the new one. The file aside has one name, so that a run that
    was killed a hundred times leaves one such file at most; two runs must not share a `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    try:
        with aside.open("wb") as file:
            torch.save({"format": FORMAT, **state}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """The new name, too, must outlive a power cut; Windows cannot open a folder for this."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def load_checkpoint(path: str | Path, device: torch.device | str = "cpu") -> State:
    """The state that `save_checkpoint` wrote; raises ValueError when the file is something else."""
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises a different type for each kind of damage
        raise ValueError(
            f"{path} is no checkpoint that can be read ({type(error).__name__}); "
            "delete it to start anew"
        ) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"{path} is no checkpoint of this version; delete it to start anew")
    return state


def random_state() -> State:
    """The state of torch's random numbers on the CPU and on every CUDA device."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def set_random_state(state: State) -> None:
    """The reverse of `random_state`; a run that moved to other devices goes on with their own."""
    torch.set_rng_state(state["cpu"].cpu())
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([one.cpu() for one in state["cuda"]])
