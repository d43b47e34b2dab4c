"""Universal neurons of one model that are copies of each other: neurons are not features."""

from typing import Annotated

import polars as pl

from neurontab.tables.schemas import NEURON_KEY
from neurontab.tables.table import Column, at_least

VERSION = 1
KEYS = NEURON_KEY
COLUMNS = (
    Column("group_layer", pl.Int32, "Layer of the group's first member.", check=at_least(0)),
    Column("group_neuron", pl.Int32, "Neuron of the group's first member.", check=at_least(0)),
    Column("group_size", pl.Int32, "Members of the group.", unit="neurons", check=at_least(1)),
)

ROUNDS = 128  # of passing labels on: members are at most that many twins apart


def twin_groups(
    universality: pl.LazyFrame,
    twins: pl.LazyFrame,
    *,
    twin_corr: Annotated[float, "Correlation above which two neurons are twins; our choice."] = 0.7,
) -> pl.LazyFrame:
    """One row per universal neuron: the connected group of universal twins that it belongs to.

    Every neuron begins with its own label and takes the lowest of its neighbours', again and again.
    """
    universal = universality.filter("is_universal").select("model", unit=_unit("layer", "neuron"))
    edges = _edges(universal, twins.filter(pl.col("corr") > twin_corr))
    labels = universal.with_columns(label="unit")
    for _ in range(ROUNDS):
        labels = (
            edges.join(labels, left_on=["model", "other"], right_on=["model", "unit"])
            .group_by("model", "unit")
            .agg(pl.col("label").min())
        )
    return labels.select(
        "model",
        layer=_layer("unit"),
        neuron=_neuron("unit"),
        group_layer=_layer("label"),
        group_neuron=_neuron("label"),
        group_size=pl.len().over("model", "label").cast(pl.Int32),
    )


def _edges(universal: pl.LazyFrame, twins: pl.LazyFrame) -> pl.LazyFrame:
    """Both directions of every pair of universal twins, and each neuron with itself."""
    forward = twins.select(
        "model", unit=_unit("layer", "neuron"), other=_unit("other_layer", "other_neuron")
    )
    backward = forward.select("model", unit="other", other="unit")
    both = pl.concat([forward, backward, universal.with_columns(other="unit")])
    return (
        both.join(universal, on=["model", "unit"], how="semi")
        .join(universal, left_on=["model", "other"], right_on=["model", "unit"], how="semi")
        .unique()
    )


def _unit(layer: str, neuron: str) -> pl.Expr:
    """Layer and neuron as one ordered number."""
    return pl.col(layer).cast(pl.Int64) * 2**32 + pl.col(neuron)


def _layer(unit: str) -> pl.Expr:
    return (pl.col(unit) // 2**32).cast(pl.Int32)


def _neuron(unit: str) -> pl.Expr:
    return (pl.col(unit) % 2**32).cast(pl.Int32)
