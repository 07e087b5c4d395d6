"""What several test files share: a tiny tokenizer, a tiny model, three dialogues, real samples."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import ROOT, bpe_tokenizer, tiny_gpt2, tiny_llama, toy_dialogues

SAMPLES = Path(os.environ.get("COURSE_SAMPLES", ROOT.parent / "shared" / "samples"))


def is_local(address: Any) -> bool:
    """Whether a socket address stays on this machine (a path, localhost, a loopback number)."""
    if not isinstance(address, tuple) or address[0] in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(address[0]).is_loopback
    except ValueError:
        return False


class LocalSocket(socket.socket):
    """A socket that refuses to leave this machine, so that no test needs a network unnoticed."""

    def connect(self, address: Any) -> None:
        if not is_local(address):
            raise OSError(f"A test tried to reach the network: {address}")
        super().connect(address)

    def connect_ex(self, address: Any) -> int:
        if not is_local(address):
            raise OSError(f"A test tried to reach the network: {address}")
        return super().connect_ex(address)


def pytest_configure(config: pytest.Config) -> None:
    socket.socket = LocalSocket  # type: ignore[misc]
    for name in (
        "HF_HUB_OFFLINE",
        "HF_DATASETS_OFFLINE",
        "HF_EVALUATE_OFFLINE",
        "TRANSFORMERS_OFFLINE",
    ):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # so a shell starts background jobs
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of real dialogues; skips where it is absent."""
    if not SAMPLES.is_dir():
        pytest.skip(f"no real samples at {SAMPLES}; set COURSE_SAMPLES to their folder")
    return SAMPLES


@pytest.fixture
def tokenizer():
    """The tiny tokenizer, prepared for chat."""
    from course_lib.chat_format import prepare_tokenizer

    tokenizer = bpe_tokenizer()
    prepare_tokenizer(tokenizer)
    return tokenizer


@pytest.fixture(params=["gpt2", "llama"])
def model(request: pytest.FixtureRequest):
    """A tiny random model of either kind (tied and untied output weights)."""
    return tiny_gpt2() if request.param == "gpt2" else tiny_llama()


@pytest.fixture
def three_dialogues():
    return toy_dialogues()
