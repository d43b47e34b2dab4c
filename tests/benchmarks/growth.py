"""`python tests/benchmarks/growth.py [--chart FILE]`: how matching by sketches grows.

Whole builds of two models in processes of their own: with one, two and four times the tokens of the
suite's first two models, then with one, two and four times the neurons of two random models over
the same tokens. Seconds are of the stages that match; peaks are of the whole process.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl
import tomli_w
import torch

from neurontab import suite
from neurontab.suite.recipe import RECIPE
from neurontab.suite.train import new_model, save

TOKENS = (100_000, 200_000, 400_000)
WIDTHS = (512, 1_024, 2_048)
MATCHING = ("sketches", "estimates", "finals", "further rows", "by document", "matches")


def growth() -> list[dict[str, Any]]:
    """One row a build: what grows, neurons, tokens, seconds of matching, peak in GiB."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pair = suite.models()[:2]
        by_tokens = [{"grows": "tokens"} | built(folder / f"tokens{n}", pair, n) for n in TOKENS]
        by_neurons = [
            {"grows": "neurons"} | built(folder / f"width{w}", wide(folder, w), TOKENS[0])
            for w in WIDTHS
        ]
    return by_tokens + by_neurons


def wide(folder: Path, d_mlp: int) -> list[Path]:
    """Two random models of the suite's recipe, but for their width."""
    found = []
    for seed in range(2):
        torch.manual_seed(seed)
        found.append(folder / f"models{d_mlp}" / f"m{seed}")
        save(new_model(0, replace(RECIPE, d_mlp=d_mlp)), found[-1], {})
    return found


def built(folder: Path, models: list[Path], tokens: int) -> dict[str, Any]:
    """A build by sketches in a process of its own."""
    folder.mkdir()
    config = {
        "models": list(map(str, models)),
        "corpus": [str(suite.CORPUS)],
        "tokens": tokens,
        "activations": 0,
        "matching": {"mode": "sketch"},
    }
    (folder / "family.toml").write_text(tomli_w.dumps(config))
    words = ["build", str(folder / "family.toml"), "-o", str(folder / "run")]
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "neurontab.cli", *words], stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(child.pid, 0)
    assert status == 0
    manifest = json.loads((folder / "run" / "manifest.json").read_text("utf-8"))
    stages = manifest["stages"]
    return {
        "neurons": sum(model["n_layers"] * model["d_mlp"] for model in manifest["models"]),
        "tokens": manifest["corpus"]["counted"],
        "seconds": round(sum(stages.get(name, 0.0) for name in MATCHING), 1),
        "peak_gib": round(used.ru_maxrss / 2**20, 2),
    }


def chart(rows: list[dict[str, Any]]) -> alt.HConcatChart:
    """Seconds against tokens, seconds and peak against neurons."""
    frame = pl.DataFrame(rows)

    def of(grows: str, figure: str, title: str) -> Any:
        base = alt.Chart(frame.filter(pl.col("grows") == grows)).encode(
            alt.X(grows, title=grows, axis=alt.Axis(format="~s"), scale=alt.Scale(zero=True)),
            alt.Y(figure, title=title, scale=alt.Scale(zero=True)),
        )
        return (base.mark_line() + base.mark_point(filled=True, size=60)).properties(
            width=220, height=200
        )

    return alt.hconcat(
        of("tokens", "seconds", "seconds of matching"),
        of("neurons", "seconds", "seconds of matching"),
        of("neurons", "peak_gib", "peak of the process, GiB"),
        title="Matching two models by sketches",
    )


def main() -> None:
    """Prints the rows; draws them into a file when asked for."""
    rows = growth()
    print(json.dumps(rows) if "--json" in sys.argv else pl.DataFrame(rows))
    if "--chart" in sys.argv:
        chart(rows).save(sys.argv[sys.argv.index("--chart") + 1])


if __name__ == "__main__":
    main()
