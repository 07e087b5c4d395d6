"""Generation: many replies by course_lib beside `model.generate`, in texts and seconds.

python benchmarks/generation.py                     the table, on the shop's assistant
python benchmarks/generation.py --json              the same as one JSON object
python benchmarks/generation.py --prompts 64        a quick look
python benchmarks/generation.py --model FOLDER      another checkpoint

The prompts are histories of the shop's test dialogues in a seeded random order, so their lengths
are mixed. `model.generate` is called as a user would: batches of 64 in the given order, left
padding, its own cache, sampling off:

    tokenizer(prompts, padding=True, return_tensors="pt")
    model.generate(**batch, max_new_tokens=64, do_sample=False)

course_lib is called by `generate(model, tokenizer, histories)` with its defaults, which are 64 rows
and 64 new tokens too. Rendering the prompts counts for course_lib; for `model.generate` only the
padding and the decoding do. Each is timed `--repeats` times in turn; the best run counts, as other
programs can only slow one down. The run is refused while others use the cores.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from course_lib.assistant import shop_assistant  # noqa: E402
from course_lib.chat_format import prompt_ids  # noqa: E402
from course_lib.decoding import left_padded  # noqa: E402
from course_lib.dialogue import read_dialogues  # noqa: E402
from course_lib.generation import History, generate  # noqa: E402
from course_lib.journey import SHOP, say  # noqa: E402
from course_lib.models import load_chat  # noqa: E402

NEW_TOKENS, BATCH = 64, 64
QUIET = 0.15  # of all cores' time, what others may use

Row = dict[str, Any]


def histories(path: Path, number: int, seed: int) -> list[History]:
    """Histories before assistant turns, in a random order."""
    found: list[History] = []
    for dialogue in read_dialogues(path):
        messages = dialogue.to_messages()
        turns = [t for t, m in enumerate(messages) if t and m["role"] == "assistant"]
        found += [messages[:turn] for turn in turns]
    random.Random(seed).shuffle(found)
    if len(found) < number:
        raise SystemExit(f"{path} has {len(found)} histories, {number} were asked for")
    return found[:number]


def by_transformers(model: Any, tokenizer: Any, prompts: Sequence[list[int]]) -> list[str]:
    """`model.generate` on batches in the given order; each reply up to its end token."""
    texts = []
    for start in range(0, len(prompts), BATCH):
        ids, mask = left_padded(prompts[start : start + BATCH], tokenizer.pad_token_id)
        out = model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
        )
        for row in out[:, ids.shape[1] :].tolist():
            end = row.index(tokenizer.eos_token_id) if tokenizer.eos_token_id in row else None
            texts.append(tokenizer.decode(row[:end]))
    return texts


def compare(
    model: Any, tokenizer: Any, asked: Sequence[History], repeats: int, check: bool = True
) -> Row:
    """Seconds and replies of both, the best of some runs each, in turn."""
    prompts = [prompt_ids(history, tokenizer) for history in asked]
    ways: dict[str, Callable[[], list[str]]] = {
        "model.generate": lambda: by_transformers(model, tokenizer, prompts),
        "course_lib": lambda: generate(model, tokenizer, asked, NEW_TOKENS, BATCH),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    texts: dict[str, list[str]] = {}
    generate(model, tokenizer, asked[:4], 4)  # what is loaded once does not count
    for _ in range(repeats):
        for name, run in ways.items():
            if check:
                require_quiet()
            started = time.perf_counter()
            texts[name] = run()
            seconds[name].append(time.perf_counter() - started)
            say(f"{name}: {seconds[name][-1]:.2f} s")
    best = {name: min(times) for name, times in seconds.items()}
    said = [
        len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts["course_lib"]
    ]
    same = sum(a == b for a, b in zip(*texts.values(), strict=True))
    return {
        "prompts": len(prompts),
        "prompt_tokens": [min(map(len, prompts)), max(map(len, prompts))],
        "reply_tokens": sum(said),
        "threads": torch.get_num_threads(),
        "methods": [
            {"method": n, "seconds": s, "replies_per_second": len(prompts) / s, "runs": seconds[n]}
            for n, s in best.items()
        ],
        "same_replies": same,
        "ratio": best["model.generate"] / best["course_lib"],
    }


def require_quiet(seconds: float = 1.0) -> None:
    """Ends the program where other processes use the cores: its figures would mean nothing."""
    share = others_share(seconds)
    if share > QUIET:
        raise SystemExit(
            f"other processes use {share:.0%} of the cores; wait until they have ended, or add "
            "--busy to see figures that mean little"
        )


def others_share(seconds: float) -> float:
    """Share of all cores' time that is used while this process sleeps; 0 where it is not told."""
    try:
        before = _busy_and_all()
        time.sleep(seconds)
        after = _busy_and_all()
    except OSError:  # no /proc here
        return (
            min(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)) if sys.platform != "win32" else 0
        )
    return (after[0] - before[0]) / max(after[1] - before[1], 1)


def _busy_and_all() -> tuple[int, int]:
    line = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
    ticks = [int(part) for part in line.split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)  # without idle and waiting for the disk


def table(found: Row) -> str:
    """The figures as readable text."""
    low, high = found["prompt_tokens"]
    lines = [
        f"{found['prompts']} prompts of {low} to {high} tokens, {found['reply_tokens']:,} tokens "
        f"answered, {found['threads']} threads",
        f"{'method':<20}{'seconds':>10}{'replies/s':>12}",
    ]
    for row in found["methods"]:
        lines.append(
            f"{row['method']:<20}{row['seconds']:>10.2f}{row['replies_per_second']:>12.1f}"
        )
    lines.append(
        f"course_lib is {found['ratio']:.2f} times as fast; {found['same_replies']} of "
        f"{found['prompts']} replies are the same text"
    )
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--model", type=Path, help="a folder that `save_model` wrote")
    options.add_argument("--data", type=Path, default=SHOP / "test_iid.jsonl", help="a JSONL file")
    options.add_argument("--prompts", type=int, default=256)
    options.add_argument("--repeats", type=int, default=3, help="runs of each; the best counts")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--busy", action="store_true", help="measure on busy cores all the same")
    options.add_argument("--json", action="store_true", help="print one JSON object")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    if not options.busy:
        require_quiet()
    model, tokenizer = load_chat(options.model) if options.model else shop_assistant()
    asked = histories(options.data, options.prompts, options.seed)
    found = compare(model, tokenizer, asked, options.repeats, check=not options.busy)
    print(json.dumps(found) if options.json else table(found))


if __name__ == "__main__":
    main()
