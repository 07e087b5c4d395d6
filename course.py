#!/usr/bin/env python3
"""Set up the course and run it. Needs a bare Python only: everything here is standard library."""

import sys

OLDEST, NEWEST = (3, 11), (3, 14)  # NEWEST: the last Python the pinned torch has a build for

if sys.version_info[:2] < OLDEST:
    # Stands before all that an old Python does not know.
    sys.exit(
        f"This course needs Python {OLDEST[0]}.{OLDEST[1]} or newer; this is Python "
        f"{sys.version_info[0]}.{sys.version_info[1]} ({sys.executable}).\n"
        "Install a newer one from python.org or your system's packages, then name it:\n"
        "    python3.13 course.py ..."
    )

import argparse
import contextlib
import hashlib
import importlib
import json
import os
import platform
import shutil
import subprocess
import sysconfig
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import deque
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent
STAMP = "course-setup.json"
DISK_GB = {"environment": 4.0, "temporary": 1.0}

# What each command needs beside the core; a larger set already installed serves a smaller one.
EXTRAS = {
    "demo": (),
    "lab": ("compare", "notebooks"),
    "run": ("compare", "notebooks"),
    "test": ("compare", "dev", "notebooks"),
    "refresh": ("compare", "dev", "notebooks"),
}

OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE", "TRANSFORMERS_OFFLINE")

NETWORK_SIGNS = (
    "NewConnectionError",
    "NameResolutionError",
    "Temporary failure in name resolution",
    "Network is unreachable",
    "getaddrinfo failed",
    "Connection refused",
    "ConnectTimeout",
    "ReadTimeout",
    "Read timed out",
    "ProxyError",
    "ConnectionResetError",
    "RemoteDisconnected",
    "SSLError",
    "CERTIFICATE_VERIFY_FAILED",
)
DISK_SIGNS = ("No space left on device", "Disk quota exceeded", "not enough space on the disk")


class SetupError(Exception):
    """Something outside the course stands in the way; the text says what and how to mend it."""


def say(text: str) -> None:
    """Tell the user, on stderr: stdout belongs to the command that is run."""
    print(text, file=sys.stderr, flush=True)


# --- The environment beside this file --------------------------------------------------------


def venv_python(root: Path) -> Path:
    """The interpreter of the course's own environment."""
    folder, name = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    return root / ".venv" / folder / name


def environment_python(root: Path) -> str:
    """Version ("3.11") of the environment's Python; "" where none of a right version has pip."""
    probe = "import pip, sys; print(*sys.version_info[:2])"
    try:
        found = subprocess.run([venv_python(root), "-c", probe], capture_output=True, text=True)
    except OSError:
        return ""
    version = tuple(int(part) for part in found.stdout.split())
    return ".".join(map(str, version)) if OLDEST <= version <= NEWEST else ""


def setup_key(root: Path, python: str) -> str:
    """Hash of all that decides what is installed: Python, place, dependencies and their pins."""
    digest = hashlib.sha256(f"{python} {sys.platform} {root}".encode())
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update((root / name).read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()


def read_stamp(root: Path) -> dict:
    """What the last finished set-up left; empty where there was none or it cannot be read."""
    try:
        stamp = json.loads((root / ".venv" / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def write_stamp(root: Path, extras: Sequence[str]) -> None:
    """Mark the set-up as finished, in one step: a half-written stamp cannot exist."""
    target = root / ".venv" / STAMP
    draft = target.with_suffix(".new")
    stamp = {"key": setup_key(root, environment_python(root)), "extras": sorted(extras)}
    draft.write_text(json.dumps(stamp), encoding="utf-8")
    os.replace(draft, target)


def is_set_up(root: Path, extras: Sequence[str]) -> bool:
    """Whether a finished set-up holds what these extras need."""
    stamp = read_stamp(root)
    if not stamp or not set(extras) <= set(stamp.get("extras", ())):
        return False
    python = environment_python(root)
    return bool(python) and stamp.get("key") == setup_key(root, python)


# --- Before anything is installed -------------------------------------------------------------


def check_python(version: tuple) -> None:
    """Stop at a Python the pinned torch has no build for (one too old never gets here)."""
    if version[:2] <= NEWEST:
        return
    minors = range(NEWEST[1], OLDEST[1] - 1, -1)
    found = next((n for n in (f"python3.{m}" for m in minors) if shutil.which(n)), None)
    raise SetupError(
        f"This is Python {version[0]}.{version[1]}; the tested versions in constraints.txt need "
        f"Python 3.{OLDEST[1]} to 3.{NEWEST[1]}.\n"
        + (
            f"One is installed here: run  {found} course.py ..."
            if found
            else "Install one of these beside it, then run  python3.13 course.py ..."
        )
    )


def check_machine(system: str, machine: str, macos: str = "") -> None:
    """Stop at a machine the pinned torch has no build for."""
    if system == "darwin":
        fits = machine == "arm64" and int(macos.split(".")[0] or 0) >= 14
    elif system == "win32":
        fits = machine == "win-amd64"
    else:
        fits = machine in ("x86_64", "aarch64")
    if not fits:
        raise SetupError(
            f"The pinned torch has no build for this machine ({system} {macos} {machine}).\n"
            "There are builds for Linux (x86_64, aarch64), Windows (64-bit x86 Python) and macOS "
            "14 or newer on Apple silicon.\nElsewhere the notebooks run on Colab: see README.md."
        )


def this_machine() -> tuple[str, str, str]:
    """System, machine and macOS version; on Windows it is the Python's kind that counts."""
    machine = sysconfig.get_platform() if sys.platform == "win32" else platform.machine()
    return sys.platform, machine, platform.mac_ver()[0]


def check_writable(root: Path) -> None:
    """Stop where the checkout cannot be written to."""
    try:
        with tempfile.TemporaryFile(dir=root):
            pass
    except OSError as error:
        raise SetupError(
            f"The folder {root} cannot be written to ({error.strerror or error}).\n"
            "The course keeps its environment in .venv there. Copy or clone the course into a "
            "folder of your own and run it from there."
        ) from error


def check_venv_module() -> None:
    """Stop where Python came without venv or ensurepip, as on a bare Debian or Ubuntu."""
    for name in ("venv", "ensurepip"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            major, minor = sys.version_info[:2]
            raise SetupError(
                f"This Python has no module '{name}', so it cannot make an environment.\n"
                f"Debian, Ubuntu: sudo apt install python3-venv, or python{major}.{minor}-venv\n"
                "Elsewhere: install Python from python.org, or run with another Python."
            ) from error


def check_disk(root: Path) -> None:
    """Stop where the environment, or pip's temporary files, would not fit."""
    places = (
        (root, "environment", "Free some space, or move the course to another disk."),
        (
            Path(tempfile.gettempdir()),
            "temporary",
            "Free some space, or set TMPDIR (Windows: TEMP) to a folder on a larger disk.",
        ),
    )
    for place, what, cure in places:
        free = shutil.disk_usage(place).free / 1e9
        if free < DISK_GB[what]:
            raise SetupError(
                f"Too little disk: {free:.1f} GB free at {place}, "
                f"{DISK_GB[what]:.0f} GB needed for the {what} files.\n{cure}"
            )


def preflight(root: Path) -> None:
    """All that can be known to fail before pip starts."""
    check_writable(root)
    check_disk(root)
    if not environment_python(root):
        check_python(sys.version_info)
        check_machine(*this_machine())
        check_venv_module()


# --- Installing --------------------------------------------------------------------------------


def make_venv(root: Path) -> None:
    """Make `.venv`; one whose Python does not run, or is too old or too new, is replaced."""
    say(f"Making the environment {root / '.venv'}")
    command = [sys.executable, "-m", "venv", "--clear", str(root / ".venv")]
    made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode:
        raise SetupError(
            f"The environment could not be made:\n{(made.stdout + made.stderr).strip()}\n"
            "Debian, Ubuntu:  sudo apt install python3-venv"
        )


def pip(root: Path, *arguments: str) -> None:
    """Run the environment's pip; its output goes to stderr, its failure becomes a SetupError."""
    command = [str(venv_python(root)), "-m", "pip", *arguments]
    options = {"PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONUTF8": "1"}
    process = subprocess.Popen(
        command,
        cwd=root,
        env={**os.environ, **options},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    tail: deque[str] = deque(maxlen=12)
    signs: set[str] = set()
    assert process.stdout is not None
    for line in process.stdout:
        say("  " + line.rstrip())
        tail.append(line.rstrip())
        signs.update(sign for sign in NETWORK_SIGNS + DISK_SIGNS if sign in line)
    if process.wait():
        raise SetupError(explain_pip_failure(signs, list(tail)))


def explain_pip_failure(signs: set, tail: Sequence[str]) -> str:
    """What went wrong with pip and what to do, followed by its own last lines."""
    if signs & set(DISK_SIGNS):
        reason = "The disk is full. Free some space (TMPDIR or TEMP moves pip's temporary files)."
    elif signs & set(NETWORK_SIGNS):
        reason = (
            "The packages could not be fetched: it looks as if there is no network, or a proxy "
            "in between.\nConnect, or tell pip the way (pip config set global.proxy ..., "
            "global.index-url ..., global.find-links ...).\nThe network is needed this once only."
        )
    else:
        reason = "pip could not install the packages."
    quoted = "\n".join("    " + line[:200] for line in tail)
    return f"{reason}\nThe same command goes on where it stopped. pip's last lines:\n{quoted}"


def has_nvidia() -> bool:
    """Whether an NVIDIA driver is there."""
    return shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia").exists()


def has_torch(root: Path) -> bool:
    """Whether the environment already holds the pinned torch, whichever build it is."""
    probe = "import importlib.metadata as m; print(m.version('torch'))"
    found = subprocess.run([venv_python(root), "-c", probe], capture_output=True, text=True)
    return found.stdout.strip().split("+")[0] == pinned(root, "torch")


def pinned(root: Path, package: str) -> str:
    """The version constraints.txt gives a package."""
    for line in (root / "constraints.txt").read_text(encoding="utf-8").splitlines():
        name, _, version = line.partition("==")
        if name.strip() == package:
            return version.split(";")[0].strip()
    raise SetupError(f"constraints.txt pins no version of {package}.")


def wants_cuda(report: dict) -> bool:
    """Whether pip's report says that the torch it would take needs the CUDA packages."""
    needs = [
        need
        for item in report.get("install", [])
        if item["metadata"]["name"] == "torch"
        for need in item["metadata"].get("requires_dist", [])
    ]
    return any(need.startswith(("nvidia-", "cuda-")) for need in needs)


def refuse_cuda(root: Path, command: str) -> None:
    """On Linux without an NVIDIA GPU, stop before pip fetches gigabytes of CUDA packages."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        wish = ["-c", "constraints.txt", "torch"]
        pip(root, "install", "--quiet", "--dry-run", "--no-deps", "--report", str(report), *wish)
        if not wants_cuda(json.loads(report.read_text(encoding="utf-8"))):
            return
    raise SetupError(
        "This machine has no NVIDIA GPU, but the torch that pip would take here is the CUDA "
        "build:\nwith its packages some 6 GB, where the CPU build makes it 2 GB in all. "
        "Choose one:\n"
        "  - The CPU build: open https://pytorch.org/get-started/locally/, choose Stable, Linux, "
        "Pip, Python, CPU;\n    copy the address it shows after --index-url, and run\n"
        f"        python3 course.py {command} --torch-index ADDRESS\n"
        "  - The CUDA build all the same:\n"
        f"        python3 course.py {command} --allow-cuda"
    )


def install_torch(root: Path, command: str, index: str | None, allow_cuda: bool) -> None:
    """Settle which build of torch is taken; the rest of the installation then keeps it."""
    if has_torch(root):
        return
    if index:
        wish = ["-c", "constraints.txt", "torch"]
        pip(root, "install", "--no-compile", "--no-deps", "--index-url", index, *wish)
    elif sys.platform == "linux" and not allow_cuda and not has_nvidia():
        refuse_cuda(root, command)


def install(root: Path, command: str, index: str | None, allow_cuda: bool) -> None:
    """Make the environment hold what the command needs; the stamp is removed first, set last."""
    preflight(root)
    extras = sorted(set(EXTRAS[command]) | set(read_stamp(root).get("extras", ())))
    (root / ".venv" / STAMP).unlink(missing_ok=True)
    if not environment_python(root):
        make_venv(root)
    install_torch(root, command, index, allow_cuda)
    project = f".[{','.join(extras)}]" if extras else "."
    pip(root, "install", "--no-compile", "-c", "constraints.txt", "-e", project)
    write_stamp(root, extras)


def ensure(root: Path, command: str, index: str | None = None, allow_cuda: bool = False) -> float:
    """Set up what the command needs, once; seconds spent installing, 0.0 if nothing was missing."""
    if is_set_up(root, EXTRAS[command]):
        return 0.0
    started = time.perf_counter()
    say("Setting up: this takes some minutes, and the network, the first time only.")
    install(root, command, index, allow_cuda)
    seconds = time.perf_counter() - started
    say(f"Set up in {seconds:.0f} s.")
    return seconds


# --- Running -----------------------------------------------------------------------------------


def child_environment(root: Path, install_seconds: float) -> dict:
    """The environment of what is run: UTF-8, the course's Python first, the Hub off by default."""
    values = {
        **os.environ,
        "PYTHONUTF8": "1",
        "VIRTUAL_ENV": str(root / ".venv"),
        "PATH": os.pathsep.join((str(venv_python(root).parent), os.environ.get("PATH", ""))),
        "COURSE_INSTALL_SECONDS": f"{install_seconds:.1f}",
    }
    values.pop("PYTHONHOME", None)
    values.setdefault("TOKENIZERS_PARALLELISM", "false")
    if values.get("COURSE_ONLINE") != "1":
        for name in OFFLINE:
            values.setdefault(name, "1")
    return values


def call(root: Path, environment: dict, *arguments: str) -> int:
    """Run the environment's Python in the checkout; Ctrl-C reaches it, and its end is awaited."""
    command = [str(venv_python(root)), *arguments]
    with subprocess.Popen(command, cwd=root, env=environment) as process:
        while True:
            with contextlib.suppress(KeyboardInterrupt):
                return process.wait()


def lab(root: Path, environment: dict, arguments: Sequence[str]) -> int:
    """JupyterLab on the first chapter, or on the notebook that was named."""
    named = any(argument.endswith(".ipynb") for argument in arguments)
    first = [] if named else ["notebooks/00_start_here.ipynb"]
    return call(root, environment, "-m", "jupyterlab", *first, *arguments)


def demo(root: Path, environment: dict, arguments: Sequence[str]) -> int:
    """The whole journey in the terminal."""
    return call(root, environment, "-m", "course_lib", "demo", *arguments)


def run(root: Path, environment: dict, arguments: Sequence[str]) -> int:
    """Execute all chapters into _build/."""
    return call(root, environment, "-m", "course_lib.notebooks", "run", *arguments)


def refresh(root: Path, environment: dict, arguments: Sequence[str]) -> int:
    """Renew the committed outputs."""
    return call(root, environment, "-m", "course_lib.notebooks", "refresh", *arguments)


NBVAL = (
    "--nbval",
    "--nbval-current-env",
    "--nbval-cell-timeout=900",
    "--nbval-sanitize-with=tests/sanitize.cfg",
)
STEPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("lint", ("-m", "ruff", "check", ".")),
    ("format", ("-m", "ruff", "format", "--check", ".")),
    ("types", ("-m", "mypy")),
    ("tests", ("-m", "pytest", "tests")),
    ("notebooks", ("-m", "pytest", *NBVAL, "notebooks", "solutions")),
)


def test(root: Path, environment: dict, arguments: Sequence[str]) -> int:
    """All checks, each named and timed, to the end; with arguments, pytest alone on these."""
    if arguments:
        return call(root, environment, "-m", "pytest", *arguments)
    reports = root / "_build" / "reports"
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir(parents=True)
    results = [run_step(root, environment, name, step, reports) for name, step in STEPS]
    print("\n" + "\n".join(line for _, line, _ in results))
    passed, failed = (sum(count[i] for _, _, count in results) for i in (0, 1))
    print(f"{passed} passed, {failed} failed", flush=True)
    return next((code for code, _, _ in results if code), 0)


def run_step(
    root: Path, environment: dict, name: str, step: Sequence[str], reports: Path
) -> tuple[int, str, tuple[int, int]]:
    """One step: its exit code, a line about it, and how much passed and failed in it."""
    print(f"\n== {name}: {' '.join(step[1:])}", flush=True)
    report = reports / f"{name}.xml"
    wish = [f"--junitxml={report}"] if "pytest" in step else []
    started = time.perf_counter()
    code = call(root, environment, *step, *wish)
    count = count_results(report) if wish else (int(not code), int(bool(code)))
    if code and not count[1]:
        count = (count[0], 1)  # pytest broke off, or collected nothing
    word = "FAILED" if code else "ok"
    line = f"{name:<10} {word:<7} {time.perf_counter() - started:6.1f} s"
    return code, line, count


def count_results(report: Path) -> tuple[int, int]:
    """Passed and failed tests of a JUnit report; errors count as failed, skipped as neither."""
    try:
        suites = ElementTree.parse(report).getroot().iter("testsuite")
        totals = [
            {k: int(s.get(k, 0)) for k in ("tests", "failures", "errors", "skipped")}
            for s in suites
        ]
    except (OSError, ElementTree.ParseError):
        return 0, 0
    failed = sum(total["failures"] + total["errors"] for total in totals)
    return sum(total["tests"] - total["skipped"] for total in totals) - failed, failed


COMMANDS = {"lab": lab, "test": test, "demo": demo, "run": run, "refresh": refresh}


# --- The command line --------------------------------------------------------------------------

HELP = {
    "lab": (
        "open JupyterLab on chapter 00",
        "Other arguments go to JupyterLab: a notebook to open instead, --no-browser, --port=8889.",
    ),
    "test": (
        "run every check, notebooks included",
        "Lint, format, types, tests, notebooks. With arguments pytest alone runs on these:\n"
        "  python3 course.py test tests/test_dialogue.py -q",
    ),
    "demo": (
        "the whole journey in the terminal, ending in a chat",
        "Passed on:\n"
        "  --json                       print the figures as one JSON object and end, no chat\n"
        "  --source NAME --path FILE    the same journey on logs of yours (sgd, abcd, ...)",
    ),
    "run": (
        "execute all chapters into _build/notebooks",
        "Other arguments go to  python -m course_lib.notebooks run.",
    ),
    "refresh": (
        "renew the committed outputs of the notebooks (for maintainers)",
        "Other arguments go to  python -m course_lib.notebooks refresh.",
    ),
}
EPILOG = """The first call makes .venv beside this file and installs the tested versions there;
later calls install nothing. Variables: COURSE_TORCH_INDEX is the default of --torch-index;
COURSE_ONLINE=1 lets the Hugging Face Hub be asked."""


def make_parser() -> argparse.ArgumentParser:
    """The command line; what it does not know is passed on to what is run."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "course.py", description=__doc__, epilog=EPILOG, formatter_class=layout
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, (short, long) in HELP.items():
        sub = commands.add_parser(
            name,
            help=short,
            description=short[0].upper() + short[1:] + ".",
            epilog=long,
            formatter_class=layout,
            allow_abbrev=False,
        )
        sub.add_argument(
            "--torch-index",
            metavar="ADDRESS",
            default=os.environ.get("COURSE_TORCH_INDEX") or None,
            help="package index to take torch from (CPU or a CUDA version of your choice)",
        )
        sub.add_argument(
            "--allow-cuda",
            action="store_true",
            help="take the CUDA build of torch although no NVIDIA GPU is found",
        )
    return parser


def main(argv: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Set up, then run the command; its exit code, or 1 where the set-up cannot be done."""
    options, passed_on = make_parser().parse_known_args(argv)
    try:
        seconds = ensure(root, options.command, options.torch_index, options.allow_cuda)
    except SetupError as error:
        say(f"\n{error}")
        return 1
    except KeyboardInterrupt:
        say("\nSet-up interrupted; the same command goes on where it stopped.")
        return 130
    return COMMANDS[options.command](root, child_environment(root, seconds), passed_on)


if __name__ == "__main__":
    sys.exit(main())
