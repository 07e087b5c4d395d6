"""All steps over a data set, and the report that accounts for every dialogue."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from multiprocessing import get_context
from typing import Any

from course_lib.cleaning.changes import Change, DataSetResult, Rejected, Step, StepResult
from course_lib.cleaning.conduct import (
    Facts,
    check_confirmation,
    check_facts,
    check_memory,
)
from course_lib.cleaning.duplicates import deduplicate
from course_lib.cleaning.habits import find_cut_replies, find_swapped_roles
from course_lib.cleaning.labels import find_wrong_labels
from course_lib.cleaning.language import check_language
from course_lib.cleaning.mails import strip_mail
from course_lib.cleaning.personal import redact_personal_data
from course_lib.cleaning.text import repair_text
from course_lib.cleaning.turns import (
    check_roles,
    cut_open_end,
    drop_empty_turns,
    drop_loops,
    merge_split_turns,
)
from course_lib.cleaning.unsafe import drop_unsafe
from course_lib.dialogue import Dialogue, Reject

CHUNK = 200  # dialogues that a process gets at once
FATES = ("altered", "set aside", "flagged")  # what a step can do to a dialogue
STEPS = (
    "repair_text",
    "strip_mail",
    "drop_empty_turns",
    "merge_split_turns",
    "cut_open_end",
    "check_roles",
    "drop_loops",
    "check_language",
    "drop_unsafe",
    "check_facts",
    "check_confirmation",
    "check_memory",
    "redact_personal_data",
    "find_swapped_roles",
    "find_cut_replies",
    "find_wrong_labels",
    "deduplicate",
)


@dataclass(frozen=True, slots=True)
class CleaningConfig:
    """Which steps run (in the order of `STEPS`) and with what settings.

    `allow`: contacts that are no personal data, such as the shop's own hotline.
    `facts`: product -> slot -> true value, for `check_facts`. `confirmed`: the actions that an
    agent must not take before the customer agreed. `duplicate_threshold`: Jaccard index of 5-grams
    from which two dialogues are near copies.
    """

    steps: tuple[str, ...] = STEPS
    loop_times: int = 4
    allow: tuple[str, ...] = ()
    facts: Facts = field(default_factory=dict)
    confirmed: tuple[str, ...] = ()
    duplicate_threshold: float = 0.6

    def __post_init__(self) -> None:
        unknown = sorted(set(self.steps) - set(STEPS))
        if unknown:
            raise ValueError(f"unknown cleaning steps {unknown}; known are {', '.join(STEPS)}")

    def dialogue_steps(self) -> list[Step]:
        """The steps that look at one dialogue at a time, ready to call."""
        ready: dict[str, Step] = {
            "repair_text": repair_text,
            "drop_empty_turns": drop_empty_turns,
            "strip_mail": strip_mail,
            "merge_split_turns": merge_split_turns,
            "cut_open_end": cut_open_end,
            "check_roles": check_roles,
            "check_language": check_language,
            "drop_unsafe": drop_unsafe,
            "check_facts": lambda dialogue: check_facts(dialogue, self.facts),
            "check_confirmation": lambda dialogue: check_confirmation(dialogue, self.confirmed),
            "check_memory": check_memory,
            "drop_loops": lambda dialogue: drop_loops(dialogue, self.loop_times),
            "redact_personal_data": lambda dialogue: redact_personal_data(dialogue, self.allow),
        }
        return [ready[name] for name in STEPS if name in ready and name in self.steps]

    def data_set_steps(self) -> list[Callable[[list[Dialogue]], DataSetResult]]:
        """The steps that look at all dialogues together, ready to call."""
        ready: dict[str, Callable[[list[Dialogue]], DataSetResult]] = {
            "find_swapped_roles": find_swapped_roles,
            "find_cut_replies": find_cut_replies,
            "find_wrong_labels": find_wrong_labels,
            "deduplicate": lambda dialogues: deduplicate(dialogues, self.duplicate_threshold),
        }
        return [ready[name] for name in STEPS if name in ready and name in self.steps]


def config_for(source: str) -> CleaningConfig:
    """The default settings; for our own shop with its public contacts allowed."""
    if source != "shop":
        return CleaningConfig()
    from course_lib.world.catalogue import load_catalogue
    from course_lib.world.dialogues import CONFIRMED

    catalogue = load_catalogue()
    return CleaningConfig(
        allow=(catalogue.policies["hotline"], catalogue.policies["email"]),
        facts={product.full_name: product.facts for product in catalogue.products},
        confirmed=CONFIRMED,
    )


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
        order = {name: place for place, name in enumerate(("read", *STEPS))}
        names = sorted(treated, key=lambda name: order.get(name, len(order)))
        return {name: {fate: len(treated[name][fate]) for fate in FATES} for name in names}

    def to_dict(self) -> dict[str, Any]:
        """What a report file holds: counts, every change, every rejection (without its text)."""
        rejected = [
            {"id": r.dialogue_id, "line": r.line, "step": r.step, "reason": r.reason,
             "equals": r.equals}
            for r in self.rejected
        ]  # fmt: skip
        return {
            "counts": self.counts,
            "changes": [asdict(change) for change in self.changes],
            "rejected": rejected,
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
        lines = [f"{name:<34}{count:>7,}" for name, count in self.counts.items()]
        kept = {dialogue.id for dialogue in self.kept}
        groups: dict[tuple[str, str], list[str]] = defaultdict(list)
        for change in self.changes:
            if change.dialogue_id in kept:
                groups[change.step, _kind(change.reason)].append(change.dialogue_id)
        for rejected in self.rejected:
            groups[rejected.step, f"{_kind(rejected.reason)} (set aside)"].append(
                str(rejected.dialogue_id or f"line {rejected.line}")
            )
        lines += ["", f"{'step':<22}{'reason':<58}{'times':>6}  example"]
        for (step, reason), names in sorted(groups.items()):
            lines.append(f"{step:<22}{reason[:57]:<58}{len(names):>6,}  {names[0]}")
        return "\n".join(lines)


def _kind(reason: str) -> str:
    """A reason without what differs from one dialogue to the next."""
    return re.sub(r"'[^']*'|\"[^\"]*\"", "…", re.sub(r"0x[0-9a-f]+|\d+(?:\.\d+)?", "…", reason))


def clean(
    dialogues: Iterable[Dialogue],
    config: CleaningConfig | None = None,
    unreadable: list[Reject] | None = None,
    processes: int = 1,
) -> CleaningReport:
    """Runs the steps over all dialogues and accounts for each.

    `unreadable`: the list that the reader of `dialogues` fills; its lines count as rejected.
    With more `processes` the steps on single dialogues run side by side; the report is the same.
    """
    config = config or CleaningConfig()
    report = CleaningReport()
    for dialogue, (cleaned, changes) in _each_cleaned(dialogues, config, processes):
        report.read += 1
        report.changes += changes
        if cleaned is None:
            why = changes[-1]
            report.rejected.append(Rejected(dialogue.id, why.step, why.reason, None, dialogue))
        else:
            report.kept.append(cleaned)
    for whole_step in config.data_set_steps():
        report.kept, rejected, flags = whole_step(report.kept)
        report.rejected += rejected
        report.changes += flags
    _count_unreadable(report, unreadable or [])
    return report


def _each_cleaned(
    dialogues: Iterable[Dialogue], config: CleaningConfig, processes: int
) -> Iterator[tuple[Dialogue, StepResult]]:
    """Each dialogue with what the steps made of it, in order; few are held at a time."""
    if processes < 1:
        raise ValueError(f"processes must be 1 or more, not {processes}")
    if processes == 1:
        steps = config.dialogue_steps()
        for dialogue in dialogues:
            yield dialogue, _run_steps(dialogue, steps)
        return
    waiting = iter(dialogues)
    with get_context("spawn").Pool(processes, _set_up_worker, (config,)) as pool:
        while some := list(islice(waiting, CHUNK * processes)):
            yield from zip(some, pool.map(_clean_in_worker, some, CHUNK), strict=True)


_worker_steps: list[Step] = []


def _set_up_worker(config: CleaningConfig) -> None:
    _worker_steps[:] = config.dialogue_steps()


def _clean_in_worker(dialogue: Dialogue) -> StepResult:
    return _run_steps(dialogue, _worker_steps)


def _run_steps(dialogue: Dialogue, steps: Iterable[Step]) -> StepResult:
    changes: list[Change] = []
    current: Dialogue | None = dialogue
    for step in steps:
        if current is not None:
            current, made = step(current)
            changes += made
    return current, changes


def _count_unreadable(report: CleaningReport, unreadable: Iterable[Reject]) -> None:
    for bad in unreadable:
        report.read += 1
        report.rejected.append(
            Rejected(bad.dialogue_id, "read", bad.reason, line=bad.line, text=bad.text)
        )
