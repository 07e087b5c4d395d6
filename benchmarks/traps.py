"""The damage of every trap of chapter 12 over several seeds, and whether it is outside the noise.

python benchmarks/traps.py                     three seeds, the table
python benchmarks/traps.py --trap "pad = EOS"  one trap
python benchmarks/traps.py --json              the same as one JSON object

A seed decides the order of the dialogues and what is drawn from them. The healthy figure and the
broken one of a seed are paired; the interval is Student's over the differences. A damage is outside
the noise when every seed and the whole interval lie on the side of damage. The exit status is 1
when one is not.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from course_lib.journey import say  # noqa: E402
from course_lib.traps import TRAPS, Lab, damage, shop_lab  # noqa: E402
from course_lib.tricks import effect  # noqa: E402

HEAD = f"{'trap':<28} {'healthy':<22} {'broken':<22} {'difference (95% interval)':<34} outside"


def measured(lab: Lab, name: str, seeds: Sequence[int]) -> dict[str, Any]:
    """The figures of one trap: healthy and broken by seed, their difference, its 95% interval."""
    started = time.perf_counter()
    pairs = [damage(lab, name, seed) for seed in seeds]
    healthy, broken = ([pair[side] for pair in pairs] for side in (0, 1))
    found = effect(healthy, broken)
    return {
        "trap": name,
        "measure": TRAPS[name].measure,
        "healthy": healthy,
        "broken": broken,
        "difference": found.value,
        "interval": list(found.interval),
        "outside_the_noise": outside_the_noise(found.differences, found.interval, name),
        "seconds": round(time.perf_counter() - started, 1),
    }


def outside_the_noise(
    differences: Sequence[float], interval: tuple[float, float], name: str
) -> bool:
    """Whether every seed, and the whole interval, lies on the side of damage."""
    sign = 1 if TRAPS[name].higher else -1
    return min(sign * d for d in differences) > 0 and min(sign * end for end in interval) > 0


def line(row: dict[str, Any]) -> str:
    """One row of the table: what every seed measured, the difference, what can be said."""
    healthy, broken = (" ".join(f"{v:.3g}" for v in row[side]) for side in ("healthy", "broken"))
    low, high = row["interval"]
    says = "yes" if row["outside_the_noise"] else "NO"
    change = f"{row['difference']:+.3g} ({low:+.3g} to {high:+.3g})"
    return f"{row['trap']:<28} {healthy:<22} {broken:<22} {change:<34} {says}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures the traps; 0 when all damage is outside the noise, else 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0 (2 to 10)")
    parser.add_argument("--trap", choices=list(TRAPS), help="this one only")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    options = parser.parse_args(arguments)
    lab, rows = shop_lab(), []
    say(HEAD)
    for name in [options.trap] if options.trap else TRAPS:
        rows.append(measured(lab, name, range(options.seeds)))
        say(line(rows[-1]))
    table = "\n".join([HEAD, *map(line, rows)])
    print(json.dumps({"traps": rows}) if options.json else table)
    return 0 if all(row["outside_the_noise"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
