"""`python -m course_lib.world build | verify | stats`: the shop's data files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from course_lib.world.build import SEED, SHOP, BuildError, build, stats, verify


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; 0 where all is well, 1 where stored files differ or cannot be built."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m course_lib.world", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    make = commands.add_parser("build", help="write all data files from one seed")
    make.add_argument("--out", type=Path, default=SHOP, help="folder to write to")
    make.add_argument("--seed", type=int, default=SEED)
    make.set_defaults(run=_build)
    for name, run, text in (
        ("verify", _verify, "rebuild and compare with the stored files"),
        ("stats", _stats, "print the data card's figures"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--out", type=Path, default=SHOP, help="folder to read")
        command.set_defaults(run=run)
    return parser


def _build(options: argparse.Namespace) -> int:
    manifest = build(options.out, options.seed)
    for name, entry in manifest["files"].items():
        print(f"{name:<20}{entry['lines']:>7,} lines {entry['bytes'] / 1e6:6.2f} MB")
    return 0


def _verify(options: argparse.Namespace) -> int:
    problems = verify(options.out)
    for problem in problems:
        print(f"differs: {problem}", file=sys.stderr)
    if not problems:
        print("all files are what the seed gives")
    return int(bool(problems))


def _stats(options: argparse.Namespace) -> int:
    print(stats(options.out), end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
