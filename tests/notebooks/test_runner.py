"""Execution with real kernels, on tiny notebooks."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

from course_lib.notebooks.__main__ import differing, find, main, refresh, run
from course_lib.notebooks.canonical import read
from course_lib.notebooks.runner import NotebookError, execute
from tests.notebooks.conftest import code, markdown, notebook

PLOT = "import matplotlib.pyplot as plt\n\nplt.plot([1, 3, 2])\nplt.show()"


def text(cell) -> str:
    return "".join("".join(output.get("text", "")) for output in cell["outputs"])


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """A notebook refreshed once: prints, a value, a figure."""
    from course_lib.notebooks.canonical import canonicalise, write

    path = tmp_path_factory.mktemp("tree") / "notebooks" / "90_plain.ipynb"
    cells = [
        markdown("# Plain"),
        code("import os\nimport sys\n\nprint(sys.executable)\nprint(os.getcwd())"),
        code("6 * 7"),
        code("for i in range(3):\n    print(i)"),
        code(PLOT),
    ]
    write(canonicalise(notebook(*cells), path), path)
    assert refresh([path]) == 0
    return path


def test_the_kernel_is_this_interpreter_in_the_notebooks_folder(plain: Path):
    cells = read(plain)["cells"]
    assert text(cells[1]).split() == [sys.executable, str(plain.resolve().parent)]


def test_outputs_are_there(plain: Path):
    cells = read(plain)["cells"]
    assert "".join(cells[2]["outputs"][0]["data"]["text/plain"]) == "42"
    assert text(cells[3]) == "0\n1\n2\n"
    assert "image/png" in cells[4]["outputs"][0]["data"]


def test_a_second_refresh_gives_the_same_bytes(plain: Path, capsys):
    before = plain.read_bytes()
    assert refresh([plain]) == 0
    assert plain.read_bytes() == before
    assert "no cell changed" in capsys.readouterr().out


def test_run_leaves_the_tree_clean(plain: Path, tmp_path: Path, capsys):
    before = plain.read_bytes()
    assert run([plain], tmp_path / "out") == 0
    assert (tmp_path / "out" / plain.name).read_bytes() == before
    assert plain.read_bytes() == before
    assert [p.name for p in plain.parent.iterdir()] == [plain.name]
    progress = capsys.readouterr().err.splitlines()
    assert len(progress) == 4 and "[ 4/4]" in progress[-1]


def test_an_error_names_notebook_cell_source_and_traceback(put, capsys):
    path = put(
        notebook(code("print(1)"), code("x = {}\nx['missing']")), "90_bad.ipynb", "notebooks"
    )
    before = path.read_bytes()
    assert refresh([path]) == 1
    said = capsys.readouterr().err
    for wanted in ("90_bad.ipynb, code cell 2", "    x['missing']", "KeyError: 'missing'"):
        assert wanted in said
    assert "\x1b[" not in said
    assert said.count("    x['missing']") == 1
    assert path.read_bytes() == before


def test_run_keeps_what_ran_before_an_error(put, tmp_path: Path, capsys):
    path = put(notebook(code("print(1)"), code("1 / 0")), "90_bad.ipynb", "notebooks")
    assert run([path], tmp_path / "out") == 1
    cells = read(tmp_path / "out" / "90_bad.ipynb")["cells"]
    assert text(cells[0]) == "1\n"


def test_no_kernel_is_left_behind(put):
    path = put(notebook(code("import os\n\nprint(os.getpid())")), "90_pid.ipynb", "notebooks")
    done = execute(read(path), path)
    with pytest.raises(ProcessLookupError):
        os.kill(int(text(done["cells"][0])), 0)


def test_a_cell_that_hangs_is_stopped_in_time(put):
    path = put(notebook(code("import time\n\ntime.sleep(60)")), "90_slow.ipynb", "notebooks")
    with pytest.raises(NotebookError, match="longer than 2 seconds"):
        execute(read(path), path, timeout=2)


def test_a_cell_that_varies_is_named(put, capsys):
    cells = [code("print(1)"), code("import os\n\nprint(os.urandom(4).hex())")]
    path = put(notebook(*cells), "90_random.ipynb", "notebooks")
    assert refresh([path], twice=True) == 1
    assert "two runs differ in cell 2\n" in capsys.readouterr().err


def test_differing_names_changed_and_new_cells():
    old = notebook(code("a"), code("b"))
    new = notebook(code("a"), code("c"), code("d"))
    assert differing(old, new) == [2, 3]


def test_notebooks_are_found_by_their_start(tmp_path: Path):
    for folder, name in (("notebooks", "00_a"), ("notebooks", "01_b"), ("solutions", "00_a")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / f"{name}.ipynb").touch()
    names = [f"{p.parent.name}/{p.stem}" for p in find(["00"], tmp_path)]
    assert names == ["notebooks/00_a", "solutions/00_a"]
    assert len(find([], tmp_path)) == 3
    assert len(find([], tmp_path, solutions=False)) == 2
    with pytest.raises(SystemExit, match="no notebook '77'"):
        find(["77"], tmp_path)


def test_check_and_tidy_as_commands(put, capsys):
    path = put(notebook(code("print(1)")))
    assert main(["check", str(path)]) == 1
    assert "[outputs]" in capsys.readouterr().out
    path.write_text(path.read_text(encoding="utf-8").replace("\n ", "\n   "), encoding="utf-8")
    assert main(["tidy", str(path)]) == 0
    assert main(["check", str(path)]) == 1
    assert "[bytes]" not in capsys.readouterr().out
