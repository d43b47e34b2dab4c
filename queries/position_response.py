"""How much of each neuron's activity follows from the position in the context alone."""

import polars as pl

from neurontab.tables.schemas import NEURON_KEY, PAPER
from neurontab.tables.table import Column, at_least
from neurontab.tables.variance import explained

VERSION = 1
RARE = 3.09  # of a normal distribution, its 99.9 % quantile
KEYS = NEURON_KEY
SOURCE = f"{PAPER}, 4.3.1; Voita et al. 2023, 5"
COLUMNS = (
    Column(
        "position_mi",
        pl.Float32,
        "Mutual information between position and whether post is above 0 (where pre is, but in "
        "gated models); null if always or never.",
        SOURCE,
        "nats",
        nullable=True,
        check=at_least(0),
    ),
    Column(
        "position_mi_chance",
        pl.Float32,
        "What of it one in a thousand neurons that know nothing of positions has at least: a "
        "quantile of chi-squared with positions - 1 degrees of freedom, over 2 n.",
        "Miller 1955; Wilson and Hilferty 1931",
        "nats",
        check=at_least(0),
    ),
    Column(
        "position_eta2",
        pl.Float32,
        "Share of post's variance that is between positions, less what chance gives; null if "
        "constant, and where there are positions beyond the first 2,048.",
        "Kelley 1935, epsilon squared",
        nullable=True,
    ),
    Column(
        "peak_position",
        pl.Int32,
        "Position at which post is highest on average, the first of equals.",
        unit="tokens",
        check=at_least(0),
    ),
)


def position_response(
    position_groups: pl.LazyFrame, activation_moments: pl.LazyFrame
) -> pl.LazyFrame:
    """One row per neuron from counts and sums by position."""
    keys = [key.name for key in KEYS]
    n, active = pl.col("n"), pl.col("n_active")
    rate = active.sum() / n.sum()
    share = active / n
    told = n * (_times_log(share, rate) + _times_log(1 - share, 1 - rate))
    known = (active.sum() > 0) & (active.sum() < n.sum())
    mean = pl.col("sum") / n
    post = activation_moments.filter(pl.col("site") == "post").select(*keys, "m2", counted="n")
    return (
        position_groups.sort(*keys, "position")
        .group_by(keys, maintain_order=True)
        .agg(
            position_mi=pl.when(known).then((told.sum() / n.sum()).clip(0)),
            position_mi_chance=_quantile(pl.len() - 1) / (2 * n.sum()),
            between=(n * (mean - pl.col("sum").sum() / n.sum()) ** 2).sum(),
            positions=pl.len(),
            every=n.sum(),
            peak_position=pl.col("position").get(mean.arg_max()),
        )
        .join(post, on=keys)
        .with_columns(
            position_eta2=pl.when(pl.col("every") == pl.col("counted")).then(
                explained("between", "m2", "every", "positions")
            )
        )
        .select(*keys, *(pl.col(column.name).cast(column.dtype) for column in COLUMNS))
    )


def _quantile(freedom: pl.Expr) -> pl.Expr:
    """Of chi-squared, as a normal distribution of its cube root."""
    spread = pl.lit(2 / 9) / freedom
    return (
        pl.when(freedom > 0).then(freedom * (1 - spread + RARE * spread.sqrt()).pow(3)).otherwise(0)
    )


def _times_log(share: pl.Expr, of: pl.Expr) -> pl.Expr:
    """p log(p / q), 0 where p is."""
    return pl.when(share > 0).then(share * (share / of).log()).otherwise(0.0)
