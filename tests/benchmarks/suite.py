"""`python tests/benchmarks/suite.py --json`: whether the embedded suite shows the phenomenon.

Builds the suite over its default text, then its untrained twin: five models of the same recipe that
took no step. `--write` keeps the figures for the suite's card.
"""

import json
import sys
import tempfile
from pathlib import Path

import polars as pl
import torch
from figures import show
from transformers import PreTrainedTokenizerFast

from neurontab.building import build
from neurontab.config import EMBEDDED_TOKENS, resolve
from neurontab.run import Run
from neurontab.suite import CORPUS, models
from neurontab.suite.card import EVIDENCE
from neurontab.suite.prepare import TOKENIZER
from neurontab.suite.recipe import RECIPE
from neurontab.suite.train import new_model, save

TWIN = 0.7  # as in queries/twin_groups.py
NOT_JUST_A_TOKEN = 0.5  # of the covariance is the current token's


def measured() -> dict[str, object]:
    """One flat object of figures; lists are by seed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        default = built(folder / "default", models(), EMBEDDED_TOKENS)
        untrained = built(folder / "untrained", untrained_models(folder), EMBEDDED_TOKENS)
        return {
            **{f"default_{name}": figure for name, figure in phenomenon(default).items()},
            **{f"untrained_{name}": figure for name, figure in phenomenon(untrained).items()},
        }


def built(folder: Path, family: list[Path], tokens: int | str) -> Run:
    """A run of a family over the suite's text."""
    settings = resolve(models=list(map(str, family)), corpus=[str(CORPUS)], tokens=tokens)
    return build(settings, folder)


def untrained_models(folder: Path) -> list[Path]:
    """Five models as they are before the first step."""
    bos = PreTrainedTokenizerFast.from_pretrained(TOKENIZER).bos_token_id
    found = []
    for seed in range(5):
        torch.manual_seed(seed)
        found.append(folder / f"untrained{seed}")
        save(new_model(bos, RECIPE), found[-1], {})
    return found


def phenomenon(run: Run) -> dict[str, object]:
    """What the suite is there to show."""
    neurons = run.scan("universality")
    universal = neurons.filter("is_universal")
    groups = (
        universal.join(run.scan("twin_groups"), on=["model", "layer", "neuron"])
        .group_by("model", "group_layer", "group_neuron")
        .agg(pl.col("token_share").median())
    )
    features = (
        universal.join(run.scan("universal_features"), on=["model", "layer", "neuron"])
        .group_by("feature", "n_models")
        .agg(pl.col("token_share").median())
    )
    twin = run.scan("twins").filter(pl.col("corr") > TWIN, pl.col("rank") == 1)
    not_token = pl.col("token_share") < NOT_JUST_A_TOKEN
    all_models = pl.col("n_models") == run.scan("models").collect().height
    return {
        "tokens": run.manifest.corpus.counted,
        "universal": by_seed(neurons, pl.col("is_universal").sum()),
        "universal_share": by_seed(neurons, pl.col("is_universal").mean()),
        "layers": by_seed(neurons, pl.col("layer").filter("is_universal").n_unique()),
        "groups": by_seed(groups, pl.len(), neurons),
        "groups_not_token": by_seed(groups, not_token.sum(), neurons),
        "features": features.collect().height,
        "features_in_all": features.filter(all_models).collect().height,
        "features_not_token": features.filter(not_token).collect().height,
        "with_twin": by_seed(twin, pl.len(), neurons),
        "mean_excess": by_seed(neurons, pl.col("excess_corr").mean()),
        "max_excess": by_seed(neurons, pl.col("excess_corr").max()),
    }


def by_seed(
    frame: pl.LazyFrame, figure: pl.Expr, all_of: pl.LazyFrame | None = None
) -> list[float]:
    """A figure of each model, in order; 0 for those that only `all_of` has."""
    found = frame.group_by("model").agg(figure.alias("it"))
    if all_of is not None:
        found = all_of.select("model").unique().join(found, on="model", how="left")
    figures = found.sort("model").collect()["it"].fill_null(0).to_list()
    return [round(each, 4 if each < 0.1 else 3) for each in figures]


def main() -> None:
    """Prints the figures, as JSON when asked for."""
    figures = measured()
    if "--write" in sys.argv:
        EVIDENCE.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    show(figures)


if __name__ == "__main__":
    main()
