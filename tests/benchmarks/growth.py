"""`python tests/benchmarks/growth.py [--chart FILE]`: how matching by sketches grows.

Whole builds of the suite's first two models in processes of their own: over one, two and four times
the tokens, then with a quarter, half and all of the neurons of each layer. (Random models would not
do: where nothing stands out, all pairs are measured.) Seconds are of the stages that match; peaks
are of the whole process.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl
import tomli_w
import torch
from transformers import GPT2LMHeadModel

from neurontab import suite
from neurontab.suite.recipe import RECIPE
from neurontab.suite.train import save

TOKENS = (250_000, 500_000, 1_000_000)
WIDTHS = (128, 256, 512)
MATCHING = (
    "sketches",
    "estimates",
    "longer lists",
    "finals",
    "further rows",
    "by document",
    "matches",
)


def growth() -> list[dict[str, Any]]:
    """One row a build: what grows, neurons, tokens, seconds of matching, peak in GiB."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pair = suite.models()[:2]
        by_tokens = [{"grows": "tokens"} | built(folder / f"tokens{n}", pair, n) for n in TOKENS]
        by_neurons = [
            {"grows": "neurons"} | built(folder / f"width{w}", narrowed(folder, w), TOKENS[0])
            for w in WIDTHS
        ]
    return by_tokens + by_neurons


def narrowed(folder: Path, d_mlp: int) -> list[Path]:
    """The suite's first two models with only the first neurons of every layer."""
    found = []
    for source in suite.models()[:2]:
        model = GPT2LMHeadModel.from_pretrained(source, dtype=torch.float32)
        weights = model.state_dict()
        config = model.config
        config.n_inner = d_mlp
        for layer in range(RECIPE.n_layers):
            mlp = f"transformer.h.{layer}.mlp"
            for name, axis in (("c_fc.weight", 1), ("c_fc.bias", 0), ("c_proj.weight", 0)):
                whole = weights[f"{mlp}.{name}"]
                weights[f"{mlp}.{name}"] = whole.narrow(axis, 0, d_mlp).clone()
        narrow = GPT2LMHeadModel(config)
        narrow.load_state_dict(weights)
        found.append(folder / f"models{d_mlp}" / source.name)
        save(narrow, found[-1], {})
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
