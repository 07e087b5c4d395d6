"""Checkpoints: whole or not at all, whatever happens and whenever."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from course_lib import checkpoints
from course_lib.checkpoints import (
    load_checkpoint,
    random_state,
    save_checkpoint,
    set_random_state,
)
from tests.tiny import ROOT

KILLS = 50


def test_what_was_saved_is_loaded(tmp_path):
    path = tmp_path / "deep" / "run.pt"
    save_checkpoint(path, {"step": 3, "weights": torch.ones(2)})
    state = load_checkpoint(path)
    assert state["step"] == 3 and torch.equal(state["weights"], torch.ones(2))
    assert [file.name for file in path.parent.iterdir()] == ["run.pt"]


def write_half(state, file) -> None:
    file.write(b"half a file")
    raise OSError("No space left on device")


def assert_a_failing_save_keeps_the_old_state(path: Path, monkeypatch) -> None:
    checkpoints.save_checkpoint(path, {"step": 1})
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", write_half)
        with pytest.raises(OSError, match="No space"):
            checkpoints.save_checkpoint(path, {"step": 2})
    with contextlib.suppress(ValueError):
        state = load_checkpoint(path)
    assert state["step"] == 1
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_failing_save_keeps_the_old_state(tmp_path, monkeypatch):
    assert_a_failing_save_keeps_the_old_state(tmp_path / "run.pt", monkeypatch)


def test_writing_in_place_is_noticed(tmp_path, monkeypatch):
    def in_place(path, state):
        with Path(path).open("wb") as file:
            torch.save({"format": checkpoints.FORMAT, **state}, file)

    monkeypatch.setattr(checkpoints, "save_checkpoint", in_place)
    with pytest.raises(UnboundLocalError):  # no state could be loaded
        assert_a_failing_save_keeps_the_old_state(tmp_path / "run.pt", monkeypatch)


def test_file_then_name_then_folder_are_synced(tmp_path, monkeypatch):
    """In this order; else a power cut may leave the new name on an empty file."""
    calls = []
    sync, rename = os.fsync, os.replace

    def watched_sync(handle):
        calls.append("folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file")
        sync(handle)

    monkeypatch.setattr(os, "fsync", watched_sync)
    monkeypatch.setattr(os, "replace", lambda a, b: calls.append("rename") or rename(a, b))
    save_checkpoint(tmp_path / "run.pt", {"step": 1})
    if not os.path.isdir("/proc/self/fd"):
        calls = ["folder" if n == 2 else call for n, call in enumerate(calls)]
    assert calls == ["file", "rename", "folder"]


@pytest.mark.parametrize("content", [b"", b"half a file", b"PK\x03\x04" + b"0" * 50])
def test_a_file_that_is_no_checkpoint_is_named(tmp_path, content):
    path = tmp_path / "run.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"run\.pt is no checkpoint.*delete it"):
        load_checkpoint(path)


def test_another_version_is_named(tmp_path):
    path = tmp_path / "run.pt"
    torch.save({"format": 1, "step": 3}, path)
    with pytest.raises(ValueError, match="of this version"):
        load_checkpoint(path)


def test_random_numbers_go_on():
    state = random_state()
    first = torch.rand(3)
    torch.manual_seed(7)
    set_random_state(state)
    assert torch.equal(torch.rand(3), first)


class Server:
    """A process that forks training runs; see `tests/killed_runs.py`."""

    def __enter__(self) -> Server:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(ROOT / "tests" / "killed_runs.py")]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, text=True, env=environment, **pipes)
        assert self.answer() == "ready"
        return self

    def __exit__(self, *error) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, line: str) -> int:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return int(self.answer())

    def run(self, path: Path, kill_after: float | None = None) -> int:
        """Trains from the checkpoint at `path` on; returns 0, or -9 when it was killed."""
        child = self.ask(str(path))
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(child, signal.SIGKILL)
        return self.ask("wait for it")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that can fork")
def test_fifty_kills_at_random_moments(tmp_path):
    """Every life goes on from the last; every run that gets to its end has the same weights."""
    rng, kills, ends, saving = random.Random(0), 0, 0, 0
    with Server() as server:
        started = time.perf_counter()
        assert server.run(tmp_path / "whole.pt") == 0
        seconds = time.perf_counter() - started
        whole = json.loads((tmp_path / "whole.json").read_text())
        while kills < KILLS:
            folder = tmp_path / f"run{ends}"
            folder.mkdir(exist_ok=True)
            path = folder / "run.pt"
            status = server.run(path, kill_after=rng.uniform(0.0, 0.5 * seconds))
            saving += (folder / ".run.pt.part").exists()
            assert {file.name for file in folder.iterdir()} <= {
                "run.pt",
                ".run.pt.part",
                "run.json",
            }
            if status == 0:
                assert json.loads((folder / "run.json").read_text()) == whole
                ends += 1
                continue
            kills += 1
            if path.exists():
                assert 1 <= load_checkpoint(path)["step"] <= 16
        assert server.run(path) == 0
    assert json.loads(path.with_suffix(".json").read_text()) == whole
    assert ends > 0 and saving > 0
