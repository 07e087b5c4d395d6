"""Running, canonical writing and checking of the course's notebooks.

python -m course_lib.notebooks run       execute copies into _build/notebooks; the tree stays clean
python -m course_lib.notebooks refresh   execute, and renew the committed outputs
python -m course_lib.notebooks tidy      canonical form without executing
python -m course_lib.notebooks check     the hygiene check
"""

from __future__ import annotations

from course_lib.notebooks.canonical import canonicalise, dumps, read, write
from course_lib.notebooks.hygiene import Finding, inspect_notebook
from course_lib.notebooks.runner import NotebookError, execute

__all__ = [
    "Finding",
    "NotebookError",
    "canonicalise",
    "dumps",
    "execute",
    "inspect_notebook",
    "read",
    "write",
]
