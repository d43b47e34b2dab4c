"""Every chart: drawn from tables, small whatever the run, with its numbers in the picture."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from neurontab.errors import ChartError
from neurontab.run import Run
from neurontab.show.charts import CHARTS, correlations, match_layers, title_of
from neurontab.tables.query import discover
from neurontab.tables.schemas import MEASURED
from neurontab.tables.table import Table

QUERIES = discover()


@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_says_what_it_shows_and_from_what(family: Run, name: str) -> None:
    spec = family.chart(name).to_dict()
    assert spec["title"]["text"] == title_of(name)
    assert spec["title"]["subtitle"]
    assert spec["usermeta"]["neurontab"] == {"run_id": family.manifest.run_id, "chart": name}
    assert sum(map(len, spec["datasets"].values())) < 2_000


@pytest.mark.parametrize("name", CHARTS)
@pytest.mark.parametrize("suffix", ["png", "svg", "html"])
def test_every_chart_can_be_saved(family: Run, tmp_path: Path, name: str, suffix: str) -> None:
    path = tmp_path / f"{name}.{suffix}"
    family.chart(name).save(str(path))
    assert path.stat().st_size > 1_000


def test_the_histogram_counts_every_neuron_and_shows_empty_bins(
    drawn: Callable[[Table, str], pl.LazyFrame],
) -> None:
    table = QUERIES["universality"].table
    rows = [f"a 0 {n} {corr} 0 0" for n, corr in enumerate((0.0, 0.1, 0.5, 0.501))]
    text = "\n".join(["model layer neuron mean_corr mean_baseline excess_corr", *rows])
    (data,) = correlations(drawn(table, text)).to_dict()["datasets"].values()
    found = {row["bin"]: row["n"] for row in data if row["quantity"] == "mean_corr"}
    assert sorted(found) == list(range(31))
    assert {place: n for place, n in found.items() if n} == {0: 1, 6: 1, 30: 2}


def test_the_heat_map_holds_the_shares_of_best_matches(
    drawn: Callable[[Table, str], pl.LazyFrame],
) -> None:
    matches = drawn(
        MEASURED["matches"],
        """
        model layer neuron other_model rank other_layer
        a     0     0      b           1    0
        a     0     0      b           2    1
        a     0     1      b           1    0
        a     0     2      b           1    0
        a     0     3      b           1    1
        """,
    )
    (data,) = match_layers(matches).to_dict()["datasets"].values()
    assert [(row["other_layer"], row["n"], row["share"]) for row in data] == [
        (0, 3, 75),
        (1, 1, 25),
    ]


def test_a_misspelt_chart_is_told_the_nearest(family: Run) -> None:
    with pytest.raises(ChartError, match=r"No chart 'match_layer'; .* mean 'match_layers'"):
        family.chart("match_layer")
