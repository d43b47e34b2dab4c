"""Universal neurons of all models that are one feature: neurons are not features."""

from typing import Annotated

import polars as pl

from neurontab.tables.graph import connected
from neurontab.tables.schemas import NEURON_KEY
from neurontab.tables.table import Column, at_least

VERSION = 1
KEYS = NEURON_KEY
COLUMNS = (
    Column(
        "feature",
        pl.Int32,
        "Number of the feature, from 0: those in many models first, then the large ones.",
        check=at_least(0),
    ),
    Column(
        "is_representative",
        pl.Boolean,
        "Whether this is the member with the highest excess_corr; one in each feature.",
    ),
    Column("n_members", pl.Int32, "Members in all models.", unit="neurons", check=at_least(1)),
    Column("n_models", pl.Int32, "Models with a member.", unit="models", check=at_least(1)),
)


def universal_features(
    universality: pl.LazyFrame,
    matches: pl.LazyFrame,
    twins: pl.LazyFrame,
    *,
    same_corr: Annotated[float, "Correlation above which two are one feature; our choice."] = 0.7,
) -> pl.LazyFrame:
    """One row per universal neuron: the connected group of twins and matches that it belongs to."""
    universal = universality.filter("is_universal")
    ends = [key.name for key in KEYS] + [f"other_{key.name}" for key in KEYS]
    edges = pl.concat(
        each.filter(pl.col("corr") > same_corr).select(ends)
        for each in (matches, twins.with_columns(other_model="model"))
    )
    group = ["group_model", "group_layer", "group_neuron"]
    members = [key.name for key in KEYS]
    order = [pl.col("excess_corr").neg(), *members]
    return (
        connected(universal, edges)
        .join(universal.select(*members, "excess_corr"), on=members)
        .with_columns(
            n_members=pl.len().over(group).cast(pl.Int32),
            n_models=pl.col("model").n_unique().over(group).cast(pl.Int32),
            is_representative=pl.struct(order).rank("ordinal").over(group) == 1,
        )
        .with_columns(
            feature=(
                pl.struct(
                    pl.col("n_models").cast(pl.Int64).neg(),
                    pl.col("n_members").cast(pl.Int64).neg(),
                    *group,
                ).rank("dense")
                - 1
            ).cast(pl.Int32)
        )
        .select(*members, *(column.name for column in COLUMNS))
    )
