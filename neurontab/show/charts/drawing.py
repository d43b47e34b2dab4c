"""Kinds of pictures that several charts are: cells, histograms, bars, boxes."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl

from neurontab.show.charts.counting import counted
from neurontab.show.charts.style import (
    ACCENT,
    COLOURS,
    DASHES,
    GROUP,
    HEIGHT,
    SMALL,
    WIDTH,
    Chart,
    by_model,
    chart_of,
    titled,
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
        drawn.append(over.mark_line(color=ACCENT, strokeWidth=2).encode(x="x:Q", y="mean:Q"))
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
        drawn.append(at.mark_rule(color=ACCENT, strokeDash=[4, 2]).encode(x="at:Q"))
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
