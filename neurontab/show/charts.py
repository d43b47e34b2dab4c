"""One function per chart: its parameters name the tables it reads, its first sentence is the title.

Frames are aggregated before they are drawn, so a chart holds a few hundred rows whatever the run.
"""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import altair as alt
import polars as pl

from neurontab.errors import ChartError, nearest

Chart = alt.Chart | alt.LayerChart | alt.FacetChart

BINS = 60
WIDTH, HEIGHT = 300, 220
# Okabe and Ito's colours, told apart by all kinds of colour vision and in grey.
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"]

DASHES = [[1, 0], [4, 2], [2, 2]]
LEVEL = alt.Axis(labelAngle=0)


def draw(name: str, scan: Callable[[str], pl.LazyFrame], run_id: str) -> Chart:
    """A chart by name over a run's tables. Raises ChartError with the nearest name."""
    if name not in CHARTS:
        raise ChartError(
            f"No chart {name!r}; there are {', '.join(CHARTS)}.{nearest(name, list(CHARTS))}"
        )
    function = CHARTS[name]
    chart = function(*(scan(table) for table in _reads(function)))
    marked: Chart = chart.properties(usermeta={"neurontab": {"run_id": run_id, "chart": name}})
    return marked


def drawable(tables: Iterable[str]) -> list[str]:
    """The charts for which a run has the tables; one model alone lacks those of pairs."""
    here = set(tables)
    return [name for name, chart in CHARTS.items() if here >= set(_reads(chart))]


def title_of(name: str) -> str:
    """The sentence that a chart's function opens with."""
    return str(CHARTS[name].__doc__).split("\n\n")[0].rstrip(".")


def correlations(universality: pl.LazyFrame) -> Chart:
    """Best correlation, baseline and excess of every neuron.

    Gurnee et al. 2024, figures 2a and 11.
    """
    names = ["mean_corr", "mean_baseline", "excess_corr"]
    values = universality.unpivot(names, index="model", variable_name="quantity").drop_nulls()
    counted = _histogram(values, ["model", "quantity"]).collect()
    chart = (
        alt.Chart(counted)
        .mark_line(interpolate="step-after")
        .encode(
            x=alt.X("value:Q", title="mean over the other models", axis=alt.Axis(tickCount=6)),
            y=alt.Y("n:Q", title="neurons", scale=alt.Scale(type="symlog")),
            color=alt.Color(
                "quantity:N", title=None, scale=alt.Scale(domain=names, range=COLOURS[:3])
            ),
            strokeDash=alt.StrokeDash(
                "quantity:N", title=None, scale=alt.Scale(domain=names, range=DASHES)
            ),
            facet=alt.Facet("model:N", columns=3, title=None),
        )
        .properties(width=WIDTH, height=HEIGHT)
    )
    return _titled(chart, "correlations", _per_model(counted.filter(quantity="excess_corr")))


def excess_by_layer(universality: pl.LazyFrame) -> Chart:
    """Excess over the baseline by layer: median, quartiles, 1 and 99 % of the neurons.

    Gurnee et al. 2024, section 4.1.
    """
    excess = pl.col("excess_corr")
    levels = {"p1": 0.01, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p99": 0.99}
    spread = (
        universality.drop_nulls("excess_corr")
        .group_by("model", "layer")
        .agg(
            pl.len().alias("n"),
            universal=pl.col("is_universal").sum(),
            **{name: excess.quantile(level) for name, level in levels.items()},
        )
        .sort("model", "layer")
        .collect()
    )
    base = alt.Chart(spread).encode(x=alt.X("layer:O", title="layer", axis=LEVEL))
    value = alt.Y("p1:Q", title="excess correlation", scale=alt.Scale(padding=12))
    chart = (
        alt.layer(
            base.mark_rule(color=COLOURS[0]).encode(y=value, y2="p99:Q"),
            base.mark_bar(color=COLOURS[4], size=18).encode(y="p25:Q", y2="p75:Q"),
            base.mark_tick(color="black", thickness=2, size=18).encode(y="p50:Q"),
            base.mark_text(dy=-8).encode(y="p99:Q", text="universal:Q"),
        )
        .properties(width=WIDTH / 2, height=HEIGHT)
        .facet(alt.Facet("model:N", title=None), columns=5)
    )
    n = f"{_per_model(spread)}; the number above is of universal neurons"
    return _titled(chart, "excess_by_layer", n)


def match_layers(matches: pl.LazyFrame) -> Chart:
    """Layer of the best match in the other models, in per cent of the layer's neurons.

    Gurnee et al. 2024, figures 2c and 12.
    """
    pair = ["model", "layer", "other_layer"]
    best = matches.filter(pl.col("rank") == 1)
    counted = (
        best.group_by(pair)
        .len("n")
        .with_columns(share=100 * pl.col("n") / pl.col("n").sum().over("model", "layer"))
    )
    drawn = counted.sort(pair).collect()
    base = alt.Chart(drawn).encode(
        x=alt.X("other_layer:O", title="layer of the best match", axis=LEVEL),
        y=alt.Y("layer:O", title="layer", sort="descending"),
    )
    colour = alt.Color("share:Q", title="%", scale=alt.Scale(scheme="viridis", domain=[0, 100]))
    text = alt.condition("datum.share > 60", alt.value("black"), alt.value("white"))
    chart = (
        alt.layer(
            base.mark_rect().encode(color=colour),
            base.mark_text().encode(text=alt.Text("share:Q", format=".0f"), color=text),
        )
        .properties(width=WIDTH / 2, height=WIDTH / 2)
        .facet(alt.Facet("model:N", title=None), columns=5)
    )
    n = f"{drawn['n'].sum():,} best matches, over all other models"
    return _titled(chart, "match_layers", n)


def _reads(chart: Callable[..., Chart]) -> list[str]:
    """The tables that a chart reads."""
    return list(inspect.signature(chart).parameters)


def _histogram(values: pl.LazyFrame, by: list[str]) -> pl.LazyFrame:
    """Counts of column `value` in equal bins, empty ones too; `value` is a bin's lower edge."""
    place = (pl.col("value") * BINS).floor().cast(pl.Int32).alias("bin")
    counted = values.select(*by, place).group_by(*by, "bin").len("n")
    bins = counted.select(
        pl.int_range(pl.col("bin").min(), pl.col("bin").max() + 1, dtype=pl.Int32)
    )
    return (
        counted.select(by)
        .unique()
        .join(bins, how="cross")
        .join(counted, on=[*by, "bin"], how="left")
        .with_columns(pl.col("n").fill_null(0), value=pl.col("bin") / BINS)
        .sort(*by, "bin")
    )


def _per_model(counted: pl.DataFrame) -> str:
    each = sorted(set(counted.group_by("model").agg(pl.col("n").sum())["n"]))
    return f"{' to '.join(f'{n:,}' for n in each[:: max(len(each) - 1, 1)])} neurons a model"


def _titled(chart: Any, name: str, subtitle: str) -> Chart:
    title = alt.TitleParams(title_of(name), subtitle=subtitle, anchor="start")
    titled: Chart = chart.properties(title=title)
    return titled


CHARTS: dict[str, Callable[..., Chart]] = {
    chart.__name__: chart for chart in (correlations, excess_by_layer, match_layers)
}
