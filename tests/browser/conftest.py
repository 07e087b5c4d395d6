"""One JupyterLab for all browser tests, on a folder that looks like the repository."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from course_lib.notebooks.canonical import canonicalise, write
from course_lib.setup_cell import setup_source
from tests.browser import lab


def what_is_missing() -> str | None:
    """What has to be installed before a browser test can run, in words; None if nothing."""
    if lab.chromium() is None:
        return (
            "no Chromium: apt-get install chromium (Debian), or install Chrome or Chromium and "
            "name its program in the variable CHROMIUM"
        )
    try:
        import jupyterlab  # noqa: F401
        import playwright  # noqa: F401
    except ImportError as error:
        return f"{error.name} is not installed: pip install -e .[notebooks,dev]"
    return None


@pytest.fixture(scope="session")
def browser() -> None:
    """Skips where there is no browser, saying how to get one; in CI that is a failure."""
    missing = what_is_missing()
    if missing and os.environ.get("CI") == "true":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)


@pytest.fixture(scope="session")
def private(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where JupyterLab and the browser keep what is their own."""
    return tmp_path_factory.mktemp("private")


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lab.shadow_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="session")
def server(browser: None, repository: Path, private: Path) -> Iterator[str]:
    with lab.jupyterlab(repository, private) as address:
        yield address


class Notebooks:
    """Writes small notebooks into the repository and opens them."""

    def __init__(self, repository: Path, server: str, private: Path) -> None:
        self.folder = repository / "notebooks"
        self._server, self._private = server, private

    def write(self, name: str, cells: Sequence[dict]) -> str:
        path = self.folder / f"{name}.ipynb"
        write(canonicalise({"cells": list(cells)}, path), path)
        return f"notebooks/{name}.ipynb"

    def small(self, name: str, *sources: str) -> str:
        """A notebook of the set-up cell and these code cells."""
        return self.write(
            name,
            [
                {"cell_type": "code", "source": text, "outputs": [], "metadata": {}}
                for text in (setup_source(), *sources)
            ],
        )

    def open(self, path: str):
        return lab.open_notebook(self._server, path, self._private)


@pytest.fixture
def notebooks(repository: Path, server: str, private: Path) -> Notebooks:
    return Notebooks(repository, server, private)
