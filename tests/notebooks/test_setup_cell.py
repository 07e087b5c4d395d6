"""The one set-up cell: found or cloned, nothing replaced, offline; also alone, as on Colab."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from course_lib import setup_cell
from course_lib.notebooks.canonical import Notebook, text_of
from course_lib.notebooks.hygiene import MAX_LINES
from course_lib.notebooks.runner import NotebookError, execute
from course_lib.setup_cell import (
    NEVER_TOUCH,
    SetupError,
    install_missing,
    installed_versions,
    repository_url,
    requirements,
    satisfied,
    set_environment,
    setup_source,
)
from tests.notebooks.conftest import code, notebook

ROOT = Path(__file__).resolve().parents[2]
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE")


def test_the_cell_is_short_and_names_the_one_address():
    assert len(setup_source().splitlines()) <= MAX_LINES
    assert f'"{repository_url()}"' in setup_source()
    assert repository_url() in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_offline_unless_online_is_asked_for():
    plain: dict[str, str] = {}
    set_environment(plain)
    assert [plain.get(name) for name in OFFLINE] == ["1"] * 4
    online = {"COURSE_ONLINE": "1"}
    set_environment(online)
    assert not set(OFFLINE) & set(online)
    chosen = {"HF_HUB_OFFLINE": "0"}
    set_environment(chosen)
    assert chosen["HF_HUB_OFFLINE"] == "0"


@pytest.mark.parametrize(
    ("wanted", "has", "enough"),
    [
        ("torch>=2.6", "2.13.0+cpu", True),
        ("torch>=2.6", "2.5.1", False),
        ("ipywidgets>=7.7.1", "7.7.1", True),
        ("ipywidgets>=7.7.1", "7.7.0", False),
        ("numpy>=1.26", "1.26.0", True),
        ("setuptools>=77", "1!2.0", False),
        ("Some_Name", "0.1", True),
    ],
)
def test_versions_compare_as_numbers(wanted: str, has: str, enough: bool):
    name = "some-name" if wanted.startswith("Some") else wanted.split(">=")[0]
    assert satisfied(wanted, {name: has}) is enough


def test_what_is_not_installed_is_not_satisfied():
    assert not satisfied("torch>=2.6", {})


def test_only_lower_bounds_are_understood():
    with pytest.raises(SetupError, match="lower bound"):
        satisfied("torch==2.6", {"torch": "2.6"})


def test_this_environment_needs_nothing():
    installed = installed_versions()
    assert [wanted for wanted in requirements() if not satisfied(wanted, installed)] == []


@pytest.fixture
def pip_calls(monkeypatch) -> list[tuple[list[str], str]]:
    """What pip would have been called with, and the constraints it would have had."""
    calls: list[tuple[list[str], str]] = []

    def record(command, **_):
        constraints = Path(command[command.index("--constraint") + 1]).read_text(encoding="utf-8")
        calls.append((command, constraints))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(setup_cell.subprocess, "run", record)
    return calls


def test_only_what_is_missing_is_installed_and_the_rest_is_pinned(pip_calls, monkeypatch):
    here = {"torch": "2.11.0+cu128", "numpy": "2.1.0", "ipywidgets": "7.7.1", "ftfy": "6.0"}
    monkeypatch.setattr(setup_cell, "installed_versions", lambda: here)
    needed = ["torch>=2.6", "numpy>=1.26", "ipywidgets>=7.7.1", "ftfy>=6.1", "sacrebleu>=2.4"]
    assert install_missing(needed) == ["ftfy>=6.1", "sacrebleu>=2.4"]
    [(command, constraints)] = pip_calls
    assert command[-2:] == ["ftfy>=6.1", "sacrebleu>=2.4"]
    assert constraints.splitlines() == [
        "torch==2.11.0+cu128",
        "numpy==2.1.0",
        "ipywidgets==7.7.1",
    ]


def test_nothing_missing_calls_no_pip(pip_calls):
    assert install_missing(requirements()) == []
    assert pip_calls == []


@pytest.mark.parametrize("name", NEVER_TOUCH)
def test_what_a_kernel_cannot_change_is_refused_with_advice(pip_calls, monkeypatch, name: str):
    monkeypatch.setattr(setup_cell, "installed_versions", lambda: {name: "1.0"})
    with pytest.raises(SetupError, match="course.py lab"):
        install_missing([f"{name}>=99"])
    assert pip_calls == []


def test_a_failing_pip_says_what_to_do(monkeypatch):
    monkeypatch.setattr(
        setup_cell.subprocess,
        "run",
        lambda command, **_: subprocess.CompletedProcess(command, 1, "", "no network"),
    )
    with pytest.raises(SetupError, match="no network\nCheck the network"):
        install_missing(["surely-missing>=1.0"])


# ---- a notebook alone in an empty folder, as on Colab

PIP_RECORDER = """\
import json, os, sys
place = sys.argv[sys.argv.index("--constraint") + 1]
with open(os.environ["PIP_RECORD"], "a") as file:
    file.write(json.dumps({"argv": sys.argv[1:], "constraints": open(place).read()}) + "\\n")
"""
SITECUSTOMIZE = "import google.colab  # a Colab kernel has it loaded\n"


def git(*arguments: str, folder: Path) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def colab(tmp_path: Path, monkeypatch) -> Path:
    """An empty folder; a stub google.colab, a pip that records, the course behind file://."""
    stubs, repo, content = tmp_path / "stubs", tmp_path / "repo", tmp_path / "content"
    (stubs / "google" / "colab").mkdir(parents=True)
    (stubs / "google" / "colab" / "__init__.py").touch()
    (stubs / "sitecustomize.py").write_text(SITECUSTOMIZE)
    (stubs / "pip").mkdir()
    (stubs / "pip" / "__init__.py").touch()
    (stubs / "pip" / "__main__.py").write_text(PIP_RECORDER)
    (repo / "notebooks").mkdir(parents=True)
    (repo / "notebooks" / ".keep").touch()
    (repo / "course_lib").mkdir()
    for name in ("pyproject.toml", "course_lib/__init__.py", "course_lib/setup_cell.py"):
        shutil.copy(ROOT / name, repo / name)
    git("init", "--quiet", folder=repo)
    commit(repo)
    content.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(stubs))
    monkeypatch.setenv("PIP_RECORD", str(tmp_path / "pip.jsonl"))
    monkeypatch.setenv("COURSE_REPO_URL", repo.as_uri())
    for name in OFFLINE:
        monkeypatch.delenv(name, raising=False)
    return content


def commit(repo: Path) -> None:
    git("add", "--all", folder=repo)
    git("commit", "--quiet", "--message", "x", folder=repo)


def require(repo: Path, wanted: str) -> None:
    pyproject = repo / "pyproject.toml"
    text = pyproject.read_text(encoding="utf-8")
    changed = text.replace("dependencies = [\n", f'dependencies = [\n    "{wanted}",\n', 1)
    assert changed != text
    pyproject.write_text(changed, encoding="utf-8")
    commit(repo)


def run_alone(content: Path, *more: str) -> list[str]:
    """Runs the set-up cell, then `more`, in a kernel whose folder is `content`; what they print."""
    cells: Notebook = notebook(code(setup_source()), *(code(source) for source in more))
    done = execute(cells, content / "alone.ipynb", timeout=60)
    return [
        "".join(text_of(output.get("text", "")) for output in cell["outputs"])
        for cell in done["cells"]
    ]


def pip_record(content: Path) -> list[dict]:
    record = content.parent / "pip.jsonl"
    return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []


def test_alone_it_clones_and_is_ready(colab: Path):
    shown = "import course_lib\nprint(course_lib.__file__)\nprint(os.getcwd())"
    flags = "print(os.environ['HF_HUB_OFFLINE'], 'google.colab' in sys.modules)"
    ready, places, offline = run_alone(colab, shown, flags)
    course = (colab / "course").resolve()
    assert ready == "course_lib ready\n"
    assert places.split() == [str(course / "course_lib" / "__init__.py"), str(course / "notebooks")]
    assert offline == "1 True\n"
    assert pip_record(colab) == []


def test_a_second_kernel_uses_the_clone(colab: Path, monkeypatch):
    run_alone(colab)
    monkeypatch.setenv("COURSE_REPO_URL", "file:///nowhere")
    assert run_alone(colab) == ["course_lib ready\n"]


def test_what_is_missing_is_installed_and_torch_never(colab: Path):
    require(colab.parent / "repo", "surely-missing>=1.0")
    assert run_alone(colab) == ["course_lib ready\n"]
    [call] = pip_record(colab)
    named = [part for part in call["argv"] if not part.startswith("-")]
    assert named[0] == "install" and named[-1] == "surely-missing>=1.0" and len(named) == 3
    pinned = {line.split("==")[0] for line in call["constraints"].splitlines()}
    assert {"torch", "numpy", "ipywidgets"} <= pinned
    assert not any(name in " ".join(call["argv"]) for name in NEVER_TOUCH)


def test_a_torch_that_is_too_old_is_not_replaced(colab: Path):
    require(colab.parent / "repo", "torch>=99")
    with pytest.raises(NotebookError, match="course.py lab"):
        run_alone(colab)
    assert pip_record(colab) == []


def test_no_repository_gives_a_clear_error(colab: Path, monkeypatch):
    monkeypatch.setenv("COURSE_REPO_URL", (colab / "nothing").as_uri())
    with pytest.raises(NotebookError, match="check the network, or set COURSE_REPO_URL"):
        run_alone(colab)


def test_inside_the_repository_nothing_is_cloned(colab: Path, monkeypatch):
    monkeypatch.setenv("COURSE_REPO_URL", "file:///nowhere")
    inside = colab.parent / "repo" / "notebooks"
    shown = "print(Path('..').resolve() == root.resolve(), os.getcwd())"
    ready, where = run_alone(inside, shown)
    assert (ready, where) == ("course_lib ready\n", f"True {os.path.realpath(inside)}\n")
