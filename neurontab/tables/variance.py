"""How much of a variance groups explain, from sums of squares.

Queries that use it give themselves a new VERSION when it changes.
"""

import polars as pl


def explained(between: str, whole: str, n: str, groups: str) -> pl.Expr:
    """Epsilon squared: 1 - (1 - between / whole) (n - 1) / (n - groups) (Kelley 1935).

    Columns `between` and `whole` are sums of squares over n values. 0 on average where groups do
    not matter; null where nothing varies, or every value is a group of its own.
    """
    free = pl.col(n).cast(pl.Float64) - pl.col(groups)
    within = 1 - pl.col(between) / pl.col(whole)
    return pl.when((pl.col(whole) > 0) & (free > 0)).then(1 - within * (pl.col(n) - 1) / free)
