"""Learning curves: the base model and random weights on 50, 200, 1,000 and all dialogues.

python benchmarks/learning_curves.py                 the table, and progress on the error stream
python benchmarks/learning_curves.py --json          the same as one JSON object
python benchmarks/learning_curves.py --sizes 50 200 --steps 120 --questions 60    a quick look

Every run takes the same number of optimiser steps. The base's MLPs go back part of the way to
where they were (`--share`); random weights have nothing to go back to. Exact facts are counted on
held-out products (test_product) and on held-out wordings (test_phrasing), with 95% Wilson
intervals; the loss is that of test_iid, in nats per trained token.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from course_lib.dialogue import Dialogue, read_dialogues  # noqa: E402
from course_lib.journey import SHARE, SHOP, say  # noqa: E402
from course_lib.metrics import FactQuestion, fact_questions  # noqa: E402
from course_lib.transfer import (  # noqa: E402
    STARTS,
    Point,
    curve_table,
    learning_curve,
    nested_subsets,
)

SIZES = ("50", "200", "1000", "all")
TESTS = ("test_product", "test_phrasing")


def read_questions(folder: Path, count: int) -> tuple[dict[str, list[FactQuestion]], list[str]]:
    """The first `count` fact questions of each test set, and the test sets that are not there.

    Raises SystemExit when none is.
    """
    paths = {name: folder / f"{name}.jsonl" for name in TESTS}
    missing = [name for name, path in paths.items() if not path.is_file()]
    if len(missing) == len(TESTS):
        raise SystemExit(f"{folder} holds neither {' nor '.join(TESTS)}: nothing to measure on")
    there = {name: path for name, path in paths.items() if name not in missing}
    return {n: fact_questions(read_dialogues(p))[:count] for n, p in there.items()}, missing


def sizes_of(wanted: Sequence[str], dialogues: Sequence[Dialogue]) -> list[int]:
    """The numbers that the options name, each once, smallest first; "all" is all there are."""
    found = {len(dialogues) if size == "all" else int(size) for size in wanted}
    return sorted(found)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Runs the whole table; returns points and the test sets that are missing."""
    dialogues = list(read_dialogues(options.data / "train.jsonl"))
    held_out = list(read_dialogues(options.data / "test_iid.jsonl"))[: options.held_out]
    questions, missing = read_questions(options.data, options.questions)
    for name in missing:
        say(f"{options.data / name}.jsonl is not there: no figures for {name}")
    subsets = nested_subsets(dialogues, sizes_of(options.sizes, dialogues), options.seed)
    points = learning_curve(
        subsets,
        questions,
        held_out,
        options.steps,
        options.starts,
        options.seed,
        on_point=_tell,
        share=options.share,
    )
    return {"points": points, "missing": missing}


def _tell(point: Point) -> None:
    found = point.to_dict()
    shares = ", ".join(f"{name} {share}" for name, share in point.facts.items())
    say(f"{found['start']}, {found['dialogues']:,} dialogues: loss {found['loss']:.2f}, {shares}")


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--data", type=Path, default=SHOP, help="folder of the shop's files")
    options.add_argument("--sizes", nargs="+", default=list(SIZES), help="dialogues, or all")
    options.add_argument("--steps", type=int, default=850, help="optimiser steps of every run")
    options.add_argument("--starts", nargs="+", choices=STARTS, default=list(STARTS))
    options.add_argument("--share", type=float, default=SHARE, help="1: the MLPs stay as tuned")
    options.add_argument("--questions", type=int, default=10_000, help="at most so many a test set")
    options.add_argument("--held-out", type=int, default=300, help="dialogues for the loss")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--json", action="store_true", help="print one JSON object")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    found = measure(options)
    if options.json:
        points = [point.to_dict() for point in found["points"]]
        print(json.dumps({"points": points, "missing": found["missing"]}))
        return
    print(curve_table(found["points"]))
    for name in found["missing"]:
        print(f"{name}: not measured, as {name}.jsonl is not there")


if __name__ == "__main__":
    main()
