"""`python -m course_lib demo`: the whole journey in the terminal, ending in a chat."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from course_lib.dialogue import DialogueError
from course_lib.sources import SOURCES, parse_options


def add_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Gives a parser the options of `demo`."""
    parser.add_argument("--json", action="store_true", help="print the figures; no chat")
    parser.add_argument("--source", choices=sorted(SOURCES), default="shop")
    parser.add_argument("--path", type=Path, help="file or folder of the source's dialogues")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the source, such as text=body or roles.clerk=assistant; again for more",
    )
    parser.add_argument("--limit", type=int, help="read at most so many dialogues")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Travels as the parsed options say; prints figures, then chats unless --json is given."""
    from course_lib import journey as j

    if arguments.source == "shop":
        journey = j.shop_journey(arguments.path or j.SHOP)
    elif arguments.path is None:
        raise DialogueError(f"--source {arguments.source} needs --path, a file or a folder of it")
    else:
        journey = j.real_journey(
            arguments.source, arguments.path, arguments.limit, **parse_options(arguments.option)
        )
    journey.seconds["install"] = float(os.environ.get("COURSE_INSTALL_SECONDS", "0"))
    figures, model, tokenizer = j.travel(journey)
    if arguments.source != "shop":
        figures["samples"] = j.sample_replies(model, tokenizer, journey.held_out)
    if arguments.json:
        print(json.dumps(figures, ensure_ascii=False))
        return
    print(_table(figures))
    from course_lib.chat import ChatSession, terminal_chat

    terminal_chat(ChatSession(model, tokenizer))


def _table(figures: dict[str, Any]) -> str:
    names = [name for name in ("untrained", "base", "tuned", "scratch") if name in figures]
    columns = list(figures["tuned"])
    lines = ["model     " + "".join(f"{column:>16}" for column in columns)]
    for name in names:
        cells = "".join(f"{figures[name].get(column, float('nan')):>16.3f}" for column in columns)
        lines.append(f"{name:<10}{cells}")
    spent = ", ".join(f"{stage} {value:.0f} s" for stage, value in figures["seconds"].items())
    for sample in figures.get("samples", ()):
        lines += ["", f"user  {sample['user']}", f"gold  {sample['gold']}"]
        lines.append(f"model {sample['model']}")
    return "\n".join([*lines, "", spent])
