"""The guard in conftest.py: tests reach this machine and nothing else."""

from __future__ import annotations

import os
import socket
import urllib.request

import pytest


def test_another_machine_is_out_of_reach() -> None:
    with pytest.raises(OSError, match="tried to reach the network"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)


def test_urllib_is_held_back_too() -> None:
    with pytest.raises(OSError, match="tried to reach the network"):
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            "http://192.0.2.1/", None, 1
        )


def test_this_machine_is_in_reach() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=5).close()


def test_the_hub_is_off() -> None:
    assert os.environ["HF_HUB_OFFLINE"] == "1" or os.environ.get("COURSE_ONLINE") == "1"
