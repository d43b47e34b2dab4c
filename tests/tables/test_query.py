"""The contract of query modules, over all of them and over ones that break it."""

from pathlib import Path

import polars as pl
import pytest

from neurontab.errors import QueryError
from neurontab.tables.query import Query, check, discover
from neurontab.tables.schemas import MEASURED

QUERIES = discover()
NAMES = {
    "activation_shape",
    "weight_shape",
    "vocab_shape",
    "position_response",
    "source_response",
    "token_features",
    "explanations",
    "family_evidence",
    "families",
    "ablation_effects",
    "role_candidates",
    "roles",
    "universality",
    "twin_groups",
    "universal_features",
    "family_summary",
    "neurons",
    "layer_profile",
}

GOOD = '''
"""Layers counted."""
from typing import Annotated
import polars as pl
from neurontab.tables.schemas import MODEL
from neurontab.tables.table import Column
VERSION = 1
KEYS = (MODEL,)
COLUMNS = (Column("layers", pl.Int64, "Layers above the threshold."),)
def mine(models: pl.LazyFrame, *, least: Annotated[int, "Our choice."] = 2) -> pl.LazyFrame:
    kept = models.filter(pl.col("n_layers") >= least)
    return kept.select("model", layers=pl.col("n_layers").cast(pl.Int64))
'''


def test_the_shipped_queries_are_found_in_an_order_that_runs() -> None:
    assert set(QUERIES) == NAMES
    seen = set(MEASURED)
    for name, query in QUERIES.items():
        assert set(query.inputs) <= seen
        seen.add(name)
    check(QUERIES)


@pytest.mark.parametrize("query", QUERIES.values(), ids=lambda query: query.name)
def test_every_query_says_what_it_is(query: Query) -> None:
    assert query.table.description.endswith(".")
    assert "\n" not in query.table.description
    for column in query.table.columns:
        assert column.description.endswith("."), column.name
    for threshold in query.thresholds:
        assert threshold.description.endswith("."), threshold.name


@pytest.mark.parametrize("query", QUERIES.values(), ids=lambda query: query.name)
def test_every_query_gives_no_rows_for_no_rows(query: Query) -> None:
    frames = {name: table.empty() for name, table in MEASURED.items()}
    frames |= {name: other.table.empty() for name, other in QUERIES.items()}
    assert query.table.conform(query(frames).collect()).is_empty()


def own(folder: Path, name: str, text: str) -> Path:
    """A folder with one query module of the user's own."""
    (folder / f"{name}.py").write_text(text, "utf-8")
    return folder


def test_a_query_of_ones_own_joins_the_others(tmp_path: Path) -> None:
    queries = discover(own(tmp_path, "mine", GOOD))
    check(queries)
    models = pl.LazyFrame(
        {"model": ["a", "b"], "n_layers": [1, 3]}, schema_overrides={"n_layers": pl.Int32}
    )
    assert queries["mine"]({"models": models}).collect().rows() == [("b", 3)]
    assert len(queries["mine"]({"models": models}, least=1).collect()) == 2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("VERSION = 1", "", "no VERSION"),
        ('"""Layers counted."""', "", "no __doc__"),
        ("def mine", "def yours", "no mine"),
        ("models: pl.LazyFrame, *", "modles: pl.LazyFrame, *", "reads table 'modles'.*'models'"),
        ("models: pl.LazyFrame, *", "mine: pl.LazyFrame, *", "in a circle"),
        ('Annotated[int, "Our choice."]', "int", "threshold 'least' has no description"),
        (".cast(pl.Int64)", "", "mine.layers: Int32, declared Int64"),
        ('"model", layers', "layers", "mine.model: missing, declared String"),
        ('pl.col("n_layers") >=', 'pl.col("n_layer") >=', "mine: .*n_layer"),
    ],
)
def test_a_module_that_breaks_the_contract_is_told_how(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in GOOD
    with pytest.raises(QueryError, match=message):
        check(discover(own(tmp_path, "mine", GOOD.replace(old, new))))


def test_thresholds_are_checked_by_name_and_type() -> None:
    frames = {name: table.empty() for name, table in MEASURED.items()}
    frames |= {name: query.table.empty() for name, query in QUERIES.items()}
    with pytest.raises(QueryError, match=r"no threshold 'treshold'.*mean 'threshold'"):
        QUERIES["universality"](frames, treshold=0.4)
    with pytest.raises(
        QueryError, match=r"universality.threshold is a float, such as 0.5; found 'x'"
    ):
        QUERIES["universality"](frames, threshold="x")
    assert QUERIES["universality"](frames, threshold=1).collect().is_empty()


def test_a_folder_of_queries_is_checked_as_a_whole(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match=r"No folder of queries .*nowhere"):
        discover(tmp_path / "nowhere")
    with pytest.raises(QueryError, match=r"broken.py cannot be imported: SyntaxError"):
        discover(own(tmp_path, "broken", "def"))
    (tmp_path / "broken.py").unlink()
    for name in ("matches", "neurons"):
        with pytest.raises(QueryError, match=f"there is a table '{name}' already"):
            discover(own(tmp_path, name, GOOD))
        (tmp_path / f"{name}.py").unlink()
