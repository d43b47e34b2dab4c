"""`python tests/benchmarks/cold_start.py [--json]`: how long commands take from a cold start.

Seconds of whole processes, the best of so many, in turns; a question is of a small run that is
built first.
"""

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from figures import show

ROUNDS = 10
SQL = "SELECT layer, count(*) AS n FROM neurons GROUP BY layer"


def figures() -> dict[str, float]:
    """A question against importing Polars, and the help."""
    with TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        build = ["build", "--tokens", "2000", "-o", str(run)]
        subprocess.run([sys.executable, "-m", "neurontab.cli", *build], check=True)
        commands = {
            "import_polars": ["-c", "import polars"],
            "query": ["-m", "neurontab.cli", "query", SQL, "-r", str(run)],
            "show": ["-m", "neurontab.cli", "show", "seed0", "0.3", "-r", str(run)],
            "help": ["-m", "neurontab.cli", "--help"],
        }
        best = dict.fromkeys(commands, float("inf"))
        for _ in range(ROUNDS):
            for name, words in commands.items():
                started = time.perf_counter()
                subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
                best[name] = min(best[name], time.perf_counter() - started)
    found = {f"{name}_seconds": round(seconds, 3) for name, seconds in best.items()}
    return found | {"query_over_polars": round(best["query"] - best["import_polars"], 3)}


if __name__ == "__main__":
    show(figures())
