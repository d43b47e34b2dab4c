"""A declaration is held against data: names, types, nulls, keys and checks, all at once."""

from collections.abc import Iterator
from pathlib import Path
from weakref import ReferenceType, ref

import polars as pl
import pyarrow.parquet as pq
import pytest

from neurontab.errors import TableError
from neurontab.tables import parquet, store
from neurontab.tables.frames import frame
from neurontab.tables.schemas import MEASURED
from neurontab.tables.table import Column, Table, at_least, between, one_of

TABLE = Table(
    "demo",
    "A table for a test.",
    keys=(Column("model", pl.String, "Name."), Column("layer", pl.Int32, "Layer.")),
    values=(
        Column("corr", pl.Float32, "Correlation.", "a paper", "none", check=between(-1, 1)),
        Column("n", pl.Int64, "Count.", nullable=True, check=at_least(0)),
        Column("site", pl.String, "Where.", check=one_of("pre", "post")),
    ),
)
GOOD = pl.DataFrame(
    {
        "n": [3, None],
        "layer": [1, 0],
        "model": ["b", "b"],
        "corr": [0.5, -0.5],
        "site": ["pre", "post"],
    },
    schema_overrides={"layer": pl.Int32, "corr": pl.Float32},
)


def test_a_frame_comes_out_in_declared_order_sorted_by_key() -> None:
    found = TABLE.conform(GOOD)
    assert found.columns == ["model", "layer", "corr", "n", "site"]
    assert found["layer"].to_list() == [0, 1]


def test_everything_that_differs_is_said_at_once() -> None:
    wrong = GOOD.with_columns(layer=pl.col("layer").cast(pl.Int64), extra=1).drop("site")
    with pytest.raises(TableError) as error:
        TABLE.conform(wrong)
    assert str(error.value) == (
        "table 'demo':\n  extra: not declared\n  layer: Int64, declared Int32\n  site: missing"
    )


def test_values_that_cannot_be_are_said_with_an_example() -> None:
    wrong = GOOD.with_columns(
        corr=pl.Series([1.5, float("nan")], dtype=pl.Float32),
        n=pl.Series([-1, 2]),
        site=pl.Series([None, "mid"]),
        layer=pl.lit(0, pl.Int32),
    )
    with pytest.raises(TableError) as error:
        TABLE.conform(wrong)
    assert str(error.value).splitlines()[1:] == [
        "  (model, layer): 2 rows share a key",
        "  corr: 1 NaN; a missing value is null",
        "  corr: 2 values not from -1 to 1: 1.5",
        "  n: 1 values not at least 0: -1",
        "  site: 1 nulls, declared without",
        "  site: 1 values not one of pre, post: mid",
    ]


def test_a_part_explains_itself_and_reads_the_same_everywhere(tmp_path: Path) -> None:
    path = parquet.write_part(tmp_path, TABLE, "b", [GOOD], run_id="r1")
    schema = pq.read_schema(path)
    assert schema.field("corr").metadata == {
        b"description": b"Correlation.",
        b"source": b"a paper",
        b"unit": b"none",
    }
    assert b'"run_id": "r1"' in schema.metadata[b"neurontab"]
    assert schema.field("model").type == "string"
    assert not schema.field("corr").nullable
    assert store.scan(tmp_path, "demo").collect().equals(TABLE.conform(GOOD))
    assert [p.name for p in path.parent.iterdir()] == ["b.parquet"]


def test_a_refused_frame_leaves_the_old_part(tmp_path: Path) -> None:
    path = parquet.write_part(tmp_path, TABLE, "b", [GOOD], run_id="r1")
    before = path.read_bytes()
    with pytest.raises(TableError):
        parquet.write_part(tmp_path, TABLE, "b", [GOOD.drop("n")], run_id="r2")
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["b.parquet"]


def test_frames_that_follow_each_other_are_one_part(tmp_path: Path) -> None:
    rows = GOOD.sort("layer")
    path = parquet.write_part(tmp_path, TABLE, "b", (rows[:1], rows[:0], rows[1:]), run_id="r1")
    assert pl.read_parquet(path).equals(TABLE.conform(GOOD))
    assert pq.ParquetFile(path).num_row_groups > 1
    for frames in ((rows[1:], rows[:1]), (rows, rows[1:])):
        with pytest.raises(TableError, match=r"rows after .* are not in order"):
            parquet.write_part(tmp_path, TABLE, "b", frames, run_id="r2")
    assert pl.read_parquet(path).equals(TABLE.conform(GOOD))


def test_of_frames_that_come_one_by_one_only_the_next_is_in_memory(tmp_path: Path) -> None:
    made: list[ReferenceType[pl.DataFrame]] = []

    def frames() -> Iterator[pl.DataFrame]:
        for layer in range(4):
            assert all(each() is None for each in made)
            rows = GOOD[:1].with_columns(layer=pl.lit(layer, pl.Int32))
            made.append(ref(rows))
            yield rows
            del rows

    parquet.write_part(tmp_path, TABLE, "b", frames(), run_id="r1")
    assert len(made) == 4


def test_masked_and_missing_numbers_become_null() -> None:
    import numpy as np

    columns = {
        "layer": np.arange(2),
        "corr": np.array([0.25, 0.5]),
        "n": np.ma.array([7, 8], mask=[True, False]),
        "site": np.array(["pre", "post"]),
    }
    found = TABLE.conform(frame(TABLE, columns, model="m"))
    assert found["n"].to_list() == [None, 8]
    del columns["n"]
    assert frame(TABLE, columns, model="m")["n"].null_count() == 2


def test_a_table_that_may_hold_anything_holds_it() -> None:
    anything = Table("words", "Words.", (Column("word", pl.String, "A word.", nullable=True),), ())
    for words in (["a", None], []):
        frame_of_words = pl.DataFrame({"word": words}, schema={"word": pl.String})
        assert anything.conform(frame_of_words).height == len(words)


@pytest.mark.parametrize("table", MEASURED.values(), ids=lambda table: table.name)
def test_every_measured_table_is_declared_in_full(table: Table) -> None:
    assert table.description.endswith(".")
    names = [column.name for column in table.columns]
    assert len(names) == len(set(names))
    for column in table.columns:
        assert column.description.endswith("."), column.name
        assert column.name.isidentifier()
    assert not any(key.nullable for key in table.keys)
    assert table.conform(table.empty().collect()).is_empty()
