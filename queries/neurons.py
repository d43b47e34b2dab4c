"""The wide table: one row per neuron with everything that is known of it."""

import polars as pl

from neurontab.tables.schemas import NEURON_KEY

from . import activation_shape as activation
from . import universality as universal
from . import weight_shape as weight

VERSION = 1
KEYS = NEURON_KEY
COLUMNS = (*universal.COLUMNS, *activation.COLUMNS, *weight.COLUMNS)


def neurons(
    activation_shape: pl.LazyFrame, weight_shape: pl.LazyFrame, universality: pl.LazyFrame
) -> pl.LazyFrame:
    """Every neuron of every model with the columns of the narrower tables."""
    keys = [key.name for key in KEYS]
    return (
        activation_shape.join(weight_shape, on=keys)
        .join(universality, on=keys)
        .select(*keys, *(column.name for column in COLUMNS))
    )
