"""Which neurons of the last layer may change entropy or follow frequency, by their weights alone.

What they do is measured by ablating them: `ablation_effects`.
"""

from typing import Annotated

import polars as pl

from neurontab.tables.ranks import percentile
from neurontab.tables.schemas import NEURON_KEY, PAPER
from neurontab.tables.table import Column

VERSION = 1
KEYS = NEURON_KEY
STOLFO = "Stolfo et al. 2024"
COLUMNS = (
    Column(
        "is_entropy_candidate",
        pl.Boolean,
        "Last layer; writes into what the unembedding hardly reads, more than chance gives, with a "
        "long output vector and little effect on logits.",
        f"{STOLFO}, 3; {PAPER}, 5.2",
    ),
    Column(
        "is_frequency_candidate",
        pl.Boolean,
        "Last layer; its logits follow the tokens' log frequency more than chance gives.",
        f"{STOLFO}, 4",
    ),
)


def role_candidates(
    models: pl.LazyFrame,
    weight_shape: pl.LazyFrame,
    vocab_effect: pl.LazyFrame,
    *,
    gap: Annotated[
        float, "spectrum_gap below which the unembedding leaves nothing unread; our choice."
    ] = 1.5,
    longest: Annotated[
        float, "Percentile in the layer that an entropy candidate's w_out_norm has; our choice."
    ] = 0.5,
    quietest: Annotated[
        float, "Percentile that its logit_var, for its length, has at most; our choice."
    ] = 0.1,
) -> pl.LazyFrame:
    """One row per neuron."""
    keys = [key.name for key in KEYS]
    layer = keys[:-1]
    effect = pl.col("logit_var") / pl.col("w_out_norm").pow(2)
    at_end = pl.col("layer") == pl.col("last")
    found = {
        "is_entropy_candidate": at_end
        & (pl.col("spectrum_gap") >= gap)
        & (pl.col("null_fraction") > pl.col("null_fraction_chance"))
        & (percentile(pl.col("w_out_norm")).over(layer) >= longest)
        & (percentile(effect).over(layer) <= quietest),
        "is_frequency_candidate": at_end
        & (pl.col("frequency_cos").abs() > pl.col("frequency_cos_chance")),
    }
    return (
        vocab_effect.join(weight_shape, on=keys)
        .join(models.select("model", last=pl.col("n_layers") - 1), on="model")
        .select(*keys, **{name: holds.fill_null(value=False) for name, holds in found.items()})
    )
