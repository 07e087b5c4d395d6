"""`python -m course_lib demo | clean …`: the pipeline from the command line."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from course_lib.dialogue import DialogueError


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status. A known mistake is told in one line."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.command(arguments)
    except (DialogueError, FileNotFoundError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="course_lib", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    demo = commands.add_parser("demo", help="raw logs, clean, train, evaluate, chat")
    demo.add_argument("--json", action="store_true", help="print the figures; no chat")
    demo.add_argument("--source", choices=("shop", "sgd", "abcd"), default="shop")
    demo.add_argument("--path", type=Path, help="file or folder of the source's dialogues")
    demo.add_argument("--limit", type=int, help="read at most so many dialogues")
    demo.set_defaults(command=_demo)
    return parser


def _demo(arguments: argparse.Namespace) -> None:
    from course_lib import journey as j

    if arguments.source == "shop":
        journey = j.shop_journey(arguments.path or j.SHOP)
    elif arguments.path is None:
        raise DialogueError(f"--source {arguments.source} needs --path, a file or a folder of it")
    else:
        journey = j.real_journey(arguments.source, arguments.path, arguments.limit)
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


def _table(figures: dict) -> str:
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


if __name__ == "__main__":
    sys.exit(main())
