"""The table of failures names tests that are there."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.tiny import ROOT

TABLE = ROOT / "tests" / "PITFALLS.md"
NAME = re.compile(r"`([\w/]+\.py)::(\w+)`")


def rows(text: str) -> list[list[str]]:
    """The cells of every row of the tables, without their heads."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0] != "Failure"]


@cache
def functions(file: str) -> frozenset[str]:
    """The tests of a file in this folder; none where there is no such file."""
    path = ROOT / "tests" / file
    tree = ast.parse(path.read_text(encoding="utf-8") if path.is_file() else "")
    names = (node.name for node in tree.body if isinstance(node, ast.FunctionDef))
    return frozenset(name for name in names if name.startswith("test_"))


def faults(text: str) -> list[str]:
    """Rows of another form, rows without a test or a break, and tests that are not there."""
    found = [f"{file}::{name}" for file, name in NAME.findall(text)]
    missing = [name for name in found if name.split("::")[1] not in functions(name.split("::")[0])]
    bare = [
        " | ".join(row) for row in rows(text) if len(row) != 3 or not all(map(NAME.search, row[1:]))
    ]
    return missing + bare


def test_every_test_of_the_table_is_there() -> None:
    text = TABLE.read_text(encoding="utf-8")
    assert len(rows(text)) > 30
    assert faults(text) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("::test_broken_mask_is_caught`", "::test_broken_mask_is_cought`"),
        ("`test_stopping.py::", "`test_stoping.py::"),
        ("`test_losses.py::test_a_loss_of_nan_is_noticed`", "a loss of NaN"),
    ],
)
def test_a_wrong_name_and_a_missing_one_are_noticed(old: str, new: str) -> None:
    text = TABLE.read_text(encoding="utf-8")
    assert old in text
    assert faults(text.replace(old, new))
