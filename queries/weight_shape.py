"""How each neuron's weights look: lengths, bias, alignment, kurtosis."""

import polars as pl

from neurontab.tables.schemas import NEURON_KEY, PAPER
from neurontab.tables.table import Column, at_least, between

VERSION = 1
KEYS = NEURON_KEY
NAMES = f"{PAPER}, 4.1"
COLUMNS = (
    Column("input_bias", pl.Float32, "Bias before the activation function.", NAMES),
    Column("w_in_norm", pl.Float32, "Length of the input vector.", NAMES, check=at_least(0)),
    Column("w_out_norm", pl.Float32, "Length of the output vector.", NAMES, check=at_least(0)),
    Column(
        "in_out_sim",
        pl.Float32,
        "Cosine of input and output vector; null if either is zero.",
        NAMES,
        nullable=True,
        check=between(-1, 1),
    ),
    Column(
        "l2_penalty",
        pl.Float32,
        "Sum of the squared lengths of input and output vector.",
        NAMES,
        check=at_least(0),
    ),
    Column(
        "w_in_kurt",
        pl.Float32,
        "Kurtosis of the input vector's entries, 3 for a Gaussian; null if all are equal.",
        nullable=True,
    ),
    Column(
        "w_out_kurt",
        pl.Float32,
        "Kurtosis of the output vector's entries, 3 for a Gaussian; null if all are equal.",
        nullable=True,
    ),
)


def weight_shape(weights: pl.LazyFrame, models: pl.LazyFrame) -> pl.LazyFrame:
    """One row per neuron from the sums over its weights."""
    lengths = pl.col("w_in_norm") * pl.col("w_out_norm")
    return (
        weights.join(models.select("model", "d_model"), on="model")
        .with_columns(
            in_out_sim=pl.when(lengths > 0).then(pl.col("w_in_dot_w_out") / lengths),
            l2_penalty=pl.col("w_in_norm") ** 2 + pl.col("w_out_norm") ** 2,
            w_in_kurt=_kurtosis("w_in"),
            w_out_kurt=_kurtosis("w_out"),
        )
        .select(
            *(key.name for key in KEYS),
            *(pl.col(column.name).cast(column.dtype) for column in COLUMNS),
        )
    )


def _kurtosis(vector: str) -> pl.Expr:
    """Fourth central moment over squared variance, from power sums over d_model entries."""
    first, second, third, fourth = (
        pl.col(f"{vector}_sum{power}") / pl.col("d_model") for power in (1, 2, 3, 4)
    )
    variance = second - first**2
    central = fourth - 4 * first * third + 6 * first**2 * second - 3 * first**4
    return pl.when(variance > 1e-12 * second).then(central / variance**2)
