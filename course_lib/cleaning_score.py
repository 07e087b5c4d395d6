"""How well a cleaning did on raw logs whose planted defects are known from a ledger.

The ledger is read here and nowhere else. Each of its lines names a raw line, its `kind` of
defect (or of a hard negative), the right `action`, which dialogue it copies (`of`) and, for what
can be mended, the texts to `expect`.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.cleaning import CleaningReport, Rejected
from course_lib.dialogue import DialogueError

ACTIONS = ("drop", "merge", "repair", "redact", "flag", "keep")
MENDED = ("repair", "redact", "merge")

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one raw line: set aside or kept, by which steps, as a copy of what."""

    kept: bool
    steps: frozenset[str]
    equals: str | None = None
    texts: tuple[str, ...] = ()
    flagged: bool = False


def read_ledger(path: str | Path) -> list[Entry]:
    """The ledger's lines; raises DialogueError with file and line for one that is no entry."""
    entries = []
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            known = entry["action"] in ACTIONS and entry["kind"] and entry["raw_line"]
        except (ValueError, KeyError, TypeError):
            known = False
        if not known:
            raise DialogueError("no ledger entry with raw_line, kind and action", path, number)
        entries.append(entry)
    return entries


def outcomes(report: CleaningReport) -> dict[str | int, Outcome]:
    """By dialogue id, and by line number for lines that could not be read."""
    steps: dict[str, set[str]] = defaultdict(set)
    for change in report.changes:
        if not change.is_flag:
            steps[change.dialogue_id].add(change.step)
    flagged = {change.dialogue_id for change in report.changes if change.is_flag}
    found: dict[str | int, Outcome] = {}
    for dialogue in report.kept:
        said, flag = tuple(m.content for m in dialogue.messages), dialogue.id in flagged
        found[dialogue.id] = Outcome(True, frozenset(steps[dialogue.id]), None, said, flag)
    for rejected in report.rejected:
        key = rejected.line or rejected.dialogue_id or 0
        found[key] = Outcome(False, frozenset({_way(rejected)}), rejected.equals)
    return found


def _way(rejected: Rejected) -> str:
    """The step; near copies are found in another way than equal ones, with its own false alarms."""
    is_near = rejected.similarity is not None and rejected.similarity < 1
    return f"{rejected.step}, near" if is_near else rejected.step


def score(ledger_path: str | Path, report: CleaningReport) -> dict[str, dict[str, float]]:
    """For each kind `recall`, `precision` and `exact`, 0 to 1.

    recall: lines with the right fate (gone, mended, flagged or left alone). precision: of the
    lines that the steps which found this kind acted upon, this kind's right ones over those plus
    false alarms, i.e. lines the ledger lets alone. exact: gone as a copy of the right dialogue,
    mended to the expected texts, or left alone.
    """
    entries, found = read_ledger(ledger_path), outcomes(report)
    alarms = _false_alarms(entries, found)
    by_kind: dict[str, list[tuple[Entry, Outcome]]] = defaultdict(list)
    for entry in entries:
        outcome = _outcome_of(entry, found)
        if outcome is None:
            where = f"raw line {entry['raw_line']} of the ledger"
            raise DialogueError(f"{where} is nowhere in the report; clean the same raw file")
        by_kind[entry["kind"]].append((entry, outcome))
    return {kind: _figures(pairs, alarms) for kind, pairs in sorted(by_kind.items())}


def harmed(ledger_path: str | Path, report: CleaningReport) -> float:
    """Share of the raw lines that should stay as they are, and were altered or set aside."""
    entries, found = read_ledger(ledger_path), outcomes(report)
    meant = {e[k] for e in entries if e["action"] != "keep" for k in ("id", "raw_line")}
    clean = [outcome for key, outcome in found.items() if key not in meant]
    return sum(bool(outcome.steps) for outcome in clean) / len(clean) if clean else 0.0


def _outcome_of(entry: Entry, found: dict[str | int, Outcome]) -> Outcome | None:
    return found.get(entry["raw_line"]) or found.get(entry["id"])


def _false_alarms(entries: Iterable[Entry], found: dict[str | int, Outcome]) -> Counter[str]:
    """How often each step acted on a line that the ledger does not name or lets alone."""
    meant = {
        key
        for entry in entries
        if entry["action"] != "keep"
        for key in (entry["id"], entry["raw_line"])
    }
    alarms: Counter[str] = Counter()
    for key, outcome in found.items():
        if key not in meant:
            alarms.update(outcome.steps)
    return alarms


def _figures(pairs: list[tuple[Entry, Outcome]], alarms: Counter[str]) -> dict[str, float]:
    right = [(entry, outcome) for entry, outcome in pairs if _is_right(entry, outcome)]
    steps = {step for entry, outcome in right for step in outcome.steps}
    false = sum(alarms[step] for step in steps)
    exact = sum(_is_exact(entry, outcome) for entry, outcome in right)
    return {
        "recall": len(right) / len(pairs),
        "precision": len(right) / (len(right) + false) if right else 0.0,
        "exact": exact / len(pairs),
    }


def _is_right(entry: Entry, outcome: Outcome) -> bool:
    if entry["action"] == "drop":
        return not outcome.kept
    if entry["action"] in MENDED:
        return outcome.kept and bool(outcome.steps)
    if entry["action"] == "flag":
        return outcome.kept and outcome.flagged
    return outcome.kept and not outcome.steps


def _is_exact(entry: Entry, outcome: Outcome) -> bool:
    if entry["action"] == "drop":
        return not entry.get("of") or entry["of"] == outcome.equals
    if entry["action"] in MENDED:
        return outcome.texts == tuple(entry.get("expect") or outcome.texts)
    return True


def table(figures: dict[str, dict[str, float]]) -> str:
    """The figures as readable text, one kind a line."""
    lines = [f"{'kind':<22}{'recall':>8}{'precision':>11}{'exact':>8}"]
    for kind, row in figures.items():
        lines.append(
            f"{kind:<22}{row['recall']:>8.3f}{row['precision']:>11.3f}{row['exact']:>8.3f}"
        )
    return "\n".join(lines)
