"""`python -m course_lib clean RAW --out CLEAN.jsonl --rejects REJECTS.jsonl`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from course_lib.cleaning import (
    CleaningConfig,
    CleaningReport,
    Totals,
    clean,
    clean_stream,
    config_for,
    remove_leaks,
    stream_notes,
    write_stream,
)
from course_lib.dialogue import (
    Dialogue,
    DialogueError,
    Reject,
    read_dialogues,
    write_dialogues,
    write_jsonl,
)
from course_lib.sources import SOURCES, parse_options, read_source


def add_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Gives a parser the options of `clean`."""
    parser.add_argument("raw", type=Path, help="file, or folder of the source's files, to clean")
    parser.add_argument("--out", type=Path, required=True, help="JSONL file for what is kept")
    parser.add_argument("--rejects", type=Path, required=True, help="JSONL file for what is not")
    parser.add_argument(
        "--held-out",
        type=Path,
        nargs="*",
        action="extend",  # given twice, neither list is lost
        default=[],
        help="JSONL files that must not leak",
    )
    parser.add_argument("--report", type=Path, help="JSON file for every change and rejection")
    parser.add_argument("--processes", type=int, default=1, help="how many work side by side")
    parser.add_argument("--source", choices=sorted(SOURCES), default="shop")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the source, such as text=body or roles.clerk=assistant; again for more",
    )
    parser.add_argument(
        "--near",
        choices=("auto", "exact", "lsh"),
        help="how near copies are found: all of them, or most in less time; auto goes by their "
        "number (with --stream: lsh)",
    )
    parser.add_argument(
        "--stream", action="store_true", help="for more than memory holds: write as it goes"
    )
    parser.add_argument("--json", action="store_true", help="print the counts as one object")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Cleans as the parsed options say; writes the files, prints the report."""
    _check(arguments)
    found = _run_stream(arguments) if arguments.stream else _run_whole(arguments)
    if arguments.json:
        print(json.dumps(found.counts))
        return
    print(found.table())
    if arguments.stream:
        print("", *stream_notes(), sep="\n")


def _run_whole(arguments: argparse.Namespace) -> CleaningReport:
    report = clean_file(
        arguments.raw,
        arguments.source,
        arguments.held_out,
        arguments.processes,
        arguments.near,
        parse_options(arguments.option),
    )
    write_dialogues(report.kept, arguments.out)
    if arguments.report:
        text = json.dumps(report.to_dict(), ensure_ascii=False, indent=1)
        arguments.report.write_text(f"{text}\n", encoding="utf-8")
    write_jsonl((rejected.to_dict() for rejected in report.rejected), arguments.rejects)
    return report


def _run_stream(arguments: argparse.Namespace) -> Totals:
    parts = stream_file(
        arguments.raw,
        arguments.source,
        arguments.held_out,
        arguments.processes,
        parse_options(arguments.option),
    )
    places = (arguments.out, arguments.rejects, arguments.report)
    return write_stream(parts, *places, notes=stream_notes())


def clean_file(
    path: str | Path,
    source: str = "shop",
    held_out: Sequence[str | Path] = (),
    processes: int = 1,
    near: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> CleaningReport:
    """Reads and cleans one file or folder with its source's settings; held-out files never leak.

    `options` are the source's own, as `read_source` takes them.
    """
    unreadable: list[Reject] = []
    tests = _read_all(held_out)
    dialogues = read_source(source, path, unreadable, **(options or {}))
    report = clean(dialogues, _config(source, near), unreadable, processes)
    return _without_leaks(report, tests)


def stream_file(
    path: str | Path,
    source: str = "shop",
    held_out: Sequence[str | Path] = (),
    processes: int = 1,
    options: Mapping[str, Any] | None = None,
) -> Iterator[CleaningReport]:
    """As `clean_file`, for more than memory holds: a report for each part of the data."""
    unreadable: list[Reject] = []
    tests = _read_all(held_out)
    dialogues = read_source(source, path, unreadable, **(options or {}))
    for part in clean_stream(dialogues, config_for(source), unreadable, processes):
        yield _without_leaks(part, tests)


def _config(source: str, near: str | None) -> CleaningConfig:
    config = config_for(source)
    return replace(config, near=near) if near else config


def _read_all(paths: Iterable[str | Path]) -> list[Dialogue]:
    return [dialogue for path in paths for dialogue in read_dialogues(path)]


def _without_leaks(report: CleaningReport, tests: list[Dialogue]) -> CleaningReport:
    if tests:
        report.kept, leaks = remove_leaks(report.kept, tests)
        report.rejected += leaks
    return report


def _check(arguments: argparse.Namespace) -> None:
    if arguments.stream and arguments.near == "exact":
        raise DialogueError(
            "the exact index needs all dialogues in memory; leave out --stream or --near exact"
        )
    files = [arguments.raw, arguments.out, arguments.rejects, *arguments.held_out]
    files += [arguments.report] if arguments.report else []
    places = [path.resolve() for path in files]
    if len(set(places)) < len(places):
        raise DialogueError(
            "RAW, --out, --rejects, --report and --held-out must be different files"
        )
