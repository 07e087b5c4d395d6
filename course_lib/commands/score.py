"""`python -m course_lib score LEDGER --out CLEAN.jsonl --report REPORT.json`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from course_lib.cleaning import CleaningReport
from course_lib.cleaning_score import harmed, score, table
from course_lib.dialogue import DialogueError, read_dialogues


def add_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Gives a parser the options of `score`."""
    parser.add_argument("ledger", type=Path, help="what was planted in the raw logs, line by line")
    parser.add_argument("--out", type=Path, required=True, help="what `clean` kept")
    parser.add_argument("--report", type=Path, required=True, help="what `clean --report` wrote")
    parser.add_argument("--json", action="store_true", help="print the figures as one object")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Scores one cleaning against the ledger of its raw logs and prints the figures."""
    report = read_report(arguments.report, arguments.out)
    figures = score(arguments.ledger, report)
    share = harmed(arguments.ledger, report)
    if arguments.json:
        print(json.dumps({**figures, "harmed": share}))
    else:
        print(table(figures))
        print(f"\nharmed: {share:.2%} of the lines that should stay as they are")


def read_report(report: Path, kept: Path) -> CleaningReport:
    """The report of a cleaning from its two files; raises DialogueError for another file."""
    try:
        record: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
        return CleaningReport.from_dict(record, list(read_dialogues(kept)))
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, DialogueError):
            raise
        raise DialogueError("no report that `clean --report` wrote", report) from error
