"""JupyterLab with private folders, and a notebook in it driven through Chromium."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SCREENS = ROOT / "_build" / "screens"

_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]

# The kernel answers only once its session is up: cells that are run before are lost.
_READY = """async () => {
    await window.jupyterapp.restored;
    for (let i = 0; i < 600; i++) {
        const panel = window.jupyterapp.shell.currentWidget;
        const context = panel && panel.context && panel.context.sessionContext;
        if (context && context.session && context.session.kernel) {
            await context.ready;
            await context.session.kernel.info;
            return true;
        }
        await new Promise(done => setTimeout(done, 100));
    }
    return false;
}"""


def chromium() -> str | None:
    """The path of an installed Chromium, or None; variable CHROMIUM overrides the search."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


def shadow_repository(folder: Path) -> Path:
    """A folder that looks like the repository to the set-up cell, with an empty `notebooks/`.

    What a notebook run there writes or saves never reaches the working tree.
    """
    for name in ("course_lib", "data", "pyproject.toml"):
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)
    (folder / "notebooks").mkdir()
    return folder


@contextmanager
def jupyterlab(folder: Path, private: Path) -> Iterator[str]:
    """A JupyterLab server on `folder`; gives its address, with the token to fill in."""
    port, token = _free_port(), secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--ServerApp.root_dir={folder}", "--ServerApp.ip=127.0.0.1"]
    command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    command += [f"--IdentityProvider.token={token}", "--LabApp.expose_app_in_browser=True"]
    log = private / "server.log"
    with open(log, "wb") as output:
        server = subprocess.Popen(
            command, env=_private(private), stdout=output, stderr=subprocess.STDOUT, cwd=folder
        )
        try:
            _await_server(server, f"http://127.0.0.1:{port}/api?token={token}", log)
            yield f"http://127.0.0.1:{port}/lab/tree/{{path}}?token={token}"
        finally:
            server.terminate()
            try:
                server.wait(15)
            except subprocess.TimeoutExpired:
                server.kill()


@contextmanager
def open_notebook(address: str, path: str, private: Path) -> Iterator[Any]:
    """A Playwright page with the notebook open and its kernel ready."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(private / "browser"),
            executable_path=chromium(),
            headless=True,
            args=_FLAGS,
            viewport={"width": 1280, "height": 1000},
        )
        try:
            page = context.pages[0] if context.pages else context.new_page()
            page.goto(address.format(path=path), timeout=60_000)
            page.wait_for_function("() => window.jupyterapp !== undefined", timeout=60_000)
            assert page.evaluate(_READY), "no kernel came up in a minute"
            yield page
        finally:
            context.close()


def run_all_cells(page: Any) -> None:
    """Runs every cell of the open notebook and waits for the last."""
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")


def chat(page: Any, text: str, timeout: float = 60.0) -> str:
    """Types a message into the chat widget and returns the newest reply, once it is finished."""
    box = page.get_by_placeholder("Write to the assistant").last
    box.scroll_into_view_if_needed()
    box.fill(text)
    replies = page.locator(".chat-assistant")
    before = replies.count()
    page.get_by_role("button", name="Send").last.click()
    replies.nth(before).wait_for(timeout=timeout * 1000)
    page.get_by_text("ready", exact=True).last.wait_for(timeout=timeout * 1000)
    return str(replies.last.inner_text())


def screenshot(page: Any, name: str) -> Path:
    SCREENS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(SCREENS / f"{name}.png"))
    return SCREENS / f"{name}.png"


def _private(folder: Path) -> dict[str, str]:
    names = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    for part in names.values():
        (folder / part).mkdir(parents=True, exist_ok=True)
    return os.environ | {name: str(folder / part) for name, part in names.items()}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_server(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text(errors='replace')[-3000:]}")
