"""How many neurons of each model are universal, and how many groups of copies that is."""

import polars as pl

from neurontab.tables.schemas import MODEL, PAPER
from neurontab.tables.table import Column, at_least, between

VERSION = 2
KEYS = (MODEL,)


def _count(name: str, description: str, source: str = "", unit: str = "neurons") -> Column:
    return Column(name, pl.Int64, description, source, unit, check=at_least(0))


COLUMNS = (
    _count("neurons", "Neurons of the model."),
    _count("low_support", "Neurons that are constant or too rarely active to be matched."),
    _count("universal", "Neurons whose mean excess is above the threshold.", f"{PAPER}, 3.1"),
    Column("universal_share", pl.Float32, "universal over neurons.", check=between(0, 1)),
    _count("universal_strict", "Neurons whose excess is above it in every other model."),
    Column(
        "token_share",
        pl.Float32,
        "Median over the universal neurons of how much of their covariance is the current token.",
        nullable=True,
    ),
    _count("universal_groups", "Groups of twins among the universal neurons.", unit="groups"),
)


def family_summary(
    activation_shape: pl.LazyFrame, universality: pl.LazyFrame, twin_groups: pl.LazyFrame
) -> pl.LazyFrame:
    """One row per model."""
    groups = twin_groups.group_by("model").agg(
        universal_groups=pl.struct("group_layer", "group_neuron").n_unique()
    )
    return (
        universality.join(activation_shape, on=["model", "layer", "neuron"])
        .group_by("model")
        .agg(
            neurons=pl.len(),
            low_support=pl.col("low_support").sum(),
            universal=pl.col("is_universal").sum(),
            universal_share=pl.col("is_universal").mean(),
            universal_strict=pl.col("is_universal_strict").sum(),
            token_share=pl.col("token_share").filter("is_universal").median(),
        )
        .join(groups, on="model", how="left")
        .with_columns(pl.col("universal_groups").fill_null(0))
        .select("model", *(pl.col(column.name).cast(column.dtype) for column in COLUMNS))
        .sort("model")
    )
