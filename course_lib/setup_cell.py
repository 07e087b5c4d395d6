"""The one set-up cell of all chapters, and the work behind it.

The cell has to run where nothing of the course is there yet (a notebook alone on Colab), so it
only finds or clones the repository; everything else is `prepare`, which needs the standard library
alone.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Moved under a running kernel, these break it; so they are never installed or replaced.
NEVER_TOUCH = ("torch", "numpy", "ipywidgets", "ipykernel")

_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_EVALUATE_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",  # a bar for a file that is here already is only noise
}
_QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
}

_CELL = """\
# Set-up, the same in every chapter: finds the course, or fetches it where the notebook is alone.
import os
import subprocess
import sys
from pathlib import Path

here = Path.cwd()
places = [here, *here.parents, here / "course"]
root = next((p for p in places if (p / "course_lib" / "setup_cell.py").is_file()), None)
if root is None:
    root = here / "course"
    url = os.environ.get("COURSE_REPO_URL", "@URL@")
    clone = ["git", "clone", "--quiet", "--depth", "1", url, str(root)]
    if subprocess.run(clone).returncode:
        raise RuntimeError(f"No course at {url}: check the network, or set COURSE_REPO_URL.")
sys.path.insert(0, str(root))

from course_lib.setup_cell import prepare

prepare(root)"""


class SetupError(RuntimeError):
    """The environment lacks something that the set-up cell must not or cannot install."""


def repository_url(root: Path = ROOT) -> str:
    """The public address of the repository, from its one place: pyproject.toml."""
    with open(root / "pyproject.toml", "rb") as file:
        address: str = tomllib.load(file)["project"]["urls"]["Repository"]
    return address.removesuffix("/")


def setup_source(root: Path = ROOT) -> str:
    """The text of the set-up cell."""
    return _CELL.replace("@URL@", repository_url(root))


def badge(relative_path: str, root: Path = ROOT) -> str:
    """The badge that opens `relative_path` (from the top of the repository) on Colab."""
    colab = "https://colab.research.google.com"
    place = repository_url(root).removeprefix("https://github.com/")
    target = f"{colab}/github/{place}/blob/main/{relative_path}"
    return f"[![Open in Colab]({colab}/assets/colab-badge.svg)]({target})"


def prepare(root: Path = ROOT) -> None:
    """Makes this kernel ready: working directory, environment variables, missing packages.

    Works offline unless COURSE_ONLINE=1. Raises SetupError with what to do when a package is too
    old to run the course and must not be replaced, or when pip fails.
    """
    set_environment(os.environ)
    install_missing(requirements(root))
    os.chdir(root / "notebooks")
    print("course_lib ready")


def set_environment(environment: os._Environ[str] | dict[str, str]) -> None:
    """Keeps Hugging Face's libraries off the network, unless COURSE_ONLINE=1."""
    online = environment.get("COURSE_ONLINE") == "1"
    for name, value in (_QUIET if online else _QUIET | _OFFLINE).items():
        environment.setdefault(name, value)


def requirements(root: Path = ROOT) -> list[str]:
    """What the chapters need: course_lib's own dependencies, and the libraries set beside it."""
    with open(root / "pyproject.toml", "rb") as file:
        project = tomllib.load(file)["project"]
    needed: list[str] = project["dependencies"] + project["optional-dependencies"]["compare"]
    return needed


def install_missing(needed: Iterable[str]) -> list[str]:
    """Installs what is missing, under constraints made of everything installed; returns it."""
    installed = installed_versions()
    missing = [wanted for wanted in needed if not satisfied(wanted, installed)]
    if not missing:
        return []
    fixed = [wanted for wanted in missing if _split(wanted)[0] in NEVER_TOUCH]
    if fixed:
        raise SetupError(
            f"This environment lacks {', '.join(fixed)}, which cannot be changed under a running "
            "kernel. Make a fresh environment: python3 course.py lab"
        )
    replaced = {_split(wanted)[0] for wanted in missing}
    keep = [f"{name}=={version}" for name, version in installed.items() if name not in replaced]
    _pip_install(missing, keep)
    return missing


def installed_versions() -> dict[str, str]:
    """Normalised name → version of all that is installed; the first on the path counts."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        name, version = distribution.metadata["Name"], distribution.version
        if name and version and re.fullmatch(r"[0-9][\w.!+-]*", version):
            found.setdefault(_normal(name), version)
    return dict(sorted(found.items()))


def satisfied(wanted: str, installed: dict[str, str]) -> bool:
    """Whether "name>=version" is installed in a version that is new enough."""
    name, bound = _split(wanted)
    return name in installed and _numbers(installed[name]) >= _numbers(bound)


def _split(wanted: str) -> tuple[str, str]:
    match = re.fullmatch(r"([\w.-]+)\s*(?:>=\s*([0-9][0-9.]*))?", wanted.strip())
    if match is None:
        raise SetupError(f"pyproject.toml: write {wanted!r} as name>=version, a lower bound only")
    return _normal(match[1]), match[2] or "0"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _numbers(version: str) -> tuple[int, ...]:
    """The release as numbers without closing zeros: "2.13.0+cpu" → (2, 13)."""
    release = re.match(r"[0-9]+(?:\.[0-9]+)*", version.split("!")[-1])
    numbers = [int(part) for part in release[0].split(".")] if release else [0]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _pip_install(missing: list[str], keep: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "installed.txt"
        constraints.write_text("\n".join(keep) + "\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        command += ["--constraint", str(constraints), *missing]
        outcome = subprocess.run(command, capture_output=True, text=True)
    if outcome.returncode:
        raise SetupError(
            f"pip could not install {', '.join(missing)}.\n{outcome.stderr.strip()}\n"
            "Check the network, or make a fresh environment: python3 course.py lab"
        )
