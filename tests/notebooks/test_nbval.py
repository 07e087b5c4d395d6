"""The comparison by nbval with the course's sanitizer: it finds what differs, not what varies."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("nbval")

from course_lib.notebooks.__main__ import refresh
from tests.notebooks.conftest import code, notebook

ROOT = Path(__file__).resolve().parents[2]


def compare(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={ROOT}"]
    command += ["--nbval", "--nbval-current-env", "--nbval-cell-timeout=60"]
    command += [f"--nbval-sanitize-with={ROOT / 'tests' / 'sanitize.cfg'}", str(path)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture
def refreshed(put) -> Path:
    cells = [
        code("import time\n\nprint('warranty: 90 minutes')"),
        code("print(f'took {time.perf_counter() % 1:.6f} s')"),
        code("object()"),
        code("from IPython.display import HTML\n\nHTML('<b>90</b>')"),
        code("print(time.perf_counter())", tags=("nbval-ignore-output",)),
    ]
    path = put(notebook(*cells), "90_compared.ipynb", "notebooks")
    assert refresh([path]) == 0
    return path


def test_an_unchanged_notebook_passes(refreshed: Path):
    done = compare(refreshed)
    assert done.returncode == 0 and "5 passed" in done.stdout, done.stdout


@pytest.mark.parametrize(
    ("was", "becomes"),
    [("warranty: 90 minutes\\\\n", "warranty: 70 minutes\\\\n"), ('<b>90</b>"', '<b>70</b>"')],
    ids=["text", "html"],
)
def test_another_output_fails(refreshed: Path, was: str, becomes: str):
    outputs = refreshed.read_text(encoding="utf-8")
    changed = re.sub(rf'("{was})', f'"{becomes}', outputs, count=1)
    assert changed != outputs
    refreshed.write_text(changed, encoding="utf-8")
    done = compare(refreshed)
    assert done.returncode == 1 and "1 failed, 4 passed" in done.stdout, done.stdout


def sanitized(text: str) -> str:
    import configparser

    rules = configparser.RawConfigParser()
    rules.read(ROOT / "tests" / "sanitize.cfg", encoding="utf-8")
    for name in rules.sections():
        text = re.sub(rules.get(name, "regex"), rules.get(name, "replace"), text)
    return text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("took 1.25 s", "took 0.3 seconds"),
        ("<f at 0x7f2a9c0d1e40>", "<f at 0x7f0000000000>"),
        ("torch 2.13.0+cpu", "torch 2.11.0"),
        ("<Figure size 640x480 with 1 Axes>", "<Figure size 700x320 with 2 Axes>"),
        ("1,234 tokens/s", "88.5 tokens/s"),
    ],
)
def test_what_varies_is_made_equal(one: str, other: str):
    assert sanitized(one) == sanitized(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("90 minutes", "70 minutes"),
        ("two years", "three years"),
        ("loss 1.25", "loss 1.26"),
        ("39 euros", "40 euros"),
        ("part number KX-204", "part number KX-317"),
        ("hold it for 10 seconds", "hold it for 20 seconds"),
    ],
)
def test_what_matters_stays_different(one: str, other: str):
    assert sanitized(one) != sanitized(other)
