"""constraints.txt pins all that pyproject.toml names, exactly, with no address."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

SYSTEMS = (
    {"sys_platform": "linux", "os_name": "posix", "platform_machine": "x86_64"},
    {"sys_platform": "linux", "os_name": "posix", "platform_machine": "aarch64"},
    {"sys_platform": "darwin", "os_name": "posix", "platform_machine": "arm64"},
    {"sys_platform": "win32", "os_name": "nt", "platform_machine": "AMD64"},
)
PYTHONS = ("3.11.0", "3.11.7", "3.12.0", "3.13.0", "3.14.0")


def project_requirements(root: Path) -> list[Requirement]:
    """All direct dependencies of pyproject.toml, those of the extras included."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return [Requirement(line) for group in groups for line in group]


def faults(text: str, wanted: list[Requirement]) -> list[str]:
    """What is wrong with a constraint file beside these dependencies; empty when nothing is."""
    found, pins = [], []
    for line in text.splitlines():
        if "://" in line:
            found.append(f"an address: {line}")
        if not line.strip() or line.startswith("#"):
            continue
        try:
            pins.append(Requirement(line))
        except InvalidRequirement:
            found.append(f"no requirement: {line}")
    found += [f"not one exact public version: {pin}" for pin in pins if not is_exact(pin)]
    found += [f"torch pins it itself: {pin.name}" for pin in pins if is_cuda(pin.name)]
    for need in wanted:
        found += missing_or_doubled(need, pins)
    return found


def is_exact(pin: Requirement) -> bool:
    """Whether it is `name==version`, with no local version and no wildcard."""
    return bool(re.fullmatch(r"==[\w.]+", str(pin.specifier))) and not pin.url


def is_cuda(name: str) -> bool:
    return canonicalize_name(name).startswith(("nvidia-", "cuda-", "triton"))


def missing_or_doubled(need: Requirement, pins: list[Requirement]) -> list[str]:
    """On each system and Python, one pin, and one that the dependency's bound allows."""
    found = []
    same = [pin for pin in pins if canonicalize_name(pin.name) == canonicalize_name(need.name)]
    for system in SYSTEMS:
        for python in PYTHONS:
            place = {**system, "python_full_version": python, "python_version": python[:4]}
            here = [pin for pin in same if not pin.marker or pin.marker.evaluate(place)]
            versions = [str(pin.specifier).removeprefix("==") for pin in here]
            if len(versions) != 1 or not need.specifier.contains(versions[0], prereleases=True):
                found.append(f"{need}: pinned to {versions} on {system['sys_platform']} {python}")
    return found


@pytest.fixture
def text(root: Path) -> str:
    return (root / "constraints.txt").read_text(encoding="utf-8")


@pytest.fixture
def tidier(root: Path) -> ModuleType:
    path = root / "tests" / "setup" / "tidy_constraints.py"
    spec = importlib.util.spec_from_file_location("tidy_constraints", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_dependency_is_pinned(text: str, root: Path) -> None:
    assert faults(text, project_requirements(root)) == []
    assert "\ntorch==2.13.0\n" in text


def test_pyproject_has_lower_bounds_only(root: Path) -> None:
    for need in project_requirements(root):
        assert re.fullmatch(r"(>=[\w.]+)?", str(need.specifier)), need
        assert need.url is None, need


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\ntorch==2.13.0\n", "\n"),
        ("\ntorch==2.13.0\n", "\ntorch==2.13.0+cpu\n"),
        ("\ntorch==2.13.0\n", "\ntorch>=2.13.0\n"),
        ("\ntorch==2.13.0\n", "\ntorch==2.13.0 ; sys_platform == 'linux'\n"),
        ("\ntorch==2.13.0\n", "\ntorch==2.5.0\n"),
        ("\ntorch==2.13.0\n", "\ntorch==2.13.0\ntorch==2.12.0\n"),
        ("\ntorch==2.13.0\n", "\ntorch==2.13.0\nnvidia-cublas==13.1.1.3\n"),
        ("\ntorch==2.13.0\n", "\ntorch @ https://example.org/torch.whl\n"),
        ("\ntorch==2.13.0\n", "\n--index-url https://example.org/simple\ntorch==2.13.0\n"),
    ],
)
def test_a_mutant_is_noticed(old: str, new: str, text: str, root: Path) -> None:
    assert old in text
    assert faults(text.replace(old, new), project_requirements(root))


def test_the_file_is_in_its_tidy_form(text: str, tidier: ModuleType) -> None:
    assert tidier.tidy(text) == text


def test_tidying_drops_what_torch_pins_itself(tidier: ModuleType) -> None:
    raw = (
        "# from somewhere\n"
        "nvidia-cublas==13.1.1.3 ; sys_platform == 'linux'\n"
        "pexpect==4.9.0 ; sys_platform != 'emscripten' and sys_platform != 'win32'\n"
        "torch==2.13.0+cpu\n"
        "truststore==0.10.5 ; sys_platform != 'emscripten'\n"
    )
    pins = [line for line in tidier.tidy(raw).splitlines() if not line.startswith("#")]
    assert pins == [
        "pexpect==4.9.0 ; sys_platform != 'win32'",
        "torch==2.13.0",
        "truststore==0.10.5",
    ]
