"""`python tests/benchmarks/modes.py [--json] [--tokens N …]`: what each mode plans, and takes.

The suite is matched both ways over ever more tokens: seconds that the plan says beside those that
it took, with every run of the models, matches by document and one-to-one pairs. The runs before,
which measure each model alone, are not among them, but fill what is kept of them, as in a build.
"""

import argparse
import json
import tempfile
import time
from itertools import combinations
from pathlib import Path
from typing import Any

from measured import Clock, Measured, listed_figures, measured, run_seconds

from neurontab.measure.sketch_plan import Mode

TOKENS = (60_000, 80_000, 120_000, 180_000, 250_000, 400_000)
MODES: tuple[Mode, Mode] = ("sketch", "exact")
ALONE = ("activations", "ablations")  # stages of a plan that do not match


def modes(tokens: int, folder: Path) -> list[dict[str, Any]]:
    """One row a mode: seconds, planned and taken, of all stages and of each."""
    of = measured(tokens)
    n = {"tokens": of.prepared.corpus.n_counted}
    rows = [n | {"mode": m} | seconds(of.planned(m), folder, m) for m in MODES]
    least = min(row["planned"] for row in rows)
    return [row | {"auto": row["planned"] == least} for row in rows]


def seconds(of: Measured, folder: Path, mode: Mode) -> dict[str, Any]:
    """Of one mode."""
    stages = of.prepared.plan.stages
    planned = {name: each.seconds for name, each in stages.items() if name not in ALONE}
    of.keep_inputs()
    run_seconds(of, kept=True)
    clock = Clock()
    started = time.perf_counter()
    matching, done = of.matched_from(folder, clock, sketched=mode == "sketch")
    for pair in combinations(of.family.layers, 2):
        matching.assignments(*pair)
    taken = time.perf_counter() - started
    sketch = of.prepared.plan.sketch
    return {
        "buckets": sketch.buckets if sketch else 0,
        "planned": round(sum(planned.values()), 1),
        "taken": round(taken, 1),
        "planned_stages": {name: round(each, 1) for name, each in planned.items()},
        "taken_stages": {name: round(each, 1) for name, each in clock.seconds.items()},
        **listed_figures(of, done),
        "certificates": matching.certificates(),
    }


def main() -> None:
    """Prints the rows as they are known; as JSON, one object a line, with all that is known."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="objects, with each stage")
    parser.add_argument("--tokens", type=int, nargs="+", default=TOKENS)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        for tokens in asked.tokens:
            rows = modes(tokens, Path(name))
            for row in rows:
                print(json.dumps(row) if asked.json else brief(row), flush=True)


def brief(row: dict[str, Any]) -> str:
    """A line for a person."""
    taken_by_auto = " (auto)" if row["auto"] else ""
    return (
        f"{row['tokens']:>9,} {row['mode']:<6} planned {row['planned']:>6.1f} s, "
        f"took {row['taken']:>6.1f} s{taken_by_auto}"
    )


if __name__ == "__main__":
    main()
