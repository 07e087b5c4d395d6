"""environment.yml says what pyproject.toml says, and conda can read it (conda is not needed)."""

from __future__ import annotations

import copy
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import rattler
import yaml

import course


def faults(environment: dict[str, Any], project: dict[str, Any]) -> list[str]:
    """What is wrong with a conda environment beside a pyproject; empty when nothing is."""
    found = [
        f"unknown key {key}" for key in set(environment) - {"name", "channels", "dependencies"}
    ]
    conda = [item for item in environment["dependencies"] if isinstance(item, str)]
    nested = [item for item in environment["dependencies"] if isinstance(item, dict)]
    found += spec_faults(conda)
    names = [re.split(r"[<>=! ]", spec)[0] for spec in conda]
    if names != ["python", "pip", "git"]:
        found.append(f"conda brings {names}, not python, pip and git")
    if not conda or conda[0] != f"python{python_range(project)}":
        found.append("python is not the range of pyproject.toml and course.py")
    if environment.get("channels") != ["conda-forge", "nodefaults"]:
        found.append("channels are not conda-forge alone")
    if nested != [{"pip": ["-c constraints.txt", f"-e .[{','.join(extras(project))}]"]}]:
        found.append("pip does not install the project with all extras under the constraints")
    return found


def python_range(project: dict[str, Any]) -> str:
    """From pyproject's lower bound to the last Python that course.py takes."""
    return f"{project['requires-python']},<{course.NEWEST[0]}.{course.NEWEST[1] + 1}"


def extras(project: dict[str, Any]) -> list[str]:
    """The extras in the order of pyproject.toml."""
    return list(project["optional-dependencies"])


def spec_faults(specs: list[str]) -> list[str]:
    """Specs that conda's own grammar, read strictly, refuses."""
    found = []
    for spec in specs:
        try:
            rattler.MatchSpec(spec, strict=True)
        except Exception as error:
            found.append(f"{spec!r} is no conda spec: {error}")
    return found


@pytest.fixture
def environment(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / "environment.yml").read_text(encoding="utf-8"))


@pytest.fixture
def project(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_it_is_in_step(environment: dict[str, Any], project: dict[str, Any]) -> None:
    assert faults(environment, project) == []


def without_extra(environment: dict[str, Any]) -> None:
    environment["dependencies"][-1]["pip"][1] = "-e .[notebooks,dev]"


def without_constraints(environment: dict[str, Any]) -> None:
    del environment["dependencies"][-1]["pip"][0]


def older_python(environment: dict[str, Any]) -> None:
    environment["dependencies"][0] = "python>=3.10,<3.15"


def newer_python(environment: dict[str, Any]) -> None:
    environment["dependencies"][0] = "python>=3.11"


def twice_from_conda(environment: dict[str, Any]) -> None:
    environment["dependencies"].insert(1, "numpy>=1.26")


def no_pip(environment: dict[str, Any]) -> None:
    del environment["dependencies"][1]


def broken_spec(environment: dict[str, Any]) -> None:
    environment["dependencies"][2] = "git>=>2"


def other_channel(environment: dict[str, Any]) -> None:
    environment["channels"].append("elsewhere")


def misspelt_key(environment: dict[str, Any]) -> None:
    environment["dependecies"] = []


MUTANTS = (
    without_extra,
    without_constraints,
    older_python,
    newer_python,
    twice_from_conda,
    no_pip,
    broken_spec,
    other_channel,
    misspelt_key,
)


@pytest.mark.parametrize("mutate", MUTANTS, ids=lambda mutate: mutate.__name__)
def test_a_mutant_is_noticed(
    mutate: Any, environment: dict[str, Any], project: dict[str, Any]
) -> None:
    mutant = copy.deepcopy(environment)
    mutate(mutant)
    assert faults(mutant, project)


def test_a_new_extra_is_noticed(environment: dict[str, Any], project: dict[str, Any]) -> None:
    project["optional-dependencies"]["another"] = ["attrs>=20"]
    assert faults(environment, project)


def test_conda_refuses_what_the_strict_reader_refuses() -> None:
    assert spec_faults(["git>=>2"])
    assert not spec_faults(["git", "python>=3.11,<3.15"])
