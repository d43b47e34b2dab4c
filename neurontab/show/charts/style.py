"""What all charts look like, and the frames that several are drawn from."""

import re
from collections.abc import Sequence
from functools import cache
from textwrap import wrap
from typing import Any

import altair as alt
import polars as pl

from neurontab.tables.query import discover
from neurontab.tables.schemas import MEASURED
from neurontab.tables.table import Table

Chart = alt.Chart | alt.LayerChart | alt.FacetChart | alt.ConcatChart

BINS = 60
FINEST = 40  # cells along an axis
CELLS = 4_500  # of all models
WIDTH, HEIGHT = 300, 220
SMALL = WIDTH / 2
LINE = 25  # letters of a title beside a small picture
# Okabe and Ito's colours, told apart by all kinds of colour vision and in grey.
COLOURS = [
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442"),
    *("#000000", "#999999"),
]
DASHES = [[1, 0], [4, 2], [2, 2]]
KEYS = ["model", "layer", "neuron"]
GROUP = alt.Color("group:N", title=None, scale=alt.Scale(range=COLOURS))
UNIVERSAL = pl.when("is_universal").then(pl.lit("universal")).otherwise(pl.lit("other"))
LEVEL = alt.Axis(labelAngle=0, labelOverlap=True)
STRONG = alt.Legend(symbolOpacity=1)
LEVELS = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}


def chart_of(frame: pl.DataFrame) -> alt.Chart:
    """A chart of a frame; Altair lets as many rows as there are pass, as they are counts."""
    return alt.Chart(alt.InlineData(values=frame.to_dicts()))


def heading(table: str, column: str) -> list[str]:
    """What a column is, as its table declares it, in lines as long as a small picture is wide."""
    declared = next(each for each in _declared()[table].columns if each.name == column)
    said = re.split(r"[;:.](?:\s|$)", declared.description)[0]
    unit = f", {declared.unit}" if declared.unit else ""
    return wrap(f"{column}: {said[0].lower()}{said[1:]}{unit}", LINE)


@cache
def _declared() -> dict[str, Table]:
    """The tables that come with neurontab."""
    return MEASURED | {name: query.table for name, query in discover().items()}


def titled(chart: Any, subtitle: str) -> Chart:
    """With what is counted below its title, which `draw` adds."""
    found: Chart = chart.properties(title=alt.TitleParams("", subtitle=subtitle, anchor="start"))
    return found


def nothing(subtitle: str) -> Chart:
    """What is drawn where no neuron is as the chart asks."""
    chart = chart_of(pl.DataFrame({"none": ["no such neuron in this run"]}))
    drawn = chart.mark_text(fontSize=12).encode(text="none:N")
    return titled(drawn.properties(width=WIDTH, height=SMALL), subtitle)


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


def heat_chart(
    cells: pl.DataFrame, x: list[str], y: list[str], *, line: pl.DataFrame | None = None
) -> Any:
    """Cells of `heat`, by model, with titles for the axes, and a line over them.

    Of that the columns are model, x and mean.
    """
    base = chart_of(cells if line is None else pl.concat([cells, line], how="diagonal_relaxed"))
    drawn = [
        base.transform_filter("datum.n != null")
        .mark_rect()
        .encode(
            x=alt.X("x:Q", title=x, scale=alt.Scale(zero=False)),
            x2="x2:Q",
            y=alt.Y("y:Q", title=y, scale=alt.Scale(zero=False)),
            y2="y2:Q",
            color=alt.Color("n:Q", title="neurons", scale=alt.Scale(type="log", scheme="viridis")),
        )
    ]
    if line is not None:
        over = base.transform_filter("datum.mean != null")
        drawn.append(over.mark_line(color="#D55E00", strokeWidth=2).encode(x="x:Q", y="mean:Q"))
    return by_model(alt.layer(*drawn).properties(width=SMALL, height=SMALL))


def histogram_chart(
    numbers: pl.DataFrame, x: list[str], *, marked: pl.DataFrame | None = None
) -> Any:
    """Neurons counted by `counted`, by model, on a logarithmic scale that has 0.

    Some may be marked, at column `at`.
    """
    data = numbers if marked is None else pl.concat([numbers, marked], how="diagonal_relaxed")
    base = chart_of(data)
    drawn = [
        base.transform_filter("datum.n != null")
        .mark_line(interpolate="step-after")
        .encode(
            x=alt.X("value:Q", title=x),
            y=alt.Y("n:Q", title="neurons", scale=alt.Scale(type="symlog")),
        )
    ]
    if marked is not None:
        at = base.transform_filter("datum.at != null")
        drawn.append(at.mark_rule(color="#D55E00", strokeDash=[4, 2]).encode(x="at:Q"))
    return by_model(alt.layer(*drawn).properties(width=SMALL, height=SMALL))


def steps(values: pl.LazyFrame, x: list[str], *, step: float, facet: str | None = None) -> Chart:
    """Histograms of universal neurons and others, in per cent of each; one picture a facet.

    Columns are group and value, and that of the facet.
    """
    by = ["group"] if facet is None else [facet, "group"]
    numbers = counted(values.drop_nulls("value"), by, step=step).with_columns(
        share=100 * pl.col("n") / pl.col("n").sum().over(by)
    )
    drawn = numbers.collect()
    chart = (
        chart_of(drawn)
        .mark_line(interpolate="step-after")
        .encode(
            x=alt.X("value:Q", title=x),
            y=alt.Y("share:Q", title="% of the neurons"),
            color=GROUP,
            strokeDash=alt.StrokeDash("group:N", title=None, scale=alt.Scale(range=DASHES[:2])),
        )
        .properties(width=WIDTH, height=HEIGHT)
    )
    first = drawn if facet is None else drawn.filter(pl.col(facet) == pl.col(facet).min())
    sizes = first.group_by("group").agg(pl.col("n").sum()).sort("group").rows()
    said = ", ".join(f"{n:,} {name}" for name, n in sizes) + " neurons of all models"
    return titled(chart if facet is None else chart.facet(f"{facet}:N", columns=2), said)


def binned(numbers: pl.DataFrame, facet: str, x: alt.X, y: alt.Y, groups: Sequence[str]) -> Any:
    """Bars of `counted`, one colour a group, one picture a facet."""
    chart = (
        chart_of(numbers)
        .mark_bar(opacity=0.65, binSpacing=0)
        .encode(
            x=x.bin("binned"),
            x2="end:Q",
            y=y.stack(None),
            color=alt.Color(
                "group:N", title=None, scale=alt.Scale(domain=list(groups), range=COLOURS)
            ),
        )
        .properties(width=0.8 * WIDTH, height=SMALL)
    )
    return chart.facet(alt.Facet(f"{facet}:N", title=None), columns=3)


def by_model(chart: Any) -> Any:
    """Small pictures side by side."""
    return chart.facet(alt.Facet("model:N", title=None), columns=5)


def boxes(spread: pl.DataFrame, x: alt.X, title: list[str], colour: alt.Color, size: float) -> Any:
    """Quantiles as boxes of a width in pixels: 5 to 95 %, quartiles, median."""
    base = chart_of(spread).encode(x=x)
    offset = {"xOffset": colour.shorthand}
    low = alt.Y("q05:Q", title=title, scale=alt.Scale(zero=False, padding=6))
    return alt.layer(
        base.mark_rule().encode(y=low, y2="q95:Q", color=colour, **offset),
        base.mark_bar(size=size, opacity=0.75).encode(
            y="q25:Q", y2="q75:Q", color=colour, **offset
        ),
        base.mark_tick(color="black", thickness=2, size=size).encode(y="q50:Q", **offset),
    )


def wide(layers: int, least: float) -> float:
    """Pixels of a picture with so many layers side by side, at least so many for each."""
    return max(SMALL, layers * least)


def quantiles(name: str) -> dict[str, pl.Expr]:
    """Of a column, as `boxes` draws them."""
    return {each: pl.col(name).quantile(level, "linear") for each, level in LEVELS.items()}


def per_model(numbers: pl.DataFrame) -> str:
    """`2,048 neurons a model`, from columns model and n."""
    each = sorted(set(numbers.group_by("model").agg(pl.col("n").sum())["n"])) or [0]
    return f"{' to '.join(f'{n:,}' for n in each[:: max(len(each) - 1, 1)])} neurons a model"
