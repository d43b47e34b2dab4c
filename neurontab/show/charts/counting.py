"""Counts and quantiles that charts are drawn from: few rows, whatever the run."""

from collections.abc import Sequence
from math import pi

import polars as pl

BINS = 60
FINEST = 40  # cells along an axis
CELLS = 4_500  # of all models
LEVELS = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}
POINTS = 120  # of a density
KERNEL = 0.5  # standard deviations


def counted(values: pl.LazyFrame, by: Sequence[str], *, step: float | None = None) -> pl.LazyFrame:
    """Counts of column `value` in equal bins, empty ones too, from a bin's `value` to its `end`.

    Without a step there are so many bins from the lowest value to the highest.
    """
    if step is None:
        ends = values.select(low=pl.col("value").min(), high=pl.col("value").max())
        width = (pl.col("high") - pl.col("low")).clip(1e-12) / BINS
        ends = ends.with_columns(step=width.cast(pl.Float64), low=pl.col("low").cast(pl.Float64))
    else:
        ends = pl.LazyFrame({"step": [step], "low": [0.0]})
    place = ((pl.col("value") - pl.col("low")) / pl.col("step")).floor().cast(pl.Int32)
    if step is None:  # the highest value is in the last bin, not beyond it
        place = place.clip(0, BINS - 1)
    here = values.drop_nulls("value").join(ends, how="cross").with_columns(bin=place)
    n = here.group_by(*by, "bin").len("n")
    bins = n.select(pl.int_range(pl.col("bin").min(), pl.col("bin").max() + 1, dtype=pl.Int32))
    return (
        n.select(by)
        .unique()
        .join(bins, how="cross")
        .join(n, on=[*by, "bin"], how="left")
        .join(ends.select("low", "step"), how="cross")
        .with_columns(
            pl.col("n").fill_null(0),
            value=pl.col("low") + pl.col("bin") * pl.col("step"),
            end=pl.col("low") + (pl.col("bin") + 1) * pl.col("step"),
        )
        .select(*by, "bin", "n", "value", "end")
        .sort(*by, "bin")
    )


def heat(table: pl.LazyFrame, x: str, y: str) -> pl.DataFrame:
    """How many neurons of each model lie in each cell of two columns; empty cells have no row.

    The more models, the larger the cells: Vega-Lite draws five thousand.
    """
    known = table.drop_nulls([x, y]).select("model", x, y).collect()
    models = max(known["model"].n_unique(), 1)
    bins = min(FINEST, int((CELLS / models) ** 0.5))
    edges = {}
    for axis, name in (("x", x), ("y", y)):
        low = known[name].cast(pl.Float64).min() or 0.0
        high = known[name].cast(pl.Float64).max() or 0.0
        edges[axis] = (name, float(low), max((float(high) - float(low)) / bins, 1e-9))  # type: ignore[arg-type]
    place = {
        axis: ((pl.col(name) - low) / step).floor().clip(0, bins - 1) * step + low
        for axis, (name, low, step) in edges.items()
    }
    return (
        known.select("model", **place)
        .group_by("model", "x", "y")
        .len("n")
        .with_columns(x2=pl.col("x") + edges["x"][2], y2=pl.col("y") + edges["y"][2])
        .sort("model", "x", "y")
    )


def densities(values: pl.LazyFrame) -> pl.LazyFrame:
    """Of column `value` by layer, over a grid: mean, lowest and highest density of the models.

    A model with fewer than two such neurons in a layer, or equal ones, has none there.
    """
    by = ["model", "layer"]
    width = (KERNEL * pl.col("value").std()).over(by)
    each = values.with_columns(width=width).filter(pl.col("width") > 0)
    ends = each.select(
        low=(pl.col("value") - 3 * pl.col("width")).min(),
        high=(pl.col("value") + 3 * pl.col("width")).max(),
    )
    share = pl.LazyFrame({"share": [point / (POINTS - 1) for point in range(POINTS)]})
    grid = share.join(ends, how="cross").select(
        at=pl.col("low") + pl.col("share") * (pl.col("high") - pl.col("low"))
    )
    far = (pl.col("at") - pl.col("value")) / pl.col("width")
    height = (-far.pow(2) / 2).exp() / (pl.col("width") * (2 * pi) ** 0.5)
    return (
        each.join(grid, how="cross")
        .group_by(*by, "at")
        .agg(density=height.mean())
        .group_by("layer", "at")
        .agg(
            mean=pl.col("density").mean(),
            low=pl.col("density").min(),
            high=pl.col("density").max(),
        )
        .sort("layer", "at")
    )


def quantiles(name: str) -> dict[str, pl.Expr]:
    """Of a column, as `boxes` draws them."""
    return {each: pl.col(name).quantile(level, "linear") for each, level in LEVELS.items()}


def per_model(numbers: pl.DataFrame) -> str:
    """`2,048 neurons a model`, from columns model and n."""
    each = sorted(set(numbers.group_by("model").agg(pl.col("n").sum())["n"])) or [0]
    return f"{' to '.join(f'{n:,}' for n in each[:: max(len(each) - 1, 1)])} neurons a model"
