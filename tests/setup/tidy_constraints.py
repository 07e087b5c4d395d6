"""Bring constraints.txt, as uv writes it, into the form that is committed."""

from __future__ import annotations

import re
from pathlib import Path

HEADER = """\
# The exact versions this course was tested with, for every system; pyproject.toml has the bounds.
# No address stands here: each package comes from where your pip looks. torch is pinned without a
# local version, so that the CPU build and a CUDA build of the same release both fit; the CUDA
# packages are left out because torch pins them itself.
# Renewed by the two commands in CONTRIBUTING.md, "Renewing the constraints".
"""

# What torch pins itself on Linux, and what is for Python in a web page.
LEFT_OUT = re.compile(r"(nvidia-|cuda-|triton|httpx2-jsfetch)")
BROWSER_PYTHON = re.compile(r"( and )?sys_platform != 'emscripten'( and )?")


def tidy_line(line: str) -> str:
    """One pin without the markers that concern Python in a web page and without a local version."""
    pin, _, marker = line.partition(";")
    marker = BROWSER_PYTHON.sub("", marker).strip()
    pin = re.sub(r"\+[\w.]+", "", pin).strip()
    return f"{pin} ; {marker}" if marker else pin


def tidy(text: str) -> str:
    """The committed form of uv's output; applying it again changes nothing."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return HEADER + "".join(tidy_line(line) + "\n" for line in lines if not LEFT_OUT.match(line))


if __name__ == "__main__":
    path = Path(__file__).resolve().parents[2] / "constraints.txt"
    path.write_text(tidy(path.read_text(encoding="utf-8")), encoding="utf-8")
