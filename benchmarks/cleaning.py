"""Cleaning: near copies by three methods, growth with the data, and a stream's speed and memory.

python benchmarks/cleaning.py                       the tables, on the shop's raw logs
python benchmarks/cleaning.py --json                the same as one JSON object
python benchmarks/cleaning.py --stream 1000000      and so many generated dialogues as a stream
python benchmarks/cleaning.py --dialogues 500       a quick look

Methods: our exact inverted index, datasketch MinHash LSH (ours verified, and as it comes), and a
plain comparison of all pairs, which is the truth for recall and precision. Growth: seconds for
all dialogues over those for a tenth of them, each the best of `--repeats`. Seconds are the
processor's, so that other programs on the machine do not count. The stream runs in a
process of its own; its memory is that process's largest resident set, and its near copies are
planted, so that its recall is known.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from course_lib.cleaning import (  # noqa: E402
    NearIndex,
    clean,
    clean_stream,
    config_for,
    deduplicate,
    jaccard,
    shingles,
    write_stream,
)
from course_lib.cleaning.duplicates import Index, dialogue_text  # noqa: E402
from course_lib.cleaning.lsh import BANDS, ROWS, LshIndex, signatures  # noqa: E402
from course_lib.dialogue import Dialogue, Message, read_dialogues  # noqa: E402
from course_lib.journey import SHOP, say  # noqa: E402

THRESHOLD = 0.6
GROWN = 10_000  # generated dialogues that growth is measured on, besides the data's own
COPIES_EVERY, NEAR_EVERY = 50, 50  # of a stream's dialogues one in so many is a (near) copy
MEBIBYTE = 1024  # in KiB, the unit of ru_maxrss on Linux

Row = dict[str, Any]


class AllPairs:
    """The plain baseline: each new text is compared with all that were added."""

    def __init__(self, texts: Sequence[str], threshold: float) -> None:
        self.threshold, self.added = threshold, list[int]()
        self.sets = [shingles(text) for text in texts]

    def add(self, which: int) -> None:
        self.added.append(which)

    def near(self, which: int) -> list[tuple[int, float]]:
        alike = ((other, jaccard(self.sets[which], self.sets[other])) for other in self.added)
        return [hit for hit in alike if hit[1] >= self.threshold]


class Datasketch:
    """MinHashLSH as its manual shows it: what shares a band is taken for a near copy."""

    def __init__(self, texts: Sequence[str], threshold: float) -> None:
        from datasketch import MinHashLSH

        number = BANDS * ROWS
        self.signatures = list(signatures(texts, number))
        self.index = MinHashLSH(threshold=threshold, num_perm=number)

    def add(self, which: int) -> None:
        self.index.insert(which, self.signatures[which])

    def near(self, which: int) -> list[tuple[int, float]]:
        return [(other, 1.0) for other in self.index.query(self.signatures[which])]


METHODS: dict[str, Callable[[Sequence[str], float], Index]] = {
    "all pairs": AllPairs,
    "exact index": NearIndex,
    "LSH, verified": LshIndex,
    "datasketch alone": Datasketch,
}


def near_copies(make: Callable[[Sequence[str], float], Index], texts: Sequence[str]) -> set[int]:
    """The numbers of the texts that are like an earlier one which is none itself."""
    index, found = make(texts, THRESHOLD), set()
    for number in range(len(texts)):
        if index.near(number):
            found.add(number)
        else:
            index.add(number)
    return found


def compare_methods(dialogues: Sequence[Dialogue]) -> list[Row]:
    """Each method on the same texts: dialogues per second, and what it found of the truth."""
    texts, rows = [dialogue_text(dialogue) for dialogue in dialogues], list[Row]()
    truth: set[int] = set()
    for name, make in METHODS.items():
        seconds, found = timed(lambda make=make: near_copies(make, texts))  # type: ignore[misc]
        truth = truth or found  # the first method compares all pairs
        right = len(found & truth)
        rows.append(
            {
                "method": name,
                "seconds": seconds,
                "per_second": len(texts) / seconds,
                "near_copies": len(found),
                "recall": right / len(truth) if truth else 1.0,
                "precision": right / len(found) if found else 1.0,
            }
        )
        say(f"{name}: {seconds:.1f} s")
    return rows


def growth(dialogues: Sequence[Dialogue], repeats: int) -> list[Row]:
    """Seconds for a tenth of the dialogues and for all, and how many times as long that is."""
    config, made = config_for("shop"), list(generated(GROWN))
    work: dict[str, tuple[Sequence[Dialogue], Callable[[Sequence[Dialogue]], Any]]] = {
        "clean": (dialogues, lambda some: clean(some, config)),
        "clean, generated": (made, clean),
        "deduplicate, exact index": (dialogues, deduplicate),
        "deduplicate, LSH": (dialogues, lambda some: deduplicate(some, near="lsh")),
    }
    rows = []
    for name, (whole, run) in work.items():
        tenth = whole[::10] if whole is dialogues else whole[: len(whole) // 10]
        run(tenth)  # what is loaded once does not count
        small, large = (
            min(timed(lambda run=run, some=some: run(some))[0] for _ in range(repeats))
            for some in (tenth, whole)
        )
        counts = {"dialogues": len(tenth), "ten_times": len(whole)}
        rows.append(
            {"work": name, **counts, "seconds": small, "seconds_ten_times": large}
            | {"growth": large / small, "per_second": len(whole) / large}
        )
        say(f"{name}: {large / small:.1f} times as long")
    return rows


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """(seconds, result)"""
    started = time.process_time()  # other programs on the machine do not count
    result = work()
    return time.process_time() - started, result


def generated(number: int, seed: int = 0) -> Iterator[Dialogue]:
    """Dialogues of four short turns in made-up words; some copy earlier ones, or nearly."""
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(5_000)]
    earlier: list[list[str]] = []  # the first thousand, which the copies copy
    for place in range(number):
        kind, said = "fresh", [" ".join(rng.choices(words, k=6)) for _ in range(4)]
        if earlier and place % COPIES_EVERY == 0:
            kind, said = "copy", rng.choice(earlier)
        elif earlier and place % NEAR_EVERY == 1:
            kind, said = "near", _reworded(rng.choice(earlier), words, rng)
        elif len(earlier) < 1_000:
            earlier.append(said)
        roles = ("user", "assistant") * 2
        turns = [Message(role, f"{text}.") for role, text in zip(roles, said, strict=True)]
        yield Dialogue(f"{kind}-{place}", turns)


def _reworded(said: list[str], words: list[str], rng: random.Random) -> list[str]:
    """One to three words replaced: seven to nine tenths of the 5-grams stay."""
    turns = [text.split() for text in said]
    for _ in range(rng.randint(1, 3)):
        turn = rng.choice(turns)
        turn[rng.randrange(len(turn))] = rng.choice(words)
    return [" ".join(turn) for turn in turns]


def stream(number: int) -> Row:
    """Streams generated dialogues from file to file; call it in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        raw, rejects = Path(folder) / "raw.jsonl", Path(folder) / "rejects.jsonl"
        planted = _write(raw, number)
        seconds, totals = timed(
            lambda: write_stream(
                clean_stream(read_dialogues(raw)), Path(folder) / "kept.jsonl", rejects
            )
        )
        found = _kinds(rejects)
    counts = totals.counts
    if counts["read"] != number or counts["kept"] + counts["rejected"] != number:
        raise SystemExit(f"the counts do not add up: {counts}")
    return {
        "dialogues": number,
        "seconds": seconds,
        "per_second": number / seconds,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEBIBYTE,
        "kept": counts["kept"],
        "copies_recall": found["copy"] / planted["copy"] if planted["copy"] else 1.0,
        "near_recall": found["near"] / planted["near"] if planted["near"] else 1.0,
        "fresh_lost": found["fresh"],
    }


def _write(path: Path, number: int) -> dict[str, int]:
    """Writes the generated dialogues; returns how many there are of each kind."""
    planted = dict.fromkeys(("fresh", "copy", "near"), 0)
    with path.open("w", encoding="utf-8") as file:
        for dialogue in generated(number):
            planted[dialogue.id.partition("-")[0]] += 1
            file.write(f"{json.dumps(dialogue.to_dict())}\n")
    return planted


def _kinds(rejects: Path) -> dict[str, int]:
    found = dict.fromkeys(("fresh", "copy", "near"), 0)
    with rejects.open(encoding="utf-8") as file:
        for line in file:
            found[json.loads(line)["id"].partition("-")[0]] += 1
    return found


def stream_apart(number: int) -> Row:
    """`stream` in a fresh process, so that its memory is its own."""
    command = [sys.executable, __file__, "--only-stream", str(number)]
    found = subprocess.run(command, capture_output=True, text=True)
    if found.returncode:
        raise SystemExit(found.stderr)
    row: Row = json.loads(found.stdout)
    return row


def ratios(methods: Sequence[Row]) -> dict[str, float]:
    """How many times as fast each method is as the comparison of all pairs."""
    speed = {row["method"]: row["per_second"] for row in methods}
    return {f"{name} / all pairs": value / speed["all pairs"] for name, value in speed.items()}


def measure(options: argparse.Namespace) -> Row:
    """All that the options ask for."""
    dialogues = list(read_dialogues(options.data, []))
    random.Random(options.seed).shuffle(dialogues)
    dialogues = dialogues[: options.dialogues or None]
    methods = compare_methods(dialogues)
    found: Row = {"dialogues": len(dialogues), "threshold": THRESHOLD, "methods": methods}
    found |= {"ratios": ratios(methods), "growth": growth(dialogues, options.repeats)}
    if options.stream:
        found["stream"] = stream_apart(options.stream)
    return found


def table(found: Row) -> str:
    """The figures as readable text."""
    lines = [f"near copies among {found['dialogues']:,} dialogues, Jaccard {THRESHOLD} or more"]
    lines.append(f"{'method':<26}{'per second':>12}{'found':>8}{'recall':>9}{'precision':>11}")
    for row in found["methods"]:
        lines.append(
            f"{row['method']:<26}{row['per_second']:>12,.0f}{row['near_copies']:>8,}"
            f"{row['recall']:>9.3f}{row['precision']:>11.3f}"
        )
    lines += [
        "",
        f"{'ten times the data':<26}{'seconds':>12}{'then':>8}{'times':>9}{'a second':>11}",
    ]
    for row in found["growth"]:
        lines.append(
            f"{row['work']:<26}{row['seconds']:>12.2f}{row['seconds_ten_times']:>8.2f}"
            f"{row['growth']:>9.1f}{row['per_second']:>11,.0f}"
        )
    if "stream" in found:
        lines += ["", _stream_line(found["stream"])]
    return "\n".join(lines)


def _stream_line(row: Row) -> str:
    return (
        f"stream of {row['dialogues']:,} short dialogues: {row['seconds']:,.0f} s "
        f"({row['per_second']:,.0f} a second), largest memory {row['peak_mib']:,.0f} MiB,\n"
        f"copies found {row['copies_recall']:.3f}, near copies found {row['near_recall']:.3f}, "
        f"others lost {row['fresh_lost']:,}"
    )


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--data", type=Path, default=SHOP / "raw.jsonl", help="a JSONL file")
    options.add_argument("--dialogues", type=int, default=0, help="how many of them; 0: all")
    options.add_argument("--repeats", type=int, default=3, help="runs; the best one counts")
    options.add_argument("--stream", type=int, default=0, help="generated dialogues to stream")
    options.add_argument("--only-stream", type=int, default=0, help=argparse.SUPPRESS)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--json", action="store_true", help="print one JSON object")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    if options.only_stream:
        print(json.dumps(stream(options.only_stream)))
        return
    found = measure(options)
    print(json.dumps(found) if options.json else table(found))


if __name__ == "__main__":
    main()
