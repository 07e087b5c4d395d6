"""`python -m course_lib.notebooks run | refresh | tidy | check`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from course_lib.notebooks.canonical import Notebook, canonicalise, dumps, read, text_of, write
from course_lib.notebooks.hygiene import inspect_notebook
from course_lib.notebooks.runner import CELL_TIMEOUT, NotebookError, execute, print_progress
from course_lib.setup_cell import ROOT


def find(names: Sequence[str], root: Path = ROOT, *, solutions: bool = True) -> list[Path]:
    """The notebooks that `names` stand for: a path, a name, or a start of one ("00"); none: all.

    Raises SystemExit that names what was not found.
    """
    folders = ["notebooks", "solutions"] if solutions else ["notebooks"]
    everything = [p for folder in folders for p in sorted((root / folder).glob("*.ipynb"))]
    if not names:
        return everything
    chosen: list[Path] = []
    for name in names:
        direct = Path(name)
        found = [direct] if direct.is_file() else [p for p in everything if p.name.startswith(name)]
        if not found:
            raise SystemExit(f"There is no notebook {name!r} in {' or '.join(folders)}.")
        chosen += [path for path in found if path not in chosen]
    return chosen


def run(paths: Sequence[Path], out: Path, timeout: int = CELL_TIMEOUT) -> int:
    """Executes copies into `out` (solutions into `out`/solutions); returns how many stopped."""
    failed = 0
    for path in paths:
        folder = out / "solutions" if path.resolve().parent.name == "solutions" else out
        try:
            done = execute(read(path), path, timeout=timeout, progress=print_progress(path.stem))
        except NotebookError as error:
            failed += 1
            done = error.notebook
            print(f"\n{error}\n", file=sys.stderr)
        write(canonicalise(done, path), folder / path.name)
        print(folder / path.name)
    return failed


def refresh(paths: Sequence[Path], timeout: int = CELL_TIMEOUT, twice: bool = False) -> int:
    """Renews the committed outputs; returns how many stopped or, run twice, came out differently.

    A notebook that stops leaves its file untouched.
    """
    failed = 0
    for path in paths:
        try:
            fresh = _fresh(path, timeout)
            unstable = differing(fresh, _fresh(path, timeout)) if twice else []
        except NotebookError as error:
            failed += 1
            print(f"\n{error}\n{path} is left as it was.\n", file=sys.stderr)
            continue
        changed = differing(read(path), fresh)
        write(fresh, path)
        print(f"{path}: {_cells(changed)} changed")
        if unstable:
            failed += 1
            print(f"{path}: two runs differ in {_cells(unstable)}", file=sys.stderr)
    return failed


def tidy(paths: Sequence[Path]) -> int:
    """Brings notebooks into the canonical form without executing them."""
    for path in paths:
        tidied = canonicalise(read(path), path)
        if dumps(tidied) != path.read_text(encoding="utf-8"):
            write(tidied, path)
            print(f"{path}: tidied")
    return 0


def check(paths: Sequence[Path]) -> int:
    """Prints every broken hygiene rule; returns how many."""
    findings = [finding for path in paths for finding in inspect_notebook(path)]
    for finding in findings:
        print(finding)
    if not findings:
        print(f"{len(paths)} notebooks, nothing found")
    return len(findings)


def differing(before: Notebook, after: Notebook) -> list[int]:
    """Numbers (from 1) of the cells of `after` whose source or outputs differ from `before`."""
    old, new = before["cells"], after["cells"]
    return [
        number
        for number, cell in enumerate(new, 1)
        if number > len(old) or _substance(old[number - 1]) != _substance(cell)
    ]


def _substance(cell: dict[str, object]) -> str:
    bare = {"cell_type": cell["cell_type"], "outputs": cell.get("outputs", [])}
    source = text_of(cell["source"])  # type: ignore[arg-type]
    return dumps({"cells": [bare | {"source": source}]})


def _cells(numbers: Sequence[int]) -> str:
    if not numbers:
        return "no cell"
    return ("cell " if len(numbers) == 1 else "cells ") + ", ".join(map(str, numbers))


def _fresh(path: Path, timeout: int) -> Notebook:
    progress = print_progress(path.stem)
    prepared = canonicalise(read(path), path)  # the set-up cell that runs is the current one
    return canonicalise(execute(prepared, path, timeout=timeout, progress=progress), path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m course_lib.notebooks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, what in (
        ("run", "execute copies; the tree stays clean"),
        ("refresh", "execute and renew the committed outputs"),
        ("tidy", "canonical form without executing"),
        ("check", "the hygiene check"),
    ):
        command = commands.add_parser(name, help=what, description=what)
        command.add_argument("names", nargs="*", help="paths, names or their starts; default: all")
        if name in ("run", "refresh"):
            command.add_argument("--timeout", type=int, default=CELL_TIMEOUT, help="s per cell")
    run_command = commands.choices["run"]
    run_command.add_argument("--out", type=Path, default=ROOT / "_build" / "notebooks")
    run_command.add_argument("--solutions", action="store_true", help="the solutions as well")
    commands.choices["refresh"].add_argument(
        "--twice", action="store_true", help="run twice and name the cells that differ"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    solutions = options.command != "run" or options.solutions
    paths = find(options.names, solutions=solutions)
    if options.command == "run":
        failed = run(paths, options.out, options.timeout)
    elif options.command == "refresh":
        failed = refresh(paths, options.timeout, options.twice)
    else:
        failed = {"tidy": tidy, "check": check}[options.command](paths)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
