"""In which sources of text each neuron is active."""

import polars as pl

from neurontab.tables.schemas import NEURON_KEY
from neurontab.tables.table import Column, at_least, between
from neurontab.tables.variance import explained

VERSION = 1
KEYS = NEURON_KEY
TANG = "Tang et al. 2024, 2.2"
COLUMNS = (
    Column(
        "top_source",
        pl.String,
        "Source in which post is above 0 most often, the first by name of equals; null if nowhere.",
        nullable=True,
    ),
    Column(
        "top_source_share",
        pl.Float32,
        "Its rate of such positions over the sum of the rates of all sources; null if nowhere.",
        TANG,
        nullable=True,
        check=between(0, 1),
    ),
    Column(
        "source_entropy",
        pl.Float32,
        "Entropy of these rates over sources: 0 where one source has all; null if nowhere.",
        TANG,
        "nats",
        nullable=True,
        check=at_least(0),
    ),
    Column(
        "highest_source",
        pl.String,
        "Source in which post is highest on average, the first by name of equals.",
    ),
    Column(
        "source_eta2",
        pl.Float32,
        "Share of post's variance that is between sources, less what chance gives; null if "
        "constant.",
        "Kelley 1935, epsilon squared",
        nullable=True,
    ),
)


def source_response(source_groups: pl.LazyFrame, activation_moments: pl.LazyFrame) -> pl.LazyFrame:
    """One row per neuron from counts and sums by source."""
    keys = [key.name for key in KEYS]
    n = pl.col("n")
    rate = pl.col("n_active") / n
    share = rate / rate.sum()
    active = pl.col("n_active").sum() > 0
    post = activation_moments.filter(pl.col("site") == "post").select(*keys, "m2")
    return (
        source_groups.sort(*keys, "source")
        .group_by(keys, maintain_order=True)
        .agg(
            top_source=pl.when(active).then(pl.col("source").get(rate.arg_max())),
            top_source_share=pl.when(active).then(share.max()),
            source_entropy=pl.when(active).then(
                -pl.when(share > 0).then(share * share.log()).otherwise(0.0).sum()
            ),
            highest_source=pl.col("source").get((pl.col("sum") / n).arg_max()),
            between=(n * (pl.col("sum") / n - pl.col("sum").sum() / n.sum()) ** 2).sum(),
            sources=pl.len(),
            every=n.sum(),
        )
        .join(post, on=keys)
        .with_columns(
            source_eta2=explained("between", "m2", "every", "sources"),
            source_entropy=pl.col("source_entropy").abs(),
        )
        .select(*keys, *(pl.col(column.name).cast(column.dtype) for column in COLUMNS))
    )
