"""Executes notebooks with the running interpreter, a progress line per cell."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from course_lib.notebooks.canonical import Cell, Notebook, code_cells, text_of

CELL_TIMEOUT = 900  # seconds; a shared machine may give a quarter of what it has
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")

Progress = Callable[[int, int, float, Cell], None]


class NotebookError(RuntimeError):
    """A cell that stopped: which notebook, which code cell (from 1), its source, the traceback.

    `notebook` holds what ran until then.
    """

    def __init__(
        self, path: str | Path, number: int, source: str, trace: str, notebook: Notebook
    ) -> None:
        self.path, self.number, self.source, self.trace = Path(path), number, source, trace
        self.notebook = notebook
        indented = "\n".join(f"    {line}" for line in source.splitlines())
        super().__init__(f"{path}, code cell {number} stopped:\n{indented}\n\n{trace}")


def execute(
    notebook: Notebook,
    path: str | Path,
    *,
    timeout: int = CELL_TIMEOUT,
    progress: Progress | None = None,
) -> Notebook:
    """Runs every code cell in a fresh kernel of this interpreter; outputs come into a new notebook.

    The working directory is the folder of `path`, as when a learner opens it there. `timeout` is
    seconds for one cell. Raises NotebookError at the first cell that stops.
    """
    import nbformat

    node = nbformat.from_dict(_blank(notebook))
    total = len(code_cells(node))
    with _kernel(node, Path(path).resolve().parent, timeout) as client:
        number = 0
        for index, cell in enumerate(node["cells"]):
            if cell["cell_type"] != "code":
                continue
            number += 1
            started = time.monotonic()
            _execute_cell(client, node, index, number, path)
            if progress is not None:
                progress(number, total, time.monotonic() - started, cell)
    result: Notebook = _plain(node)
    return result


def print_progress(name: str) -> Progress:
    """A progress callback that writes one line a cell to the error stream."""

    def line(number: int, total: int, seconds: float, cell: Cell) -> None:
        first = next(iter(text_of(cell["source"]).splitlines()), "")
        print(
            f"{name}  [{number:>2}/{total}]  {seconds:6.1f} s  {first[:60]}",
            file=sys.stderr,
            flush=True,
        )

    return line


def _blank(notebook: Notebook) -> Notebook:
    """The notebook without outputs, as nbformat 4.5."""
    cells = []
    for index, cell in enumerate(notebook["cells"]):
        kept = {key: cell.get(key) for key in ("cell_type", "metadata")} | {
            "id": cell.get("id") or f"cell-{index}",
            "source": text_of(cell["source"]),
        }
        if cell["cell_type"] == "code":
            kept |= {"outputs": [], "execution_count": None}
        cells.append(kept)
    metadata = notebook.get("metadata", {})
    return {"cells": cells, "metadata": dict(metadata), "nbformat": 4, "nbformat_minor": 5}


def _plain(value: Any) -> Any:
    """nbformat's nodes as plain dicts and lists."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


@contextmanager
def _kernel(node: Any, folder: Path, timeout: int) -> Iterator[Any]:
    """A client whose kernel is this interpreter, whatever kernels are installed."""
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    class RunningInterpreter(KernelSpecManager):
        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            command += ["--log-level=ERROR"]  # it warns on every start of what is always so
            return KernelSpec(argv=command, display_name="Python 3", language="python")

    with tempfile.TemporaryDirectory() as profile:
        client = NotebookClient(
            node,
            km=AsyncKernelManager(kernel_spec_manager=RunningInterpreter()),
            timeout=timeout,
            store_widget_state=False,
            record_timing=False,
            shutdown_kernel="immediate",
            resources={"metadata": {"path": str(folder)}},
        )
        # Without a profile of its own, a learner's start-up files would run in every chapter.
        # cleanup_kc: a client does not stop the kernel of a manager that it was given.
        environment = os.environ | {"IPYTHONDIR": profile}
        with client.setup_kernel(env=environment, cleanup_kc=True):
            yield client


def _execute_cell(client: Any, node: Any, index: int, number: int, path: str | Path) -> None:
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    cell = node["cells"][index]
    try:
        client.execute_cell(cell, index)
        return
    except CellExecutionError as stopped:
        errors = [output for output in cell["outputs"] if output["output_type"] == "error"]
        lines = errors[-1]["traceback"] if errors else [str(stopped)]
        trace = _ANSI.sub("", "\n".join(lines))
    except CellTimeoutError:
        trace = f"It ran longer than {client.timeout} seconds."
    except DeadKernelError:
        trace = "The kernel died: often the machine ran out of memory."
    raise NotebookError(path, number, text_of(cell["source"]), trace, _plain(node))
