"""How each neuron's activation is distributed: moments, sparsity, support."""

from typing import Annotated

import polars as pl

from neurontab.tables.schemas import NEURON_KEY, PAPER
from neurontab.tables.table import Column, at_least, between

VERSION = 1
KEYS = NEURON_KEY
NAMES = f"{PAPER}, 4.1; pre-activations"
COLUMNS = (
    Column("mean", pl.Float32, "Mean of pre.", NAMES, "activation"),
    Column("var", pl.Float32, "Population variance of pre.", NAMES, check=at_least(0)),
    Column("skew", pl.Float32, "Skewness of pre; null if constant.", NAMES, nullable=True),
    Column(
        "kurt",
        pl.Float32,
        "Kurtosis of pre, 3 for a Gaussian; null if constant.",
        NAMES,
        nullable=True,
    ),
    Column(
        "sparsity",
        pl.Float32,
        "Share of positions with pre above 0: high is dense, the name is the paper's.",
        NAMES,
        check=between(0, 1),
    ),
    Column("post_mean", pl.Float32, "Mean of post.", unit="activation"),
    Column("post_var", pl.Float32, "Population variance of post.", check=at_least(0)),
    Column("bos_activation", pl.Float32, "Pre at position 0.", unit="activation", nullable=True),
    Column(
        "bos_z",
        pl.Float32,
        "bos_activation in standard deviations from the mean; null if constant.",
        unit="standard deviations",
        nullable=True,
    ),
    Column(
        "support",
        pl.Float32,
        "Tokens that post is active on in effect: squared sum of squared deviations over the sum "
        "of their squares; null if constant.",
        unit="tokens",
        nullable=True,
    ),
    Column(
        "low_support",
        pl.Boolean,
        "Whether post is constant but for rounding, or active on too few tokens to be matched.",
    ),
)


def activation_shape(
    activation_moments: pl.LazyFrame,
    *,
    min_support: Annotated[
        float, "Tokens in effect below which a correlation would be noise; our choice."
    ] = 30.0,
    rounding: Annotated[
        float,
        "Standard deviation, as a share of the largest value (of post: at either site), up to "
        "which it is float32 rounding; about ten times its unit roundoff.",
    ] = 1e-6,
) -> pl.LazyFrame:
    """One row per neuron from its power sums at both sites."""
    keys = [key.name for key in KEYS]
    pre = _site(activation_moments, "pre").with_columns(
        sparsity=pl.col("n_positive") / pl.col("n"),
    )
    post = _site(activation_moments, "post").select(
        *keys,
        post_mean="mean",
        post_var="var",
        post_largest="largest",
        # A unit that leaves one value on k of n tokens has kurtosis n / k.
        support=pl.when(pl.col("m4") > 0).then(pl.col("m2") ** 2 / pl.col("m4")),
    )
    varies = pl.col("var").sqrt() > rounding * pl.col("largest")
    noise = rounding * pl.max_horizontal("largest", "post_largest")
    post_varies = pl.col("post_var").sqrt() > noise
    return (
        pre.join(post, on=keys)
        .with_columns(pl.when(varies).then(name).alias(name) for name in ("skew", "kurt", "bos_z"))
        .with_columns(support=pl.when(post_varies).then("support"))
        .with_columns(low_support=pl.col("support").fill_null(0) < min_support)
        .select(
            *keys,
            *(pl.col(column.name).cast(column.dtype) for column in COLUMNS),
        )
    )


def _site(activation_moments: pl.LazyFrame, site: str) -> pl.LazyFrame:
    var = pl.col("m2") / pl.col("n")
    varies = pl.col("m2") > 0
    return activation_moments.filter(pl.col("site") == site).with_columns(
        var=var,
        skew=pl.when(varies).then(pl.col("m3") / pl.col("n") / var**1.5),
        kurt=pl.when(varies).then(pl.col("m4") / pl.col("n") / var**2),
        largest=pl.max_horizontal(pl.col("min").abs(), pl.col("max").abs()),
    )
