"""What a committed notebook must be like; shared by the `check` command and the tests."""

from __future__ import annotations

import ast
import re
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.notebooks.canonical import (
    METADATA,
    SETUP_TAG,
    Cell,
    Notebook,
    chapter_prefix,
    code_cells,
    dumps,
    read,
    relative_path,
    tags,
    text_of,
)
from course_lib.setup_cell import badge, setup_source

MEDIAN_LINES, MAX_LINES = 6, 25
COMPARED_SHARE = 0.8
MARKDOWN_SHARE = (0.50, 0.65)
CHAPTER_CELLS = (35, 75)

_NOT_COMPARED_TAGS = {"nbval-ignore-output", "nbval-skip"}
_NOT_COMPARED_MARK = re.compile(r"^\s*#\s*(NBVAL_IGNORE_OUTPUT|NBVAL_SKIP|PYTEST_VALIDATE_IGNORE)")
_MACHINE_PATH = re.compile(
    r"(?<![\w./:-])/(?:home|work|tmp|root|Users)/[\w.-]+|\b[A-Za-z]:\\+Users\\|/site-packages/"
)
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{6,}")
_PRINTING = {"print", "display", "claim", "show"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule: `rule` is its short name, `cell` the number of the cell, from 1, or None."""

    rule: str
    path: str
    cell: int | None
    message: str

    def __str__(self) -> str:
        where = f"{self.path}, cell {self.cell}" if self.cell else self.path
        return f"{where}: {self.message} [{self.rule}]"


Problem = tuple[int | None, str]
Rule = Callable[[Notebook, Path], Iterator[Problem]]
RULES: dict[str, Rule] = {}


def inspect_notebook(path: str | Path) -> list[Finding]:
    """Every broken rule of one notebook file."""
    notebook = read(path)
    return [
        Finding(name, str(path), cell, message)
        for name, rule in RULES.items()
        for cell, message in rule(notebook, Path(path))
    ]


def _rule(name: str) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        RULES[name] = rule
        return rule

    return register


def _code(notebook: Notebook) -> Iterator[tuple[int, Cell]]:
    for number, cell in enumerate(notebook["cells"], 1):
        if cell["cell_type"] == "code":
            yield number, cell


def _texts(output: dict[str, Any]) -> Iterator[str]:
    """Every text of an output, pictures left out."""
    if "text" in output:
        yield text_of(output["text"])
    yield from output.get("traceback", [])
    for mime, value in output.get("data", {}).items():
        if isinstance(value, (str, list)) and not mime.startswith("image/"):
            yield text_of(value)


@_rule("counts")
def _counts(notebook: Notebook, path: Path) -> Iterator[Problem]:
    for expected, (number, cell) in enumerate(_code(notebook), 1):
        found = cell.get("execution_count")
        if found != expected:
            yield number, f"execution count {found} instead of {expected}: refresh the notebook"


@_rule("outputs")
def _outputs(notebook: Notebook, path: Path) -> Iterator[Problem]:
    for number, cell in _code(notebook):
        if not cell.get("outputs") and _should_print(text_of(cell["source"])):
            yield number, "the cell prints or shows something, but holds no output"


@_rule("errors")
def _errors(notebook: Notebook, path: Path) -> Iterator[Problem]:
    for number, cell in _code(notebook):
        for output in cell.get("outputs", []):
            if output["output_type"] == "error":
                yield number, f"an error was committed: {output.get('ename')}"


@_rule("stderr")
def _stderr(notebook: Notebook, path: Path) -> Iterator[Problem]:
    for number, cell in _code(notebook):
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                first = text_of(output["text"]).strip().splitlines() or [""]
                yield number, f"noise on the error stream: {first[0][:80]!r}"


@_rule("machine paths")
def _machine_paths(notebook: Notebook, path: Path) -> Iterator[Problem]:
    for number, cell in enumerate(notebook["cells"], 1):
        texts = [text_of(cell["source"])]
        texts += [text for output in cell.get("outputs", []) for text in _texts(output)]
        for text in texts:
            if found := _MACHINE_PATH.search(text):
                yield number, f"a path of one machine: {found[0]!r}"


@_rule("addresses")
def _addresses(notebook: Notebook, path: Path) -> Iterator[Problem]:
    for number, cell in _code(notebook):
        for output in cell.get("outputs", []):
            if any(_ADDRESS.search(text) for text in _texts(output)):
                yield number, "an output holds a memory address, which no two runs share"


@_rule("lengths")
def _lengths(notebook: Notebook, path: Path) -> Iterator[Problem]:
    lengths = {n: len(text_of(cell["source"]).splitlines()) for n, cell in _code(notebook)}
    for number, length in lengths.items():
        if length > MAX_LINES:
            yield number, f"{length} lines of code; at most {MAX_LINES}"
        if length == 0:
            yield number, "an empty code cell"
    own = [lengths[n] for n, cell in _code(notebook) if SETUP_TAG not in tags(cell)]
    if own and statistics.median(own) > MEDIAN_LINES:
        median = statistics.median(own)
        yield None, f"the median code cell has {median:g} lines; at most {MEDIAN_LINES}"


@_rule("ids")
def _ids(notebook: Notebook, path: Path) -> Iterator[Problem]:
    prefix, seen = chapter_prefix(path), set()
    for number, cell in enumerate(notebook["cells"], 1):
        name = cell.get("id", "")
        if not re.fullmatch(rf"{prefix}-[0-9a-f]{{8}}", name):
            yield number, f"the id {name!r} was not given by the course's writer: tidy the notebook"
        if name in seen:
            yield number, f"the id {name!r} stands twice"
        seen.add(name)


@_rule("metadata")
def _metadata(notebook: Notebook, path: Path) -> Iterator[Problem]:
    if notebook.get("metadata") != METADATA:
        yield None, "the notebook's metadata is more or other than the minimum: tidy it"
    if (notebook.get("nbformat"), notebook.get("nbformat_minor")) != (4, 5):
        yield None, "the format is not 4.5"
    for number, cell in enumerate(notebook["cells"], 1):
        extra = sorted(set(cell.get("metadata", {})) - {"tags"})
        if extra:
            yield number, f"cell metadata beyond tags: {', '.join(extra)}"


@_rule("bytes")
def _bytes(notebook: Notebook, path: Path) -> Iterator[Problem]:
    if dumps(notebook) != path.read_bytes().decode("utf-8"):
        yield None, "not written by the course's writer: tidy the notebook"


@_rule("compared")
def _compared(notebook: Notebook, path: Path) -> Iterator[Problem]:
    cells = code_cells(notebook)
    count = sum(_is_compared(cell) for cell in cells)
    if cells and count < COMPARED_SHARE * len(cells):
        yield (
            None,
            f"{count} of {len(cells)} code cells are compared; at least {COMPARED_SHARE:.0%}",
        )


@_rule("set-up cell")
def _setup_cell(notebook: Notebook, path: Path) -> Iterator[Problem]:
    places = list(_code(notebook))
    if not places or text_of(places[0][1]["source"]) != setup_source():
        number = places[0][0] if places else None
        yield number, "the first code cell is not the course's set-up cell"
    elif SETUP_TAG not in tags(places[0][1]):
        yield places[0][0], f"the set-up cell has no tag {SETUP_TAG!r}, so it is not renewed"


@_rule("badge")
def _badge(notebook: Notebook, path: Path) -> Iterator[Problem]:
    first = notebook["cells"][0] if notebook["cells"] else {}
    text = text_of(first.get("source", ""))
    if first.get("cell_type") != "markdown" or not text.startswith("# "):
        yield 1, "the first cell is not a title in Markdown"
    elif badge(relative_path(path)) not in text:
        yield 1, f"the first cell lacks the Colab badge of {relative_path(path)}"


@_rule("balance")
def _balance(notebook: Notebook, path: Path) -> Iterator[Problem]:
    if path.resolve().parent.name != "notebooks":
        return  # solutions are as long as their exercises are many
    cells = notebook["cells"]
    prose = sum(cell["cell_type"] == "markdown" for cell in cells) / max(len(cells), 1)
    low, high = MARKDOWN_SHARE
    if not low <= prose <= high:
        yield None, f"{prose:.0%} of the cells are Markdown; between {low:.0%} and {high:.0%}"
    if not CHAPTER_CELLS[0] <= len(cells) <= CHAPTER_CELLS[1]:
        yield None, f"{len(cells)} cells; a chapter has {CHAPTER_CELLS[0]} to {CHAPTER_CELLS[1]}"


def _is_compared(cell: Cell) -> bool:
    marked = any(_NOT_COMPARED_MARK.match(line) for line in text_of(cell["source"]).splitlines())
    return not marked and not _NOT_COMPARED_TAGS & set(tags(cell))


def _should_print(source: str) -> bool:
    """Whether a cell's top level calls print, display, claim or show, or ends in a value."""
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        body = ast.parse(TransformerManager().transform_cell(source)).body
    except SyntaxError:
        return False  # it would have stopped the run
    ends_in_value = bool(body) and isinstance(body[-1], ast.Expr) and _is_value(body[-1].value)
    return ends_in_value or any(_prints(statement) for statement in body)


def _is_value(expression: ast.expr) -> bool:
    """Whether an expression surely has a value; what a call returns may be None."""
    return not isinstance(expression, (ast.Call, ast.Await, ast.Yield))


def _prints(statement: ast.stmt) -> bool:
    if isinstance(statement, (ast.With, ast.For)):
        return any(_prints(inner) for inner in statement.body)
    if not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Call):
        return False
    function = statement.value.func
    name = getattr(function, "id", getattr(function, "attr", None))
    return name in _PRINTING
