"""What all charts look like: sizes, colours, titles."""

import re
from functools import cache
from textwrap import wrap
from typing import Any

import altair as alt
import polars as pl

from neurontab.tables.query import discover
from neurontab.tables.schemas import MEASURED
from neurontab.tables.table import Table

Chart = alt.Chart | alt.LayerChart | alt.FacetChart | alt.ConcatChart

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
ACCENT = COLOURS[5]  # of a line over others
STRONG = alt.Legend(symbolOpacity=1)


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


def by_model(chart: Any) -> Any:
    """Small pictures side by side."""
    return chart.facet(alt.Facet("model:N", title=None), columns=5)


def wide(layers: int, least: float) -> float:
    """Pixels of a picture with so many layers side by side, at least so many for each."""
    return max(SMALL, layers * least)
