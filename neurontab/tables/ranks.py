"""Where a value stands among others."""

import polars as pl


def percentile(value: pl.Expr) -> pl.Expr:
    """Share of the values that are at most as high; null has none."""
    return value.rank("max") / value.count()
