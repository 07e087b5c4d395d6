"""The tracked files: licences there, one public address, no machine's path, no registry's host."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from course_lib.setup_cell import badge

# Put together here, so that this file itself holds none of them.
MACHINE_PATH = re.compile(
    r"(?<![\w.<>\-/])/(?:" + "|".join(("work", "root", "home", "tmp", "Users")) + r")/[\w.]"
    r"|\b[A-Z]:\\+Users\\"
)
REGISTRY = re.compile(
    "|".join(
        re.escape(".".join(parts))
        for parts in (
            ("pypi", "org"),
            ("pythonhosted", "org"),
            ("download", "pytorch", "org"),
            ("anaconda", "org"),
            ("npmjs", "org"),
            ("aliyun", "com"),
        )
    )
)
# Settings of transformers before 5 and of TRL before 1, given by name or as a key.
RENAMED = re.compile(
    r"\b(?:group_by_length|warmup_ratio|evaluation_strategy)\b[\"'\\]*\s*[=:](?!=)"
    r"|\bbfd[-]requeue\b"
)
RULE_EXAMPLES = {"tests/notebooks/test_hygiene.py"}  # made-up paths that the notebook rule must see
BINARY = {".safetensors", ".png", ".gz", ".zip", ".bin"}
LARGEST_FILE_MB, LARGEST_CLONE_MB = 15, 40


def tracked(root: Path) -> list[Path]:
    """Files under version control; skips where the checkout has none (a downloaded archive)."""
    command = ["git", "ls-files", "-z"]
    try:
        found = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no git checkout")
    return [path for name in found.stdout.split("\0") if name and (path := root / name).is_file()]


def faults(name: str, text: str) -> list[str]:
    """Machine paths and registry hosts in a text, with their lines."""
    return [
        f"{name}:{number}: {found.group()}"
        for number, line in enumerate(text.splitlines(), start=1)
        for pattern in (MACHINE_PATH, REGISTRY)
        for found in pattern.finditer(line)
    ]


def test_no_machine_path_and_no_registry(root: Path) -> None:
    found = []
    for path in tracked(root):
        name = path.relative_to(root).as_posix()
        if path.suffix not in BINARY and name not in RULE_EXAMPLES:
            text = path.read_text(encoding="utf-8", errors="replace")  # raw logs hold bad bytes
            found += faults(name, text)
    assert found == []


@pytest.mark.parametrize(
    "parts",
    [
        ("open('", "/home", "/anna/logs.json')"),
        ('File "', "/root", '/.venv/lib"'),
        ("saved to ", "/tmp", "/x"),
        ("C:", r"\Users", r"\anna"),
        ('"C:', r"\\Users", r"\\anna"),
        ("--index-url https://", "pypi", ".org/simple"),
        ("https://download.", "pytorch", ".org/whl/cpu"),
    ],
)
def test_a_trace_is_noticed(parts: tuple[str, ...]) -> None:
    assert faults("here", "".join(parts))


def test_ordinary_text_is_no_trace() -> None:
    assert not faults("here", "at home/office, <root>/x, https://example.org/home/page, and/or")


def test_no_setting_goes_by_its_old_name(root: Path) -> None:
    code = [path for path in tracked(root) if path.suffix in {".py", ".ipynb"}]
    old = {
        path.name: found
        for path in code
        if (found := RENAMED.findall(path.read_text(encoding="utf-8")))
    }
    assert old == {}


@pytest.mark.parametrize(
    "parts",
    [
        ("TrainingArguments(group_by_", "length=True)"),
        ('{"warmup_', 'ratio": 0.1}'),
        (r"{\"warmup_", r"ratio\": 0.1}"),
        ("evaluation_", "strategy = 'steps'"),
        ('packing_strategy="bfd-', 'requeue"'),
    ],
)
def test_an_old_name_is_noticed(parts: tuple[str, ...]) -> None:
    assert RENAMED.search("".join(parts))
    assert not RENAMED.search('train_sampling_strategy="group_by_length", warmup_steps=0.1')


def test_licences_are_there(root: Path) -> None:
    code = (root / "LICENSE").read_text(encoding="utf-8")
    text = (root / "LICENSE-CC-BY-4.0").read_text(encoding="utf-8")
    assert "Apache License" in code and "END OF TERMS AND CONDITIONS" in code
    for section in range(1, 9):
        assert f"Section {section} -- " in text
    assert "https://creativecommons.org/licenses/by/4.0/legalcode" in text
    for scope in ("notebooks/", "solutions/", "data/", "README.md"):
        assert scope in text


def test_the_public_address_has_one_source(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    place = project["urls"]["Repository"].removeprefix("https://github.com/")
    hosts = r"(?:colab\.research\.google\.com/github|github\.com)/([\w.-]+/[\w.-]+)"
    for path in tracked(root):
        mine = path.name == "README.md" or path.suffix == ".ipynb"
        if mine and (found := set(re.findall(hosts, path.read_text(encoding="utf-8")))):
            assert {name.removesuffix(".git") for name in found} == {place}, path


def test_the_readme_has_the_badge_and_what_it_names(root: Path) -> None:
    text = (root / "README.md").read_text(encoding="utf-8")
    assert badge("notebooks/00_start_here.ipynb", root) in text
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (root / target).exists(), f"README.md names {target}, which is not there"


def test_the_clone_stays_small(root: Path) -> None:
    sizes = {path: path.stat().st_size / 1e6 for path in tracked(root)}
    assert max(sizes.values()) <= LARGEST_FILE_MB
    assert sum(sizes.values()) <= LARGEST_CLONE_MB


@pytest.mark.skipif(not Path("/bin/bash").exists(), reason="needs bash")
def test_the_ci_script_is_sound(root: Path) -> None:
    script = root / ".ci" / "run"
    subprocess.run(["/bin/bash", "-n", str(script)], check=True)
    text = script.read_text(encoding="utf-8")
    assert "set -euo pipefail" in text
    assert text.rstrip().endswith("python3 course.py test")
