"""The wide table: one row per neuron with everything that is known of it."""

import polars as pl

from neurontab.tables.schemas import NEURON_KEY

from . import activation_shape as activation
from . import families as family
from . import position_response as position
from . import roles as role
from . import source_response as source
from . import universality as universal
from . import vocab_shape as vocab
from . import weight_shape as weight

VERSION = 2
KEYS = NEURON_KEY
COLUMNS = (
    *universal.COLUMNS,
    *family.COLUMNS,
    *role.COLUMNS,
    *activation.COLUMNS,
    *position.COLUMNS,
    *source.COLUMNS,
    *weight.COLUMNS,
    *vocab.COLUMNS,
)


def neurons(
    activation_shape: pl.LazyFrame,
    position_response: pl.LazyFrame,
    source_response: pl.LazyFrame,
    weight_shape: pl.LazyFrame,
    vocab_shape: pl.LazyFrame,
    families: pl.LazyFrame,
    roles: pl.LazyFrame,
    universality: pl.LazyFrame,
) -> pl.LazyFrame:
    """Every neuron of every model with the columns of the narrower tables."""
    keys = [key.name for key in KEYS]
    shapes = (position_response, source_response, weight_shape, vocab_shape)
    every = activation_shape
    for table in (*shapes, families, roles, universality):
        every = every.join(table, on=keys)
    return every.select(*keys, *(column.name for column in COLUMNS))
