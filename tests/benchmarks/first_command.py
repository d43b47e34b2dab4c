"""`python tests/benchmarks/first_command.py --json`: what a newcomer waits for, as whole processes.

Builds the embedded suite into an empty folder with an empty cache, then asks the README's question
five times. Seconds are of this machine; ratios are to an import of Polars alone.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from figures import show

SQL = (
    "SELECT layer, count(*) AS n, sum(is_universal) AS universal "
    "FROM neurons GROUP BY layer ORDER BY layer"
)
NEURONTAB = [sys.executable, "-P", "-m", "neurontab.cli"]


def seconds_of(command: list[str], folder: Path) -> float:
    """Wall time of a command that must succeed."""
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - started


def measured() -> dict[str, float]:
    """One flat object of figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build = seconds_of([*NEURONTAB, "build"], folder)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        polars = [seconds_of([sys.executable, "-c", "import polars"], folder) for _ in range(5)]
        query = [seconds_of([*NEURONTAB, "query", SQL], folder) for _ in range(5)]
        helped = [seconds_of([*NEURONTAB, "--help"], folder) for _ in range(5)]
        manifest = json.loads((folder / "runs/suite/manifest.json").read_text("utf-8"))
    return {
        "build_seconds": round(build, 1),
        "build_peak_gib": round(peak, 2),
        **{f"build_{stage}_seconds": s for stage, s in manifest["stages"].items()},
        "query_seconds": round(median(query), 2),
        "query_over_import_polars": round(median(query) / median(polars), 2),
        "help_seconds": round(median(helped), 2),
    }


def main() -> None:
    """Prints the figures, as JSON when asked for."""
    show(measured())


if __name__ == "__main__":
    main()
