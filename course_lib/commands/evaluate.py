"""`python -m course_lib evaluate CHECKPOINT`: the whole table of a model on all test sets."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from course_lib.dialogue import Dialogue, DialogueError, read_dialogues


def add_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Gives a parser the options of `evaluate`."""
    parser.add_argument("checkpoint", help="a folder that `save_model` wrote, or a model's name")
    parser.add_argument("--data", type=Path, help="folder of the test sets; the shop's by default")
    parser.add_argument(
        "--sets", nargs="+", metavar="NAME", help="test sets, files NAME.jsonl; all five by default"
    )
    parser.add_argument("--dialogues", type=int, help="at most so many of each set")
    parser.add_argument("--new-tokens", type=int, default=64, help="room for a reply")
    parser.add_argument("--batch-size", type=int, default=64)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the figures as one object")
    form.add_argument("--markdown", action="store_true", help="print them as a Markdown table")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Answers every assistant turn of the test sets and prints the figures."""
    from course_lib.metrics.table import TEST_SETS, evaluate_all, known_values
    from course_lib.models import ROOT

    started = time.perf_counter()
    folder = arguments.data or ROOT / "data" / "shop"
    whole = {name: _read(folder / f"{name}.jsonl") for name in arguments.sets or TEST_SETS}
    model, tokenizer = _load(arguments.checkpoint)
    table = evaluate_all(
        model,
        tokenizer,
        {name: dialogues[: arguments.dialogues] for name, dialogues in whole.items()},
        _recogniser(folder / "train.jsonl"),
        arguments.new_tokens,
        arguments.batch_size,
        _progress(started),
        known_values(whole),
    )
    seconds = time.perf_counter() - started
    if arguments.json:
        print(json.dumps({"checkpoint": arguments.checkpoint, "seconds": seconds, **_sets(table)}))
    elif arguments.markdown:
        print(table.markdown())
    else:
        print(f"{table}\n\n{seconds:.0f} s")


def _sets(table: Any) -> dict[str, Any]:
    return {"sets": table.to_dict()}


def _read(path: Path) -> list[Dialogue]:
    dialogues = list(read_dialogues(path))
    if not dialogues:
        raise DialogueError("no dialogue to evaluate on", path)
    return dialogues


def _load(checkpoint: str) -> tuple[Any, Any]:
    from course_lib.models import load_chat

    if Path(checkpoint).exists() and not (Path(checkpoint) / "config.json").exists():
        raise OSError(f"{checkpoint} is no model's folder: it holds no config.json")
    return load_chat(checkpoint)


def _recogniser(path: Path) -> Any:
    """Sees acts as the training set annotates them; None where there is none to learn from."""
    from course_lib.metrics.acts import recogniser_from

    try:
        return recogniser_from(path)
    except (DialogueError, FileNotFoundError) as error:
        print(f"acts are not measured: {error}", file=sys.stderr)
        return None


def _progress(started: float) -> Callable[[str, int, int], None]:
    def tell(name: str, done: int, of: int) -> None:
        seconds = time.perf_counter() - started
        print(f"  {name}: {done:,} of {of:,} replies, {seconds:.0f} s", file=sys.stderr, flush=True)

    return tell
