"""`python -m course_lib clean RAW --out CLEAN.jsonl --rejects REJECTS.jsonl`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from course_lib.cleaning import CleaningReport, clean, config_for, remove_leaks
from course_lib.dialogue import DialogueError, Reject, read_dialogues, write_dialogues, write_jsonl
from course_lib.sources import SOURCES, read_source


def add_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Gives a parser the options of `clean`."""
    parser.add_argument("raw", type=Path, help="file, or folder of the source's files, to clean")
    parser.add_argument("--out", type=Path, required=True, help="JSONL file for what is kept")
    parser.add_argument("--rejects", type=Path, required=True, help="JSONL file for what is not")
    parser.add_argument(
        "--held-out", type=Path, nargs="*", default=[], help="JSONL files that must not leak"
    )
    parser.add_argument("--report", type=Path, help="JSON file for every change and rejection")
    parser.add_argument("--processes", type=int, default=1, help="how many work side by side")
    parser.add_argument("--source", choices=sorted(SOURCES), default="shop")
    parser.add_argument("--json", action="store_true", help="print the counts as one object")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Cleans as the parsed options say; writes both files, prints the report."""
    _check_places(arguments)
    report = clean_file(arguments.raw, arguments.source, arguments.held_out, arguments.processes)
    write_dialogues(report.kept, arguments.out)
    if arguments.report:
        text = json.dumps(report.to_dict(), ensure_ascii=False, indent=1)
        arguments.report.write_text(f"{text}\n", encoding="utf-8")
    write_jsonl((rejected.to_dict() for rejected in report.rejected), arguments.rejects)
    print(json.dumps(report.counts) if arguments.json else report.table())


def clean_file(
    path: str | Path,
    source: str = "shop",
    held_out: Sequence[str | Path] = (),
    processes: int = 1,
) -> CleaningReport:
    """Reads and cleans one file or folder with its source's settings; held-out files never leak."""
    unreadable: list[Reject] = []
    tests = [dialogue for file in held_out for dialogue in read_dialogues(file)]
    dialogues = read_source(source, path, unreadable)
    report = clean(dialogues, config_for(source), unreadable, processes)
    report.kept, leaks = remove_leaks(report.kept, tests)
    report.rejected += leaks
    return report


def _check_places(arguments: argparse.Namespace) -> None:
    files = [arguments.raw, arguments.out, arguments.rejects, *arguments.held_out]
    files += [arguments.report] if arguments.report else []
    places = [path.resolve() for path in files]
    if len(set(places)) < len(places):
        raise DialogueError(
            "RAW, --out, --rejects, --report and --held-out must be different files"
        )
