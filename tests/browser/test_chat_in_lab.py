"""A learner's click path in a real JupyterLab: run all, type, read the reply."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from course_lib.notebooks.canonical import canonicalise, read, text_of, write
from course_lib.setup_cell import setup_source
from tests.browser import lab

pytestmark = pytest.mark.browser

FAKE_MODEL = '''\
def reply(messages):
    for word in ("You", "said", messages[-1]["content"]):
        yield word + " "'''


@pytest.fixture(autouse=True)
def browser() -> None:
    missing = None
    if lab.chromium() is None:
        missing = "no Chromium: apt-get install chromium, or name yours in the variable CHROMIUM"
    try:
        import jupyterlab  # noqa: F401
        import playwright  # noqa: F401
    except ImportError as error:
        missing = f"{error.name} is not installed: pip install -e .[notebooks,dev]"
    if missing and os.environ.get("CI") == "true":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    return lab.shadow_repository(folder)


@pytest.fixture
def server(repository: Path, tmp_path: Path) -> Iterator[str]:
    with lab.jupyterlab(repository, tmp_path) as address:
        yield address


def put_tiny_notebook(repository: Path) -> str:
    sources = [
        setup_source(),
        FAKE_MODEL,
        "from course_lib.widgets import Chat\n\nchat = Chat(reply)\nchat",
    ]
    cells = [
        {"cell_type": "code", "source": text, "outputs": [], "metadata": {}} for text in sources
    ]
    path = repository / "notebooks" / "90_tiny.ipynb"
    write(canonicalise({"cells": cells}, path), path)
    return "notebooks/90_tiny.ipynb"


def test_the_chat_widget_answers_in_jupyterlab(repository: Path, server: str, tmp_path: Path):
    path = put_tiny_notebook(repository)
    with lab.open_notebook(server, path, tmp_path) as page:
        lab.run_all_cells(page)
        assert "course_lib ready" in page.locator(".jp-OutputArea-output").first.inner_text()
        assert lab.chat(page, "does it leak?").strip() == "You said does it leak?"
        hostile = "<img src=x onerror=\"document.title='broken'\">"
        assert hostile in lab.chat(page, hostile)
        assert page.title() != "broken"
        picture = lab.screenshot(page, "chat_tiny")
    assert picture.stat().st_size > 10_000


def put_chapter_00(repository: Path) -> str:
    """Chapter 00 with three steps of training, so without the cells that measure and claim.

    The whole chapter runs under nbval; what only a browser shows is the plot and the chat.
    """
    chapter = read(lab.ROOT / "notebooks" / "00_start_here.ipynb")
    kept = []
    for cell in chapter["cells"]:
        source = text_of(cell["source"])
        if cell["cell_type"] == "code" and ("claim(" in source or "measure(" in source):
            continue
        short = "config = replace(config, max_steps=3)\ntuned ="
        source = source.replace("tuned =", short, 1)
        kept.append(cell | {"source": source})
    assert any("max_steps=3" in cell["source"] for cell in kept)
    path = repository / "notebooks" / "00_start_here.ipynb"
    write(canonicalise({"cells": kept}, path), path)
    return "notebooks/00_start_here.ipynb"


@pytest.mark.slow
def test_chapter_00_draws_its_plot_and_chats(repository: Path, server: str, tmp_path: Path):
    path = put_chapter_00(repository)
    with lab.open_notebook(server, path, tmp_path) as page:
        lab.run_all_cells(page)
        assert page.locator(".jp-RenderedHTMLCommon:has-text('SFT: step 3 of 3')").count()
        reply = lab.chat(page, "How long is the warranty of the Brisa kettle?", timeout=120)
        lab.screenshot(page, "chapter_00_chat")
        assert page.locator(".chat-error").count() == 0
        assert reply.strip()
        assert page.locator(".chat-assistant").count() == 2  # base and tuned
