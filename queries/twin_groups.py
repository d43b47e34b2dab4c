"""Universal neurons of one model that are copies of each other: neurons are not features."""

from typing import Annotated

import polars as pl

from neurontab.tables.graph import connected
from neurontab.tables.schemas import NEURON_KEY
from neurontab.tables.table import Column, at_least

VERSION = 2
KEYS = NEURON_KEY
COLUMNS = (
    Column("group_layer", pl.Int32, "Layer of the group's first member.", check=at_least(0)),
    Column("group_neuron", pl.Int32, "Neuron of the group's first member.", check=at_least(0)),
    Column("group_size", pl.Int32, "Members of the group.", unit="neurons", check=at_least(1)),
)


def twin_groups(
    universality: pl.LazyFrame,
    twins: pl.LazyFrame,
    *,
    twin_corr: Annotated[float, "Correlation above which two neurons are twins; our choice."] = 0.7,
) -> pl.LazyFrame:
    """One row per universal neuron: the connected group of universal twins that it belongs to."""
    edges = twins.filter(pl.col("corr") > twin_corr).with_columns(other_model="model")
    return (
        connected(universality.filter("is_universal"), edges)
        .drop("group_model")
        .with_columns(
            group_size=pl.len().over("model", "group_layer", "group_neuron").cast(pl.Int32)
        )
    )
