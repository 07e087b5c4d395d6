"""All steps over a data set: in one process or several, all at once or as a stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import islice
from multiprocessing import get_context

from course_lib.cleaning.changes import Change, Rejected, Step, StepResult
from course_lib.cleaning.config import DATA_SET_STEPS, CleaningConfig, DataSetStep
from course_lib.cleaning.report import CleaningReport
from course_lib.cleaning.seen import SeenDialogues
from course_lib.dialogue import Dialogue, Reject

CHUNK = 200  # dialogues that a process gets at once
PART = 10_000  # dialogues of a stream that are held at a time

_Result = tuple[Dialogue, StepResult]


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
    report = _gathered(_each_cleaned(dialogues, config, processes))
    _run_data_set_steps(report, config.data_set_steps().values())
    _count_unreadable(report, unreadable or [])
    return report


def clean_stream(
    dialogues: Iterable[Dialogue],
    config: CleaningConfig | None = None,
    unreadable: list[Reject] | None = None,
    processes: int = 1,
    part: int = PART,
) -> Iterator[CleaningReport]:
    """As `clean`, for more than memory holds: a report for each part, which add up in `Totals`.

    Exact copies are found over the whole stream, near copies too, but by LSH, whose recall is
    below 1; both are remembered on disk. The other steps on whole data sets learn from each part
    of `part` to twice as many dialogues by itself. A stream of one part is cleaned as by `clean`
    with `near="lsh"`. `unreadable` is emptied from part to part.
    """
    config, bad = config or CleaningConfig(), [] if unreadable is None else unreadable
    steps = config.data_set_steps()
    with closing(SeenDialogues(config.duplicate_threshold)) as seen:
        if "deduplicate" in steps:
            steps["deduplicate"] = seen.deduplicate
        for some in _parts(_each_cleaned(dialogues, config, processes), part):
            report = _gathered(some)
            _run_data_set_steps(report, steps.values())
            _count_unreadable(report, bad)
            bad.clear()
            yield report
    if bad:  # nothing could be read
        report = CleaningReport()
        _count_unreadable(report, bad)
        yield report


def stream_notes(part: int = PART) -> list[str]:
    """What a reader of a stream's report must know of its steps on whole data sets."""
    learned = [name for name in DATA_SET_STEPS if name != "deduplicate"]
    return [
        f"a stream: {', '.join(learned)} learned from each part of {part:,} dialogues or more",
        "a stream: deduplicate found all exact copies, and near copies by LSH: a few may remain",
    ]


def _parts(results: Iterable[_Result], size: int) -> Iterator[list[_Result]]:
    """Lists of `size`; the last takes in what would be too little to learn from by itself."""
    if size < 1:
        raise ValueError(f"a part of a stream holds 1 dialogue or more, not {size}")
    results = iter(results)
    part = list(islice(results, size))
    while part:
        following = list(islice(results, size))
        if len(following) < size:
            yield part + following
            return
        yield part
        part = following


def _gathered(results: Iterable[_Result]) -> CleaningReport:
    report = CleaningReport()
    for dialogue, (cleaned, changes) in results:
        report.read += 1
        report.changes += changes
        if cleaned is None:
            why = changes[-1]
            report.rejected.append(Rejected(dialogue.id, why.step, why.reason, None, dialogue))
        else:
            report.kept.append(cleaned)
    return report


def _run_data_set_steps(report: CleaningReport, steps: Iterable[DataSetStep]) -> None:
    for whole_step in steps:
        report.kept, rejected, flags = whole_step(report.kept)
        report.rejected += rejected
        report.changes += flags


def _each_cleaned(
    dialogues: Iterable[Dialogue], config: CleaningConfig, processes: int
) -> Iterator[_Result]:
    """Each dialogue with what the steps made of it, in order; few are held at a time."""
    if processes < 1:
        raise ValueError(f"processes must be 1 or more, not {processes}")
    if processes == 1:
        steps = config.dialogue_steps()
        for dialogue in dialogues:
            yield dialogue, run_steps(dialogue, steps)
        return
    waiting = iter(dialogues)
    with get_context("spawn").Pool(processes, _set_up_worker, (config,)) as pool:
        while some := list(islice(waiting, CHUNK * processes)):
            yield from zip(some, pool.map(_clean_in_worker, some, CHUNK), strict=True)


_worker_steps: list[Step] = []


def _set_up_worker(config: CleaningConfig) -> None:
    _worker_steps[:] = config.dialogue_steps()


def _clean_in_worker(dialogue: Dialogue) -> StepResult:
    return run_steps(dialogue, _worker_steps)


def run_steps(dialogue: Dialogue, steps: Iterable[Step]) -> StepResult:
    """One dialogue through all these steps, or to the first that sets it aside."""
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
