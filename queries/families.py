"""The family of each neuron by its activations: the first whose rule it meets."""

import polars as pl

from neurontab.tables.schemas import NEURON_KEY
from neurontab.tables.table import Column, at_least, one_of

from .family_evidence import FAMILIES

VERSION = 1
KEYS = NEURON_KEY
NONE = "none"
COLUMNS = (
    Column(
        "family",
        pl.String,
        f"The first of {', '.join(FAMILIES)} whose rule the neuron meets, else none; "
        "family_evidence has all.",
        check=one_of(*FAMILIES, NONE),
    ),
    Column(
        "family_feature",
        pl.String,
        "Feature or source that the family is read from; null if of none.",
        nullable=True,
    ),
    Column("family_by", pl.String, "Quantity that it is read from; null if none.", nullable=True),
    Column("family_value", pl.Float32, "Its value.", nullable=True),
    Column("family_threshold", pl.Float32, "What it is above.", nullable=True),
    Column("n_families", pl.Int32, "Families whose rules the neuron meets.", check=at_least(0)),
)


def families(activation_shape: pl.LazyFrame, family_evidence: pl.LazyFrame) -> pl.LazyFrame:
    """One row per neuron, from every family that it belongs to."""
    keys = [key.name for key in KEYS]
    order = pl.Enum(FAMILIES)
    first = (
        family_evidence.sort(*keys, pl.col("family").cast(order))
        .group_by(keys, maintain_order=True)
        .agg(pl.all().first(), n_families=pl.len())
        .rename(
            {
                "feature": "family_feature",
                "measure": "family_by",
                "value": "family_value",
                "threshold": "family_threshold",
            }
        )
    )
    return (
        activation_shape.select(keys)
        .join(first, on=keys, how="left")
        .with_columns(pl.col("family").fill_null(NONE), pl.col("n_families").fill_null(0))
        .select(*keys, *(pl.col(column.name).cast(column.dtype) for column in COLUMNS))
    )
