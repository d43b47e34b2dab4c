"""One function per chart: its parameters name the tables it reads, its first sentence is the title.

Parameters by keyword are thresholds of these tables' queries, as the run has them.
Frames are aggregated before they are drawn, so a chart holds some thousand rows whatever the run.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence

import polars as pl

from neurontab.errors import ChartError, nearest
from neurontab.show.charts import labels, matching, properties, sampled, vocabulary
from neurontab.show.charts.style import Chart, nothing
from neurontab.tables.query import discover
from neurontab.tables.schemas import MEASURED
from neurontab.tables.store import ACTIVATIONS

__all__ = ["CHARTS", "Chart", "draw", "drawable", "title_of"]

CHARTS: dict[str, Callable[..., Chart]] = {
    chart.__name__: chart
    for module in (matching, properties, labels, vocabulary, sampled)
    for chart in module.CHARTS
}


def draw(
    name: str,
    scan: Callable[[str], pl.LazyFrame],
    there: Iterable[str],
    run_id: str,
    thresholds: Mapping[str, object],
) -> Chart:
    """A chart by name over a run's tables, of which some are `there`.

    `thresholds` are those of its tables that are not at their defaults, as TABLE.THRESHOLD. Raises
    ChartError with the nearest name, or with what is missing and how to have it.
    """
    if name not in CHARTS:
        raise ChartError(
            f"No chart {name!r}; there are {', '.join(CHARTS)}.{nearest(name, list(CHARTS))}"
        )
    function = CHARTS[name]
    tables, asked = _reads(function)
    if missing := sorted({*tables} - {*there}):
        raise ChartError(
            f"Chart {name!r} needs {', '.join(missing)}, which this run has not.\n"
            f"Make it by {_remedy(missing)}."
        )
    values = {each: thresholds.get(f"{table}.{each}", default) for table, each, default in asked}
    chart = function(*map(scan, tables), **values)
    if not any(_data(chart)):
        chart = nothing(chart.title.subtitle)
    chart.title.text = title_of(name)
    if thresholds:
        said = ", ".join(f"{place}={value}" for place, value in thresholds.items())
        chart.title.subtitle = [chart.title.subtitle, f"not at default: {said}"]
    marked: Chart = chart.properties(usermeta={"neurontab": {"run_id": run_id, "chart": name}})
    return marked


def drawable(there: Iterable[str]) -> list[str]:
    """The charts for which a run has the tables; one model alone lacks those of pairs."""
    here = {*there}
    return [name for name, chart in CHARTS.items() if here >= {*_reads(chart)[0]}]


def title_of(name: str) -> str:
    """The sentence that a chart's function opens with."""
    return str(CHARTS[name].__doc__).split("\n\n")[0].rstrip(".")


def _reads(chart: Callable[..., Chart]) -> tuple[list[str], list[tuple[str, str, object]]]:
    """The tables that a chart reads, and the thresholds of these that it uses, with defaults."""
    parameters = inspect.signature(chart).parameters.values()
    tables = [each.name for each in parameters if each.kind is not each.KEYWORD_ONLY]
    named = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
    known = discover() if named else {}
    return tables, [
        (table, threshold.name, threshold.default)
        for table in tables
        if table in known
        for threshold in known[table].thresholds
        if threshold.name in named
    ]


def _remedy(missing: Sequence[str]) -> str:
    if missing == [ACTIVATIONS]:
        return "neurontab build --activations 2048"
    if MEASURED.keys() & {*missing}:
        return "neurontab build -m ONE -m OTHER, of two models or more, with this version"
    return "neurontab derive"


def _data(chart: Chart) -> Iterable[object]:
    found: dict[str, object] = chart.to_dict().get("datasets", {})
    return found.values()
