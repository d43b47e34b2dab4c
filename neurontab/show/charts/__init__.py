"""One function per chart: its parameters name the tables it reads, its first sentence is the title.

Frames are aggregated before they are drawn, so a chart holds some thousand rows whatever the run.
"""

import inspect
from collections.abc import Callable, Iterable

import polars as pl

from neurontab.errors import ChartError, nearest
from neurontab.show.charts import labels, matching, properties, sampled, vocabulary
from neurontab.show.charts.style import Chart, nothing
from neurontab.tables.schemas import MEASURED

__all__ = ["ACTIVATIONS", "CHARTS", "Chart", "draw", "drawable", "title_of"]

ACTIVATIONS = "activations"  # what a chart reads that is no table
CHARTS: dict[str, Callable[..., Chart]] = {
    chart.__name__: chart
    for module in (matching, properties, labels, vocabulary, sampled)
    for chart in module.CHARTS
}


def draw(
    name: str, scan: Callable[[str], pl.LazyFrame], there: Iterable[str], run_id: str
) -> Chart:
    """A chart by name over a run's tables, of which some are `there`.

    Raises ChartError with the nearest name, or with what is missing and how to have it.
    """
    if name not in CHARTS:
        raise ChartError(
            f"No chart {name!r}; there are {', '.join(CHARTS)}.{nearest(name, list(CHARTS))}"
        )
    function = CHARTS[name]
    if missing := sorted({*_reads(function)} - {*there, ACTIVATIONS}):
        measured = "neurontab build -m ONE -m OTHER, of two models or more, with this version"
        remedy = measured if MEASURED.keys() & {*missing} else "neurontab derive"
        raise ChartError(
            f"Chart {name!r} needs {', '.join(missing)}, which this run has not.\n"
            f"Make it by {remedy}."
        )
    chart = function(*(scan(table) for table in _reads(function)))
    if not any(chart.to_dict().get("datasets", {}).values()):
        chart = nothing(chart.title.subtitle)
    chart.title.text = title_of(name)
    marked: Chart = chart.properties(usermeta={"neurontab": {"run_id": run_id, "chart": name}})
    return marked


def drawable(tables: Iterable[str]) -> list[str]:
    """The charts for which a run has the tables; one model alone lacks those of pairs."""
    here = {*tables, ACTIVATIONS}
    return [name for name, chart in CHARTS.items() if here >= set(_reads(chart))]


def title_of(name: str) -> str:
    """The sentence that a chart's function opens with."""
    return str(CHARTS[name].__doc__).split("\n\n")[0].rstrip(".")


def _reads(chart: Callable[..., Chart]) -> list[str]:
    """The tables that a chart reads."""
    return list(inspect.signature(chart).parameters)
