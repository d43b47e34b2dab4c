"""Tables on disk: a folder a table, a Parquet file a part; how they are written is in `parquet`."""

from pathlib import Path

import polars as pl

from neurontab.errors import TableError

SCHEMA_VERSION = 4
ACTIVATIONS = "activations"  # folder of those of single positions, beside the tables
FAMILY = "all"  # the part of a table that has one row set for the whole family


def parts(folder: Path, name: str) -> list[Path]:
    """The files of a table in order; empty when the run does not have it."""
    return sorted((folder / name).glob("*.parquet"))


def scan(folder: Path, name: str) -> pl.LazyFrame:
    """A table, lazily. Raises TableError when it is not there."""
    found = parts(folder, name)
    if not found:
        raise TableError(f"No table {name!r} in {folder}.")
    return pl.scan_parquet(found)
