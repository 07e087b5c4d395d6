"""`import course_lib`, and its early stages, load no heavy library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "transformers", "datasets", "numpy", "matplotlib", "ipywidgets", "sklearn"}
LIGHT = (
    "course_lib",
    "course_lib.dialogue",
    "course_lib.sources",
    "course_lib.cleaning",
    "course_lib.annotation",
)


def heavy_after(statement: str, root: Path) -> set[str]:
    """Heavy libraries in sys.modules of a fresh Python after one statement."""
    probe = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
    command = [sys.executable, "-c", probe]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return HEAVY & set(found.stdout.split())


@pytest.mark.parametrize("module", LIGHT)
def test_import_is_light(module: str, root: Path) -> None:
    assert heavy_after(f"import {module}", root) == set()


def test_the_probe_sees_a_heavy_import(root: Path) -> None:
    assert "numpy" in heavy_after("import numpy", root)


def test_the_package_says_its_version(root: Path) -> None:
    import course_lib

    assert course_lib.__version__.count(".") == 2
    assert (root / "course_lib" / "py.typed").is_file()
