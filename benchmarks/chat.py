"""A chat's speed and memory: time to first token, tokens a second, two hundred turns.

python benchmarks/chat.py                the table, on the shop's assistant
python benchmarks/chat.py --json         the same as one JSON object
python benchmarks/chat.py --turns 20     a quick look

Speed is measured on fresh conversations and on full ones, whose prompt fills the model's context:
the median over the questions, after one that warms up. Memory is this process's resident set after
a tenth of the turns and after all of them. Prints "busy" when other programs use the cores, as the
figures then say nothing.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from course_lib.assistant import shop_assistant  # noqa: E402
from course_lib.chat import ChatSession  # noqa: E402
from course_lib.dialogue import read_dialogues  # noqa: E402
from course_lib.journey import SHOP, say  # noqa: E402
from course_lib.reply_speed import Speed, timed  # noqa: E402

FIRST_TOKEN, TOKENS_A_SECOND = 0.150, 60.0  # what the course promises on two cores
QUESTIONS = 20
MEBIBYTE = 2**20


def questions(count: int) -> list[str]:
    """Opening messages of held-out dialogues."""
    dialogues = read_dialogues(SHOP / "test_iid.jsonl")
    texts = [d.messages[0].content for d in dialogues if d.messages[0].role == "user"]
    return texts[:count]


def asked(session: ChatSession, text: str) -> Speed:
    """Asks and reads to the end; how fast it came."""
    speed = Speed()
    for _ in timed(session.ask(text), speed):
        pass
    return speed


def fresh(session: ChatSession, texts: Sequence[str]) -> list[Speed]:
    """Each question in a conversation of its own."""
    speeds = []
    for text in texts:
        session.clear()
        speeds.append(asked(session, text))
    return speeds


def full(session: ChatSession, texts: Sequence[str]) -> list[Speed]:
    """Each question behind a history that is longer than the context."""
    session.clear()
    filled = []
    while not session.seen([*filled, {"role": "user", "content": "?"}]).note:
        for text in texts:
            filled += [
                {"role": "user", "content": text},
                {"role": "assistant", "content": "Let me see."},
            ]
    speeds = []
    for text in texts:
        session.messages = list(filled)
        speeds.append(asked(session, text))
    return speeds


def summary(speeds: Sequence[Speed]) -> dict[str, float]:
    rates = [speed.rate for speed in speeds if speed.rate]
    return {
        "first_token_seconds": round(statistics.median(s.first for s in speeds), 4),
        "slowest_first_token": round(max(s.first for s in speeds), 4),
        "tokens_a_second": round(statistics.median(rates), 1),
    }


def resident() -> int:
    """Bytes of memory that this process holds now; 0 where /proc does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def many_turns(session: ChatSession, texts: Sequence[str], turns: int) -> dict[str, float]:
    """Resident memory early and late in one long conversation."""
    session.clear()
    early = 0
    for turn in range(turns):
        asked(session, texts[turn % len(texts)])
        if turn + 1 == max(1, turns // 10):
            gc.collect()
            early = resident()
    gc.collect()
    late = resident()
    return {
        "turns": turns,
        "early_mib": round(early / MEBIBYTE, 1),
        "late_mib": round(late / MEBIBYTE, 1),
        "grown_mib": round((late - early) / MEBIBYTE, 1),
    }


def measure(turns: int) -> dict[str, Any]:
    """All figures; the model is loaded, or trained first."""
    model, tokenizer = shop_assistant()
    session, texts = ChatSession(model, tokenizer), questions(QUESTIONS)
    asked(session, texts[0])  # warms up
    say("fresh conversations")
    figures: dict[str, Any] = {"threads": torch.get_num_threads(), "load": os.getloadavg()[0]}
    figures["fresh"] = summary(fresh(session, texts))
    say("full conversations")
    figures["full"] = summary(full(session, texts))
    say(f"{turns} turns")
    figures["memory"] = many_turns(session, texts, turns)
    figures["busy"] = figures["load"] > (os.cpu_count() or 1) + 0.5
    kept = all(
        figures[kind]["first_token_seconds"] < FIRST_TOKEN
        and figures[kind]["tokens_a_second"] >= TOKENS_A_SECOND
        for kind in ("fresh", "full")
    )
    return figures | {"promise_kept": kept}


def table(figures: dict[str, Any]) -> str:
    lines = [f"{'conversation':<14}{'first token':>14}{'slowest':>10}{'tokens/s':>10}"]
    for kind in ("fresh", "full"):
        row = figures[kind]
        first, slowest = row["first_token_seconds"], row["slowest_first_token"]
        lines.append(
            f"{kind:<14}{1000 * first:>11.0f} ms{1000 * slowest:>7.0f} ms"
            f"{row['tokens_a_second']:>10.0f}"
        )
    memory = figures["memory"]
    lines.append(
        f"memory: {memory['early_mib']:.0f} MiB early, {memory['late_mib']:.0f} MiB after "
        f"{memory['turns']} turns"
    )
    return "\n".join([*lines, "busy: other programs use the cores"] if figures["busy"] else lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--turns", type=int, default=200, help="turns of the long conversation")
    options = parser.parse_args()
    figures = measure(options.turns)
    print(json.dumps(figures) if options.json else table(figures))


if __name__ == "__main__":
    main()
