"""course.py: installs once, never takes half an installation for a whole one, says what is missing.

The environment is a stand-in: `.venv/bin/python` is a small program that records how it is called.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

import course

posix = pytest.mark.skipif(os.name == "nt", reason="the stand-in is a script with a #! line")

# Logs each call, answers the probes, and does as STAND_IN says when pip installs.
STAND_IN = """#!{python}
import json, os, pathlib, sys
arguments = sys.argv[1:]
if arguments[0] == "-c":
    print("3 11" if "import pip" in arguments[1] else os.environ.get("STAND_IN_TORCH", ""))
    sys.exit()
with open({log!r}, "a") as log:
    log.write(json.dumps(arguments) + "\\n")
if arguments[:2] == ["-m", "pip"]:
    print("pip says something on stdout")
    print("pip says something on stderr", file=sys.stderr)
    if "--report" in arguments:
        needs = os.environ.get("STAND_IN_NEEDS", "filelock").split()
        item = {{"metadata": {{"name": "torch", "requires_dist": needs}}}}
        report = pathlib.Path(arguments[arguments.index("--report") + 1])
        report.write_text(json.dumps({{"install": [item]}}))
    print(os.environ.get("STAND_IN_SAYS", ""), file=sys.stderr)
    sys.exit(int(os.environ.get("STAND_IN_FAILS", "0")))
print(json.dumps({{name: value for name, value in os.environ.items()}}))
"""


class House:
    """A copy of the checkout's set-up files with a stand-in for the environment."""

    def __init__(self, root: Path, source: Path) -> None:
        self.root, self.log = root, root / "calls.log"
        for name in ("course.py", "pyproject.toml", "constraints.txt"):
            shutil.copy(source / name, root / name)

    def build(self) -> None:
        """What `python -m venv` would leave."""
        python = course.venv_python(self.root)
        python.parent.mkdir(parents=True, exist_ok=True)
        python.write_text(STAND_IN.format(python=sys.executable, log=str(self.log)))
        python.chmod(0o755)

    def calls(self) -> list[list[str]]:
        """How the stand-in was called since the last time this was asked."""
        if not self.log.exists():
            return []
        calls = [json.loads(line) for line in self.log.read_text().splitlines()]
        self.log.unlink()
        return calls

    def installs(self) -> list[list[str]]:
        return [call for call in self.calls() if call[:3] == ["-m", "pip", "install"]]


@pytest.fixture
def house(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    built = House(tmp_path, root)
    monkeypatch.setattr(course, "make_venv", lambda _: built.build())
    monkeypatch.setattr(course, "has_nvidia", lambda: False)
    return built


# --- Once, and whole ---------------------------------------------------------------------------


@posix
def test_the_second_call_installs_nothing(house: House) -> None:
    assert course.ensure(house.root, "demo") > 0
    assert len(house.installs()) == 2  # the look at torch, then the installation
    started = time.perf_counter()
    assert course.ensure(house.root, "demo") == 0.0
    assert time.perf_counter() - started < 2
    assert house.calls() == []


@posix
def test_a_larger_set_serves_a_smaller_one_and_not_the_reverse(house: House) -> None:
    course.ensure(house.root, "demo")
    assert course.ensure(house.root, "lab") > 0
    assert house.installs()[-1][-1] == ".[compare,notebooks]"
    assert course.ensure(house.root, "demo") == course.ensure(house.root, "run") == 0.0
    assert course.ensure(house.root, "test") > 0
    assert course.ensure(house.root, "lab") == 0.0


@posix
@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_a_changed_dependency_installs_again(house: House, name: str) -> None:
    course.ensure(house.root, "demo")
    with open(house.root / name, "a") as file:
        file.write("# changed\n")
    assert course.ensure(house.root, "demo") > 0


@posix
def test_a_changed_dependency_keeps_the_larger_set(house: House) -> None:
    course.ensure(house.root, "test")
    with open(house.root / "constraints.txt", "a") as file:
        file.write("# changed\n")
    course.ensure(house.root, "lab")
    assert house.installs()[-1][-1] == ".[compare,dev,notebooks]"


@posix
def test_windows_line_ends_are_no_change(house: House) -> None:
    course.ensure(house.root, "demo")
    text = (house.root / "constraints.txt").read_bytes()
    (house.root / "constraints.txt").write_bytes(text.replace(b"\n", b"\r\n"))
    assert course.ensure(house.root, "demo") == 0.0


@posix
def test_a_changed_python_installs_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    course.ensure(house.root, "demo")
    monkeypatch.setattr(course, "environment_python", lambda _: "3.12")
    assert course.ensure(house.root, "demo") > 0


@posix
def test_a_failed_installation_leaves_no_stamp(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    course.ensure(house.root, "demo")
    monkeypatch.setenv("STAND_IN_FAILS", "1")
    with pytest.raises(course.SetupError):
        course.ensure(house.root, "lab")
    assert not course.is_set_up(house.root, ())
    monkeypatch.delenv("STAND_IN_FAILS")
    assert course.ensure(house.root, "lab") > 0


@posix
def test_an_interrupted_installation_leaves_no_stamp(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    course.ensure(house.root, "demo")
    monkeypatch.setattr(course, "pip", interrupted)
    assert course.main(["lab"], house.root) == 130
    assert not course.is_set_up(house.root, ())


@posix
@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": "other", "extras": []}'])
def test_a_damaged_stamp_counts_as_none(house: House, text: str) -> None:
    course.ensure(house.root, "demo")
    (house.root / ".venv" / course.STAMP).write_text(text)
    assert not course.is_set_up(house.root, ())


@posix
def test_an_environment_whose_python_is_gone_is_made_again(house: House) -> None:
    course.ensure(house.root, "demo")
    course.venv_python(house.root).unlink()
    assert course.ensure(house.root, "demo") > 0
    assert course.venv_python(house.root).exists()


# --- What may be missing ------------------------------------------------------------------------


def test_an_old_python_is_told_so(root: Path) -> None:
    fake = (
        f"import sys; sys.version_info = (3, 9, 18); exec(open({str(root / 'course.py')!r}).read())"
    )
    found = subprocess.run([sys.executable, "-c", fake], capture_output=True, text=True)
    assert found.returncode == 1
    assert "needs Python 3.11 or newer; this is Python 3.9" in found.stderr


def test_an_old_python_can_read_the_file(root: Path) -> None:
    ast.parse((root / "course.py").read_text(encoding="utf-8"), feature_version=(3, 7))


def test_pyproject_asks_for_the_same_python(root: Path) -> None:
    bound = 'requires-python = ">={}.{}"'.format(*course.OLDEST)
    assert bound in (root / "pyproject.toml").read_text(encoding="utf-8")


def test_a_python_without_a_build_of_torch_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    course.check_python((3, 14, 2))
    monkeypatch.setattr(shutil, "which", lambda name: name if name == "python3.12" else None)
    with pytest.raises(course.SetupError, match=r"3\.11 to 3\.14(.|\n)*python3\.12 course\.py"):
        course.check_python((3, 15, 0))


@pytest.mark.parametrize(
    "machine",
    [
        ("linux", "x86_64", ""),
        ("linux", "aarch64", ""),
        ("win32", "win-amd64", ""),
        ("darwin", "arm64", "14.1"),
    ],
)
def test_a_machine_with_a_build_of_torch_is_taken(machine: tuple[str, str, str]) -> None:
    course.check_machine(*machine)


@pytest.mark.parametrize(
    "machine",
    [
        ("linux", "armv7l", ""),
        ("win32", "win32", ""),
        ("darwin", "x86_64", "15.0"),
        ("darwin", "arm64", "13.6"),
    ],
)
def test_a_machine_without_one_is_told_so(
    machine: tuple[str, str, str], house: House, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(course, "this_machine", lambda: machine)
    assert course.main(["demo"], house.root) == 1
    assert "no build for this machine" in capsys.readouterr().err
    assert not (house.root / ".venv").exists()


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_python_without_venv_is_told_how_to_get_it(
    module: str, root: Path, tmp_path: Path
) -> None:
    (tmp_path / f"{module}.py").write_text("raise ImportError('left out')")
    probe = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(root)!r}]; import course, pathlib;"
        f"sys.exit(course.main(['demo'], pathlib.Path({str(tmp_path)!r})))"
    )
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(root / name, tmp_path)
    found = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert found.returncode == 1
    assert f"no module '{module}'" in found.stderr
    assert "apt install python3-venv" in found.stderr
    assert "Traceback" not in found.stderr


Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(
    ("free", "what"), [(3.9e9, "4 GB needed for the environment"), (0.5e9, "0.5 GB free")]
)
def test_too_little_disk_is_told_before_anything_is_made(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: Any, free: float, what: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(5e9, 5e9 - free, free))
    assert course.main(["demo"], house.root) == 1
    assert what in capsys.readouterr().err
    assert not (house.root / ".venv").exists()


def test_a_small_temporary_folder_is_told(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def usage(place: Path) -> Usage:
        return Usage(1e11, 0, 9e9 if place == house.root else 0.2e9)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    assert course.main(["demo"], house.root) == 1
    assert "set TMPDIR" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_told(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def refused(**_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(course.tempfile, "TemporaryFile", refused)
    assert course.main(["demo"], house.root) == 1
    message = capsys.readouterr().err
    assert "cannot be written to (Permission denied)" in message
    assert str(house.root) in message


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_a_read_only_folder_is_noticed(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(course.SetupError, match="cannot be written"):
        course.check_writable(tmp_path)


@posix
@pytest.mark.parametrize(
    ("says", "told"),
    [
        ("NewConnectionError: Temporary failure in name resolution", "there is no network"),
        ("OSError: [Errno 28] No space left on device", "The disk is full"),
        ("ERROR: No matching distribution found", "pip could not install the packages"),
    ],
)
def test_a_failure_of_pip_is_explained(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: Any, says: str, told: str
) -> None:
    monkeypatch.setenv("STAND_IN_FAILS", "1")
    monkeypatch.setenv("STAND_IN_SAYS", says)
    assert course.main(["demo"], house.root) == 1
    message = capsys.readouterr().err
    assert told in message
    assert f"    {says}" in message.split("pip's last lines:")[1]


# --- Which torch --------------------------------------------------------------------------------


@posix
def test_cuda_is_not_fetched_for_a_machine_without_a_gpu(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("STAND_IN_NEEDS", "filelock nvidia-cublas==13")
    assert course.main(["lab"], house.root) == 1
    message = capsys.readouterr().err
    assert "python3 course.py lab --torch-index ADDRESS" in message
    assert "python3 course.py lab --allow-cuda" in message
    assert all("--dry-run" in call for call in house.installs())


@posix
@pytest.mark.parametrize("why", ["allowed", "gpu", "windows", "already there"])
def test_cuda_is_fetched_where_it_is_wanted(
    house: House, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    monkeypatch.setenv("STAND_IN_NEEDS", "nvidia-cublas==13")
    monkeypatch.setattr(course, "has_nvidia", lambda: why == "gpu")
    monkeypatch.setattr(sys, "platform", "win32" if why == "windows" else "linux")
    monkeypatch.setattr(course, "this_machine", lambda: ("linux", "x86_64", ""))
    if why == "already there":
        monkeypatch.setenv("STAND_IN_TORCH", course.pinned(house.root, "torch") + "+cpu")
    course.ensure(house.root, "demo", allow_cuda=why == "allowed")
    assert not any("--dry-run" in call for call in house.installs())


@posix
def test_the_index_serves_torch_alone(house: House) -> None:
    course.ensure(house.root, "demo", index="https://example.org/cpu")
    torch, rest = house.installs()
    assert torch[-1] == "torch"
    assert "--no-deps" in torch and "https://example.org/cpu" in torch
    assert rest[-1] == "." and "--index-url" not in rest


def test_the_index_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_TORCH_INDEX", "https://example.org/cpu")
    assert course.make_parser().parse_args(["lab"]).torch_index == "https://example.org/cpu"


def test_a_report_is_read(root: Path) -> None:
    def report(name: str, *needs: str) -> dict:
        return {"install": [{"metadata": {"name": name, "requires_dist": list(needs)}}]}

    assert course.wants_cuda(report("torch", "filelock", "nvidia-nccl-cu13==2; x == 'y'"))
    assert course.wants_cuda(report("torch", "cuda-bindings<14"))
    assert not course.wants_cuda(report("torch", "filelock", "sympy"))
    assert not course.wants_cuda({"install": []})
    assert course.pinned(root, "torch") == "2.13.0"


# --- What is run --------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize(
    ("given", "called"),
    [
        ("lab --no-browser", "-m jupyterlab notebooks/00_start_here.ipynb --no-browser"),
        ("lab notebooks/03.ipynb", "-m jupyterlab notebooks/03.ipynb"),
        (
            "demo --source sgd --path logs.json --json",
            "-m course_lib demo --source sgd --path logs.json --json",
        ),
        ("demo --allow", "-m course_lib demo --allow"),
        ("run 00", "-m course_lib.notebooks run 00"),
        ("refresh", "-m course_lib.notebooks refresh"),
        ("test tests/world -q", "-m pytest tests/world -q"),
    ],
)
def test_arguments_are_passed_on(house: House, given: str, called: str, capfd: Any) -> None:
    assert course.main(given.split(), house.root) == 0
    assert house.calls()[-1] == called.split()


@posix
def test_stdout_holds_what_the_demo_prints_and_nothing_else(house: House) -> None:
    house.build()
    command = [sys.executable, str(house.root / "course.py"), "demo", "--json"]
    first = subprocess.run(command, capture_output=True, text=True)
    assert "pip says something on stdout" in first.stderr
    assert float(json.loads(first.stdout)["COURSE_INSTALL_SECONDS"]) > 0
    second = subprocess.run(command, capture_output=True, text=True)
    assert json.loads(second.stdout)["COURSE_INSTALL_SECONDS"] == "0.0"
    assert second.stderr == ""


def test_children_are_offline_unless_asked_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in course.OFFLINE:
        monkeypatch.delenv(name, raising=False)
    values = course.child_environment(tmp_path, 0.0)
    assert all(values[name] == "1" for name in course.OFFLINE)
    assert values["PYTHONUTF8"] == "1"
    assert values["PATH"].startswith(str(course.venv_python(tmp_path).parent))
    monkeypatch.setenv("COURSE_ONLINE", "1")
    assert not set(course.OFFLINE) & set(course.child_environment(tmp_path, 0.0))


def write_report(path: Path, **counts: int) -> None:
    text = " ".join(f'{name}="{count}"' for name, count in counts.items())
    path.write_text(f"<testsuites><testsuite {text}/></testsuites>")


def test_every_step_runs_and_the_first_failure_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    ran = []

    def called(_root: Path, _environment: dict, *step: str) -> int:
        ran.append(step)
        report = next((s.partition("=")[2] for s in step if s.startswith("--junitxml")), None)
        if report:
            write_report(Path(report), tests=10, failures=2, errors=1, skipped=1)
        return {"mypy": 3, "pytest": 1}.get(step[1], 0)

    monkeypatch.setattr(course, "call", called)
    assert course.test(tmp_path, {}, []) == 3
    assert len(ran) == len(course.STEPS)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "14 passed, 7 failed"
    assert [line.split()[1] for line in lines[-6:-1]] == ["ok", "ok", "FAILED", "FAILED", "FAILED"]


def test_a_step_that_breaks_off_counts_as_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(course, "call", lambda *_: 4)
    assert course.test(tmp_path, {}, []) == 4
    assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 5 failed"


def test_help_reads_without_setting_up(root: Path, tmp_path: Path) -> None:
    shutil.copy(root / "course.py", tmp_path)
    for name in course.COMMANDS:
        command = [sys.executable, "course.py", name, "--help"]
        found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert found.returncode == 0 and course.HELP[name][0][1:] in found.stdout
    assert not (tmp_path / ".venv").exists()


def test_only_the_standard_library_is_imported(root: Path) -> None:
    tree = ast.parse((root / "course.py").read_text(encoding="utf-8"))
    names = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} <= set(sys.stdlib_module_names)
    assert root == importlib.import_module("course").ROOT
