"""JupyterLab with private folders, and a notebook in it driven through Chromium."""

from __future__ import annotations

import json
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
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SCREENS = ROOT / "_build" / "screens"
PATIENCE = 180_000  # ms; how long a busy machine may take for any one step

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
    for (let i = 0; i < 1800; i++) {
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


_ERRORS = """() => {
    const cells = [...window.jupyterapp.shell.currentWidget.content.model.cells];
    const outputs = cells.filter(cell => cell.type === 'code').flatMap(
        cell => Array.from({length: cell.outputs.length}, (_, i) => cell.outputs.get(i).toJSON()));
    return outputs.filter(output => output.output_type === 'error')
                  .map(output => `${output.ename}: ${output.evalue}`);
}"""

_SETTINGS = {
    # All cells stand in the page, also those out of sight, so that a locator finds what is there.
    "notebook-extension/tracker": {"windowingMode": "none"},
    # No question about news: it would lie over the buttons, and there is no network to ask.
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}


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
            yield f"http://127.0.0.1:{port}/lab/workspaces/{{workspace}}/tree/{{path}}?token={token}"
        finally:
            server.terminate()
            try:
                server.wait(15)
            except subprocess.TimeoutExpired:
                server.kill()


@contextmanager
def open_notebook(address: str, path: str, private: Path) -> Iterator[Any]:
    """A Playwright page with the notebook open and its kernel ready; its kernel ends with it.

    Every call has a browser profile and a workspace of its own, so that nothing is restored.
    """
    from playwright.sync_api import sync_playwright

    name = f"w{secrets.token_hex(4)}"
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(private / name),
            executable_path=chromium(),
            headless=True,
            args=_FLAGS,
            viewport={"width": 1280, "height": 1000},
        )
        context.set_default_timeout(PATIENCE)
        page = context.pages[0] if context.pages else context.new_page()
        try:
            page.goto(address.format(path=path, workspace=name), timeout=PATIENCE)
            page.wait_for_function("() => window.jupyterapp !== undefined", timeout=PATIENCE)
            assert page.evaluate(_READY), "no kernel came up in three minutes"
            yield page
        except BaseException:
            with suppress(Exception):
                screenshot(page, f"failed_{Path(path).stem}")
            raise
        finally:
            with suppress(Exception):
                page.evaluate("() => window.jupyterapp.serviceManager.sessions.shutdownAll()")
            context.close()


def run_all_cells(page: Any) -> None:
    """Runs every cell of the open notebook, waits for the last, and fails if one raised."""
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    errors = page.evaluate(_ERRORS)
    assert not errors, f"cells raised: {errors}"


@dataclass
class ChatPage:
    """The newest chat widget on a page, driven as a person does: by typing and clicking."""

    page: Any

    @property
    def root(self) -> Any:
        return self.page.locator(".chat").last

    @property
    def box(self) -> Any:
        return self.root.get_by_placeholder("Write to the assistant")

    @property
    def replies(self) -> Any:
        return self.root.locator(".chat-assistant")

    def click(self, name: str) -> None:
        self.root.get_by_role("button", name=name, exact=True).click()

    def judge(self, name: str) -> None:
        """Clicks a thumb, "good" or "bad": by its class, as its icon is part of its name."""
        self.root.locator(f"button.chat-{name}").click()

    def click_at_once(self, name: str) -> None:
        """Clicks without waiting for the button to be enabled; a disabled one does nothing."""
        button = self.root.get_by_role("button", name=name, exact=True)
        button.evaluate("button => button.click()")

    def answers(self) -> int:
        """How many times the models have finished answering."""
        return int(self.root.locator(".chat-transcript").get_attribute("data-answers"))

    def start(self, text: str) -> int:
        """Types and sends; returns the number that `finished` waits for."""
        before = self.answers()
        self.box.scroll_into_view_if_needed()
        self.box.fill(text)
        self.click("Send")
        return before + 1

    def finished(self, number: int, timeout: float = 180.0) -> None:
        """Waits until the models have finished for the `number`-th time, and the page is ready."""
        done = self.root.locator(f'.chat-transcript[data-answers="{number}"]')
        done.wait_for(timeout=timeout * 1000)
        ready = self.root.locator(".chat-status", has_text="ready")
        ready.wait_for(timeout=timeout * 1000)

    def say(self, text: str, timeout: float = 180.0) -> str:
        """Sends a message and returns the last reply, once all are finished."""
        self.finished(self.start(text), timeout)
        return str(self.replies.last.inner_text())

    def open(self, title: str) -> None:
        """Unfolds a panel."""
        self.root.get_by_text(title, exact=True).click()


def chat(page: Any, text: str, timeout: float = 180.0) -> str:
    """Types a message into the chat widget and returns the newest reply, once it is finished."""
    return ChatPage(page).say(text, timeout)


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
    for name, values in _SETTINGS.items():
        path = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    return os.environ | {variable: str(folder / part) for variable, part in names.items()}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_server(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text(errors='replace')[-3000:]}")
