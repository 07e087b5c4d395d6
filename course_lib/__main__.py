"""`python -m course_lib demo | chat | clean | evaluate …`: the pipeline from the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from course_lib.commands import chat, clean, demo, evaluate, score
from course_lib.dialogue import DialogueError


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status. A known mistake is told in one line."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except (DialogueError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="course_lib", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    for command, help_text in (
        (demo, "raw logs, clean, train, evaluate, chat"),
        (chat, "chat with the shop's assistant or your own checkpoint"),
        (clean, "clean raw logs; write what is kept and what is set aside"),
        (score, "hold a cleaning against the ledger of planted defects"),
        (evaluate, "every measure of a model on every test set"),
    ):
        name = command.__name__.rpartition(".")[2]
        command.add_arguments(commands.add_parser(name, help=help_text)).set_defaults(
            run=command.run
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
