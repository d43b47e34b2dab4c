"""How each neuron's output vector is spread over the vocabulary: moments of its cosines."""

import polars as pl

from neurontab.tables.schemas import NEURON_KEY, PAPER
from neurontab.tables.table import Column, at_least, between

VERSION = 1
KEYS = NEURON_KEY
NAMES = f"{PAPER}, 4.2.1; output vector and unembedding"
COLUMNS = (
    Column(
        "vocab_mean",
        pl.Float32,
        "Mean cosine of the output vector with every token's unembedding.",
        NAMES,
        check=between(-1, 1),
    ),
    Column(
        "vocab_var",
        pl.Float32,
        "Variance of the cosines with all tokens: high where tokens are parted in two.",
        NAMES,
        check=at_least(0),
    ),
    Column(
        "vocab_skew",
        pl.Float32,
        "Skewness of the cosines with all tokens: above 0 where few tokens are promoted, below 0 "
        "where few are suppressed; null if all are equal.",
        NAMES,
        nullable=True,
    ),
    Column(
        "vocab_kurt",
        pl.Float32,
        "Kurtosis of the cosines with all tokens, 3 for a Gaussian; null if all are equal.",
        NAMES,
        nullable=True,
    ),
)


def vocab_shape(vocab_moments: pl.LazyFrame) -> pl.LazyFrame:
    """One row per neuron from the power sums of its cosines."""
    var = pl.col("m2") / pl.col("n")
    varies = pl.col("m2") > 0
    return (
        vocab_moments.filter(pl.col("side") == "out", pl.col("matrix") == "unembed")
        .with_columns(
            vocab_mean=pl.col("mean"),
            vocab_var=var,
            vocab_skew=pl.when(varies).then(pl.col("m3") / pl.col("n") / var**1.5),
            vocab_kurt=pl.when(varies).then(pl.col("m4") / pl.col("n") / var**2),
        )
        .select(
            *(key.name for key in KEYS),
            *(pl.col(column.name).cast(column.dtype) for column in COLUMNS),
        )
    )
