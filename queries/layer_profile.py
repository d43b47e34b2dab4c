"""How each layer's neurons are distributed: counts and quantiles, of all and of the universal."""

import polars as pl

from neurontab.tables.schemas import LAYER, MODEL
from neurontab.tables.table import Column, at_least, one_of

VERSION = 1
PROFILED = (
    *("mean_corr", "mean_baseline", "excess_corr", "excess_std", "token_share"),
    *("mean", "var", "skew", "kurt", "sparsity", "bos_z"),
    *("input_bias", "w_in_norm", "w_out_norm", "in_out_sim", "l2_penalty"),
    *("vocab_mean", "vocab_var", "vocab_skew", "vocab_kurt"),
    *("position_mi", "position_eta2", "source_entropy", "source_eta2"),
)
QUANTILES = (5, 25, 50, 75, 95)
KEYS = (
    MODEL,
    LAYER,
    Column("measure", pl.String, "Column of `neurons`.", check=one_of(*PROFILED)),
    Column(
        "group", pl.String, "all neurons, or the universal ones.", check=one_of("all", "universal")
    ),
)
COLUMNS = (
    Column("n", pl.Int64, "Neurons in which it is known.", unit="neurons", check=at_least(0)),
    Column("average", pl.Float32, "Its mean over them."),
    *(Column(f"q{each:02}", pl.Float32, f"Its {each} % quantile over them.") for each in QUANTILES),
)


def layer_profile(neurons: pl.LazyFrame) -> pl.LazyFrame:
    """One row per layer, measure and group of neurons that has any."""
    keys = [key.name for key in KEYS]
    long = neurons.unpivot(
        PROFILED, index=["model", "layer", "is_universal"], variable_name="measure"
    )
    every = long.with_columns(group=pl.lit("all"))
    universal = long.filter("is_universal").with_columns(group=pl.lit("universal"))
    value = pl.col("value")
    return (
        pl.concat([every, universal])
        .drop_nulls("value")
        .group_by(keys)
        .agg(
            n=pl.len(),
            average=value.cast(pl.Float64).mean(),
            **{f"q{each:02}": value.quantile(each / 100, "linear") for each in QUANTILES},
        )
        .select(*keys, *(pl.col(column.name).cast(column.dtype) for column in COLUMNS))
    )
