"""The experiment table: what was run, on what, with what outcome. Lines are added, never changed.

One run is one JSON line, flushed to the disk before `add` returns. A second run of the same name
gets a line of its own. Every line carries a hash of all that stood in the file before it, so that a
later edit above it shows; half a line that a killed process left is named and kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from course_lib.annotation.scores import Interval
from course_lib.metrics.intervals import bootstrap, paired

_HERE = Path(__file__).resolve().parent
_DIGITS = 12  # of a hash: enough to tell runs apart, short enough to read
_NEEDED = {"number": int, "name": str, "config": dict, "outcomes": dict, "after": str}
COLUMNS = ["no.", "name", "changed", "data", "code", "seconds"]


class ExperimentError(ValueError):
    """A run that cannot be written down or compared; says which, why and what to do."""


# ---- what a run was made from


def fingerprint(items: Iterable[Any]) -> str:
    """Number and hash of dialogues, questions or other records, in their order: "1000:3f2a…".

    Order counts, as training in another order is another run.
    """
    digest, count = hashlib.sha256(), 0
    for item in items:
        digest.update(json.dumps(_plain(item), sort_keys=True).encode() + b"\n")
        count += 1
    return f"{count}:{digest.hexdigest()[:_DIGITS]}"


def _plain(item: Any) -> Any:
    """What JSON can hold; sets are sorted, as their order changes from run to run."""
    if hasattr(item, "to_dict"):
        return item.to_dict()
    if is_dataclass(item) and not isinstance(item, type):
        return {name: _plain(getattr(item, name)) for name in item.__dataclass_fields__}
    if isinstance(item, Mapping):
        return {str(key): _plain(value) for key, value in item.items()}
    if isinstance(item, (set, frozenset)):
        return sorted(map(_plain, item))
    return [_plain(one) for one in item] if isinstance(item, (list, tuple)) else item


def weights_hash(model: Any) -> str:
    """Hash of a model's weights: names, shapes and every byte."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        numbers = tensor.detach().cpu().contiguous().float().numpy()
        digest.update(f"{name} {tensor.dtype} {numbers.shape}".encode() + numbers.tobytes())
    return digest.hexdigest()[:_DIGITS]


@dataclass(frozen=True, slots=True)
class Code:
    """The state of the code: its commit, and a hash of what was changed since ("" if nothing)."""

    commit: str
    changes: str = ""

    @property
    def dirty(self) -> bool:
        return bool(self.changes)

    def __str__(self) -> str:
        return f"{self.commit[:8]}+{self.changes[:4]}" if self.dirty else self.commit[:8]


def code_state(folder: str | Path = _HERE) -> Code:
    """Commit and uncommitted changes of the repository that holds `folder`; "none" without one.

    New files count as changes too, unless git ignores them: Python imports them all the same.
    """
    try:
        commit = _git(folder, "rev-parse", "HEAD").decode().strip()
        top = _git(folder, "rev-parse", "--show-toplevel").decode().strip()
        changes = _git(top, "diff", "HEAD", "--binary")
        new = _git(top, "ls-files", "--others", "--exclude-standard", "-z").split(b"\0")[:-1]
    except (OSError, subprocess.SubprocessError):
        return Code("none")
    digest = hashlib.sha256(changes)
    for name in new:
        path = Path(top, os.fsdecode(name))
        digest.update(name + (path.read_bytes() if path.is_file() else b""))
    return Code(commit, digest.hexdigest()[:_DIGITS] if changes or new else "")


def _git(folder: str | Path, *arguments: str) -> bytes:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, check=True, timeout=30).stdout


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    return found | {name: metadata.version(name) for name in ("torch", "transformers")}


# ---- a run and its outcome


@dataclass(frozen=True, slots=True)
class Outcome:
    """A measure: one value a question, the dialogue of each, and a fingerprint of what was asked.

    `figure` is the mean with its interval over whole dialogues.
    """

    values: tuple[float, ...]
    groups: tuple[str, ...]
    asked: str
    figure: Interval


def outcome(values: Sequence[float], groups: Sequence[str], asked: Iterable[Any]) -> Outcome:
    """An outcome from one value a question; raises ExperimentError unless there is one each."""
    asked = list(asked)
    if not len(values) == len(groups) == len(asked) > 0:
        raise ExperimentError(
            f"{len(values)} values, {len(groups)} dialogues and {len(asked)} questions: give as "
            "many of each, at least 1"
        )
    numbers = tuple(float(value) for value in values)
    figure = bootstrap(numbers, groups=list(groups))
    return Outcome(numbers, tuple(groups), fingerprint(asked), figure)


@dataclass(frozen=True, slots=True)
class Experiment:
    """One run. `number`, `started` and `code` are filled in by the log where they are empty."""

    name: str
    config: dict[str, Any]
    data: str
    base: str
    seconds: float
    outcomes: dict[str, Outcome]
    note: str = ""
    number: int = 0
    started: str = ""
    code: Code | None = None
    versions: dict[str, str] = field(default_factory=dict)

    def figure(self, measure: str) -> Interval:
        """A measure with its interval; raises ExperimentError for one that was not taken."""
        return self.outcome(measure).figure

    def outcome(self, measure: str) -> Outcome:
        if measure not in self.outcomes:
            known = ", ".join(self.outcomes) or "nothing"
            raise ExperimentError(f"{self}: measured is {known}, not {measure!r}")
        return self.outcomes[measure]

    def __str__(self) -> str:
        return f"run {self.number} ({self.name})"


def changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """{setting: (old value, new value)} of what differs; a setting that is not there is None."""
    names = list(dict.fromkeys([*old, *new]))
    pairs = {name: (old.get(name), new.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs on the same questions: what was changed, what came of it, and how sure that is.

    `p` is two-sided. `verdict` takes the pair by itself; many are judged by `hold_together`.
    """

    new: str
    old: str
    measure: str
    changed: dict[str, tuple[Any, Any]]
    difference: Interval
    p: float
    better: int
    worse: int

    @property
    def verdict(self) -> str:
        """Whether the interval of the difference leaves 0 out, and on which side."""
        if self.difference.low > 0:
            return "helped"
        return "hurt" if self.difference.high < 0 else "noise"

    def __str__(self) -> str:
        d = self.difference
        return (
            f"{self.new} − {self.old}: {d.value:+.3f} ({d.low:+.3f} to {d.high:+.3f}), "
            f"{self.better} better, {self.worse} worse, p = {self.p:.3f}: {self.verdict}"
        )


def compare(new: Experiment, old: Experiment, measure: str) -> Comparison:
    """The paired difference new − old over whole dialogues, and what was changed between the two.

    Raises ExperimentError when the two were not asked the same questions.
    """
    one, other = new.outcome(measure), old.outcome(measure)
    if (one.asked, one.groups) != (other.asked, other.groups):
        raise ExperimentError(
            f"{new} and {old} were asked different questions ({one.asked} and {other.asked}): "
            "measure both on the same ones"
        )
    found = paired(one.values, other.values, groups=list(one.groups))
    steps = [a - b for a, b in zip(one.values, other.values, strict=True)]
    better, worse = sum(step > 0 for step in steps), sum(step < 0 for step in steps)
    settings = changed(old.config, new.config)
    return Comparison(
        new.name, old.name, measure, settings, found.difference, float(found.p), better, worse
    )


# ---- the file


class ExperimentLog:
    """A file of runs, one JSON line each. `problems` says what in it cannot be trusted, and why.

        log = ExperimentLog("runs/experiments.jsonl")
        log.add(Experiment(...))

    Iterating gives the runs in order. Several processes may add to one file: each add takes the
    file's lock, and reads what the others have added.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.runs: list[Experiment] = []
        self.problems: list[str] = []
        self.reload()

    def reload(self) -> None:
        """Reads the file again."""
        content = b""
        if self.path.exists():
            with self.path.open("rb") as file, _locked(file.fileno(), alone=False):
                content = file.read()
        self.runs, self.problems = _read(content, self.path.name)

    def add(self, experiment: Experiment) -> Experiment:
        """Writes a run as a line of its own and returns it with its number.

        The line is on the disk, whole, when this returns; if writing fails, the file is as before.
        """
        stamped = _stamped(experiment)
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | _BINARY, 0o644)
        try:
            with _locked(descriptor):
                added = _append(descriptor, stamped, self.path.name)
        finally:
            os.close(descriptor)
        self.reload()
        return added

    def __iter__(self) -> Iterator[Experiment]:
        return iter(self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    def named(self, name: str) -> Experiment:
        """The latest run of this name; raises ExperimentError when there is none."""
        found = [run for run in self.runs if run.name == name]
        if not found:
            known = ", ".join(dict.fromkeys(run.name for run in self.runs)) or "no runs yet"
            raise ExperimentError(f"{self.path.name} has no run {name!r}: {known}")
        return found[-1]

    def compare(self, new: str, old: str, measure: str) -> Comparison:
        """The latest runs of these names, compared."""
        return compare(self.named(new), self.named(old), measure)

    def rows(self, measures: Sequence[str]) -> tuple[list[str], list[list[Any]]]:
        """Columns and rows of the table; "changed" is against the first run."""
        return [*COLUMNS, *measures], [_row(run, self.runs[0], measures) for run in self.runs]

    def __repr__(self) -> str:
        troubles = f", {len(self.problems)} problems" if self.problems else ""
        return f"ExperimentLog({len(self.runs)} runs, {self.path.name}{troubles})"


def _row(run: Experiment, first: Experiment, measures: Sequence[str]) -> list[Any]:
    settings = changed(first.config, run.config)
    told = ", ".join(f"{name} {new}" for name, (_, new) in settings.items()) or "nothing"
    figures = [str(run.outcomes[m].figure) if m in run.outcomes else "" for m in measures]
    return [run.number, run.name, told, run.data, str(run.code), round(run.seconds), *figures]


def _stamped(run: Experiment) -> Experiment:
    return replace(
        run,
        started=run.started or datetime.now(UTC).isoformat(timespec="seconds"),
        code=run.code or code_state(),
        versions=run.versions or _versions(),
    )


def _append(descriptor: int, run: Experiment, name: str) -> Experiment:
    """Adds the run's line; half a line before it is ended first, and stays."""
    content = _content(descriptor)
    known, _ = _read(content, name)
    end = b"" if content.endswith(b"\n") or not content else b"\n"
    run = replace(run, number=max((r.number for r in known), default=0) + 1)
    record = {**asdict(run), "after": _hash(content + end)}
    try:
        line = json.dumps(record, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    except (TypeError, ValueError) as error:
        raise ExperimentError(f"{run} cannot be written as JSON: {error}") from None
    try:
        _write_all(descriptor, end + line)
        os.fsync(descriptor)
    except BaseException:
        os.ftruncate(descriptor, len(content))
        raise
    return run


def _content(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    return b"".join(iter(lambda: os.read(descriptor, 1 << 20), b""))


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGITS]


def _read(content: bytes, name: str) -> tuple[list[Experiment], list[str]]:
    """The runs of a file's content, and what is wrong with it by line."""
    runs: list[Experiment] = []
    problems: list[str] = []
    before = hashlib.sha256()
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        try:
            run, after = _parsed(line)
            runs.append(run)
            if after != before.hexdigest()[:_DIGITS]:
                problems.append(f"{name}, line {number}: what stands above it was changed later")
        except (KeyError, TypeError, ValueError, RecursionError):
            problems.append(f"{name}, line {number}: no whole run, left out (a killed process?)")
        before.update(line)
    return runs, problems


def _parsed(line: bytes) -> tuple[Experiment, str]:
    record = json.loads(line.decode("utf-8"))
    if not isinstance(record, dict) or any(type(record[n]) is not k for n, k in _NEEDED.items()):
        raise ValueError("no run")
    after = record.pop("after")
    record["outcomes"] = {name: _outcome(o) for name, o in record["outcomes"].items()}
    record["code"] = Code(**record["code"])
    return Experiment(**record), after


def _outcome(record: dict[str, Any]) -> Outcome:
    values, groups = tuple(record["values"]), tuple(record["groups"])
    return Outcome(values, groups, record["asked"], Interval(**record["figure"]))


# ---- locks

_BINARY = getattr(os, "O_BINARY", 0)  # Windows would turn each newline into two characters


@contextmanager
def _locked(descriptor: int, alone: bool = True) -> Iterator[None]:
    """Holds the file's lock; the system frees it when the process ends, however it ends."""
    try:
        import fcntl
    except ImportError:  # Windows: one write in append mode is the best there is
        yield
        return
    fcntl.flock(descriptor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
