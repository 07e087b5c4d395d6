"""Small notebooks on disk, in folders of the names the rules look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from course_lib.notebooks.canonical import canonicalise, write
from course_lib.setup_cell import setup_source

Notebook = dict[str, Any]


def markdown(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def code(source: str, *outputs: dict[str, Any], tags: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "metadata": {"tags": list(tags)} if tags else {},
        "source": source,
        "outputs": list(outputs),
        "execution_count": None,
    }


def stream(text: str, name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


def notebook(*cells: dict[str, Any]) -> Notebook:
    return {"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def clean_solution() -> Notebook:
    """A notebook that keeps every rule, as a solutions notebook has them."""
    title = "# Solutions\n\n[![Open in Colab](x)](y)"
    return notebook(
        markdown(title),
        code(setup_source(), stream("course_lib ready\n"), tags=("setup",)),
        *(code(f"print({i})", stream(f"{i}\n")) for i in range(4)),
    )


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    """Writes a notebook into a temporary folder, in canonical form unless told otherwise."""

    def write_it(content: Notebook, name: str = "90_try.ipynb", folder: str = "solutions") -> Path:
        path = tmp_path / folder / name
        write(canonicalise(content, path), path)
        return path

    return write_it
