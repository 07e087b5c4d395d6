"""What became of every dialogue, and counts that add up over the parts of a stream."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from course_lib.cleaning.changes import Change, Rejected
from course_lib.cleaning.config import STEPS
from course_lib.dialogue import Dialogue

FATES = ("altered", "set aside", "flagged")  # what a step can do to a dialogue
SUMS = ("read", "kept", "rejected", "altered", "flags")


@dataclass(slots=True)
class CleaningReport:
    """Where every dialogue went: `read == len(kept) + len(rejected)`."""

    kept: list[Dialogue] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    read: int = 0

    @property
    def altered(self) -> set[str]:
        """Ids of kept dialogues whose text or annotation was changed."""
        changed = {c.dialogue_id for c in self.changes if not c.is_flag}
        return changed & {dialogue.id for dialogue in self.kept}

    @property
    def counts(self) -> dict[str, int]:
        """read, kept, rejected, altered, flags, and the rejections of each step."""
        by_step = Counter(f"rejected by {rejected.step}" for rejected in self.rejected)
        return {
            "read": self.read,
            "kept": len(self.kept),
            "rejected": len(self.rejected),
            "altered": len(self.altered),
            "flags": sum(change.is_flag for change in self.changes),
        } | dict(sorted(by_step.items()))

    def by_step(self) -> dict[str, dict[str, int]]:
        """For each step that did anything, in the order they ran, how many dialogues it treated.

        "altered" and "flagged" count those that were kept in the end, "set aside" all it took out;
        the sum of "set aside" over the steps is the number of rejected ones.
        """
        kept = {dialogue.id for dialogue in self.kept}
        treated: dict[str, dict[str, set[Any]]] = defaultdict(lambda: {f: set() for f in FATES})
        for change in self.changes:
            if change.dialogue_id in kept:
                fate = "flagged" if change.is_flag else "altered"
                treated[change.step][fate].add(change.dialogue_id)
        for number, rejected in enumerate(self.rejected):
            treated[rejected.step]["set aside"].add(number)
        return {name: {f: len(treated[name][f]) for f in FATES} for name in _in_order(treated)}

    def to_dict(self) -> dict[str, Any]:
        """What a report file holds: counts, every change, every rejection (without its text)."""
        return {
            "counts": self.counts,
            "by_step": self.by_step(),
            "changes": [asdict(change) for change in self.changes],
            "rejected": [without_text(rejected.to_dict()) for rejected in self.rejected],
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any], kept: list[Dialogue]) -> CleaningReport:
        """The report of a file that `to_dict` filled, with the dialogues that were kept."""
        rejected = [
            Rejected(r["id"], r["step"], r["reason"], r["equals"], line=r["line"])
            for r in record["rejected"]
        ]
        changes = [Change(**change) for change in record["changes"]]
        return cls(kept, rejected, changes, record["counts"]["read"])

    def table(self) -> str:
        """The counts and, for each step, its reasons with one example, as readable text."""
        return Totals.of([self]).table()


@dataclass(slots=True)
class Totals:
    """The sums of several reports, one for each part of a stream; holds no dialogue."""

    _counts: Counter[str] = field(default_factory=Counter)
    _steps: dict[str, Counter[str]] = field(default_factory=dict)
    _reasons: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, reports: Iterable[CleaningReport]) -> Totals:
        """The sums of these reports."""
        totals = cls()
        for report in reports:
            totals.add(report)
        return totals

    def add(self, report: CleaningReport) -> None:
        """Counts one more part in."""
        self._counts.update(report.counts)
        for step, row in report.by_step().items():
            self._steps.setdefault(step, Counter()).update(row)
        for step, reason, name in _reasons(report):
            count, example = self._reasons.get((step, reason), (0, name))
            self._reasons[step, reason] = (count + 1, example)

    @property
    def counts(self) -> dict[str, int]:
        """As `CleaningReport.counts`, over all parts."""
        others = sorted(set(self._counts) - set(SUMS))
        return {name: self._counts[name] for name in (*SUMS, *others)}

    def by_step(self) -> dict[str, dict[str, int]]:
        """As `CleaningReport.by_step`, over all parts."""
        return {name: {f: self._steps[name][f] for f in FATES} for name in _in_order(self._steps)}

    def table(self) -> str:
        """As `CleaningReport.table`, over all parts."""
        lines = [f"{name:<34}{count:>9,}" for name, count in self.counts.items()]
        lines += ["", f"{'step':<22}{'reason':<58}{'times':>8}  example"]
        for (step, reason), (count, example) in sorted(self._reasons.items()):
            lines.append(f"{step:<22}{reason[:57]:<58}{count:>8,}  {example}")
        return "\n".join(lines)


def without_text(rejected: dict[str, Any]) -> dict[str, Any]:
    """A line of a rejects file as a report holds it."""
    return {name: rejected[name] for name in ("id", "line", "step", "reason", "equals")}


def _in_order(names: Iterable[str]) -> list[str]:
    order = {name: place for place, name in enumerate(("read", *STEPS))}
    return sorted(names, key=lambda name: order.get(name, len(order)))


def _reasons(report: CleaningReport) -> Iterator[tuple[str, str, str]]:
    """(step, kind of reason, dialogue) of each change to a kept dialogue and each rejection."""
    kept = {dialogue.id for dialogue in report.kept}
    for change in report.changes:
        if change.dialogue_id in kept:
            yield change.step, _kind(change.reason), change.dialogue_id
    for rejected in report.rejected:
        name = str(rejected.dialogue_id or f"line {rejected.line}")
        yield rejected.step, f"{_kind(rejected.reason)} (set aside)", name


def _kind(reason: str) -> str:
    """A reason without what differs from one dialogue to the next."""
    return re.sub(r"'[^']*'|\"[^\"]*\"", "…", re.sub(r"0x[0-9a-f]+|\d+(?:\.\d+)?", "…", reason))
