"""The committed notebooks keep every rule, and every rule catches what it is there for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from course_lib.notebooks.canonical import canonicalise, dumps, read, write
from course_lib.notebooks.hygiene import RULES, inspect_notebook
from tests.notebooks.conftest import clean_solution, code, markdown, notebook, stream

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = sorted([*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "solutions").glob("*.ipynb")])


def test_there_are_notebooks_to_check():
    assert {path.parent.name for path in COMMITTED} == {"notebooks", "solutions"}


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_committed_notebook(path: Path):
    findings = [str(finding) for finding in inspect_notebook(path)]
    assert not findings, "\n".join(findings)


def test_solutions_belong_to_a_chapter():
    chapters = {path.name for path in COMMITTED if path.parent.name == "notebooks"}
    solutions = {path.name for path in COMMITTED if path.parent.name == "solutions"}
    assert solutions <= chapters


def test_a_clean_notebook_has_no_finding(put):
    assert inspect_notebook(put(clean_solution())) == []


# ---- a planted violation of each rule; `put` has made the notebook clean before it


def _set_count(nb: dict[str, Any], value: Any) -> None:
    nb["cells"][2]["execution_count"] = value


def _set(place: int, key: str, value: Any):
    def plant(nb: dict[str, Any]) -> None:
        nb["cells"][place][key] = value

    return plant


def _add(cell: dict[str, Any], place: int | None = None):
    """Puts a cell in and renews ids and counts, so that only the planted rule is broken."""

    def plant(nb: dict[str, Any]) -> None:
        nb["cells"].insert(len(nb["cells"]) if place is None else place, cell)
        nb["cells"] = canonicalise(nb, "solutions/90_try.ipynb")["cells"]

    return plant


def _long_cells(nb: dict[str, Any]) -> None:
    for cell in nb["cells"][2:]:
        cell["source"] = "\n".join(f"x = {i}" for i in range(7))
        cell["outputs"] = []


def _error(nb: dict[str, Any]) -> None:
    nb["cells"][3]["outputs"] = [
        {"output_type": "error", "ename": "ValueError", "evalue": "x", "traceback": ["x"]}
    ]


def _not_compared(nb: dict[str, Any]) -> None:
    nb["cells"][2]["metadata"] = {"tags": ["nbval-ignore-output"]}
    nb["cells"][3]["source"] = "# NBVAL_SKIP\nprint(1)"


def _html(text: str) -> dict[str, Any]:
    return {"output_type": "display_data", "metadata": {}, "data": {"text/html": text}}


PLANTED = [
    ("counts", _set(2, "execution_count", None)),
    ("counts", _set(2, "execution_count", 7)),
    ("outputs", _set(3, "outputs", [])),
    ("outputs", _add(code("for i in range(2):\n    print(i)"))),
    ("outputs", _add(code("x = 3\nx"))),
    ("outputs", _add(code("claim('a', True)"))),
    ("outputs", _add(code("[i for i in range(3)]"))),
    ("errors", _error),
    ("stderr", _add(code("x = 1", stream("UserWarning: old\n", "stderr")))),
    ("machine paths", _add(code("print(p)", stream("saved to /home/ann/model\n")))),
    ("machine paths", _add(code("print(p)", stream("saved to /work/main/model\n")))),
    ("machine paths", _add(code("print(p)", stream("C:\\Users\\ann\\model\n")))),
    ("machine paths", _add(code("p = '/tmp/model'"))),
    ("machine paths", _add(markdown("see /root/notes"))),
    ("machine paths", _add(code("show()", _html("<a href='/home/ann'>x</a>")))),
    ("addresses", _add(code("print(f)", stream("<function f at 0x7f2a9c0d1e40>\n")))),
    ("lengths", _add(code("\n".join(f"x = {i}" for i in range(26))))),
    ("lengths", _add(code(""))),
    ("lengths", _long_cells),
    ("ids", _set(3, "id", "f3a9d2c1")),
    ("ids", lambda nb: nb["cells"][3].update(id=nb["cells"][2]["id"])),
    ("metadata", lambda nb: nb["metadata"].update(widgets={})),
    ("metadata", lambda nb: nb["metadata"]["kernelspec"].update(display_name="mine")),
    ("metadata", _set(3, "metadata", {"execution": {"iopub.execute_input": "10:00"}})),
    ("metadata", lambda nb: nb.update(nbformat_minor=4)),
    ("compared", _not_compared),
    ("set-up cell", _set(1, "source", "import course_lib")),
    ("set-up cell", _set(1, "metadata", {})),
    ("set-up cell", _add(code("print(0)", stream("0\n")), place=1)),
    ("badge", _set(0, "source", "# Solutions")),
    ("badge", _set(0, "source", "Solutions")),
    ("badge", _add(code("x = 1"), place=0)),
]


@pytest.mark.parametrize(("rule", "plant"), PLANTED, ids=lambda value: str(value)[:20])
def test_a_planted_violation_is_found(put, rule: str, plant):
    path = put(clean_solution())
    content = read(path)
    plant(content)
    write(content, path)
    assert rule in {finding.rule for finding in inspect_notebook(path)}


def test_other_bytes_for_the_same_content_are_found(put):
    path = put(clean_solution())
    path.write_text(dumps(read(path)).replace("\n ", "\n  "), encoding="utf-8")
    assert {finding.rule for finding in inspect_notebook(path)} == {"bytes"}


def test_a_badge_of_another_notebook_is_found(put, tmp_path):
    path = put(clean_solution())
    other = path.rename(path.with_name("91_other.ipynb"))
    assert "badge" in {finding.rule for finding in inspect_notebook(other)}


@pytest.mark.parametrize(("prose", "total"), [(5, 40), (38, 40), (10, 19)])
def test_a_chapter_out_of_balance_is_found(put, prose: int, total: int):
    cells = [markdown("# Title")] + [markdown(f"text {i}") for i in range(prose - 1)]
    cells += [code(f"x = {i}") for i in range(total - prose)]
    path = put(notebook(*cells), folder="notebooks")
    assert "balance" in {finding.rule for finding in inspect_notebook(path)}


def test_a_balanced_chapter_passes_the_balance(put):
    cells = [markdown(f"text {i}") for i in range(23)] + [code(f"x = {i}") for i in range(17)]
    findings = inspect_notebook(put(notebook(*cells), folder="notebooks"))
    assert "balance" not in {finding.rule for finding in findings}


def test_no_rule_is_without_a_planted_violation():
    assert set(RULES) == {rule for rule, _ in PLANTED} | {"bytes", "balance"}


@pytest.mark.parametrize(
    "text", ["https://example.org/home/page", "either/or", "a/work/b", "data/tmp/x", "homework/1"]
)
def test_what_only_looks_like_a_machine_path_passes(put, text: str):
    content = clean_solution()
    content["cells"].append(code("print(x)", stream(text + "\n")))
    assert inspect_notebook(put(content)) == []


def test_what_is_no_notebook_is_named(tmp_path: Path):
    path = tmp_path / "x.ipynb"
    path.write_text("{broken", encoding="utf-8")
    with pytest.raises(ValueError, match="x.ipynb is no notebook"):
        inspect_notebook(path)
