"""The files of tables, each written whole or not at all.

A part explains itself: description, unit and source of every column stand in the Arrow field
metadata, schema version and run in the file's metadata under `neurontab`.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from neurontab.errors import TableError
from neurontab.files import write_whole
from neurontab.tables.store import SCHEMA_VERSION, parts
from neurontab.tables.table import Column, Table

KEY = b"key"  # marks the fields of a table's key


def write_part(
    folder: Path, table: Table, part: str, frames: Iterable[pl.DataFrame], *, run_id: str
) -> Path:
    """Writes one part of a table, checked against its declaration and sorted by key.

    Frames follow each other by key, and each is forgotten before the next is asked for.
    Raises TableError that names what is not as declared, FileError when it cannot be written.
    """
    path = folder / table.name / f"{part}.parquet"
    schema = _schema(table, run_id)
    keys = [key.name for key in table.keys]

    def write(beside: Path) -> None:
        last: tuple[object, ...] = ()  # before any other
        with pq.ParquetWriter(beside, schema, compression="zstd") as writer:
            for rows in map(table.conform, frames):
                if len(rows) and last >= rows.select(keys).row(0):
                    raise TableError(f"table {table.name!r}: rows after {last} are not in order")
                last = rows.select(keys).row(-1) if len(rows) else last
                writer.write_table(rows.to_arrow().cast(schema))
                del rows

    write_whole(path, write)
    return path


def _schema(table: Table, run_id: str) -> pa.Schema:
    """The declaration, with plain Arrow types."""
    about = {"schema_version": SCHEMA_VERSION, "run_id": run_id, "table": table.name}
    types = table.empty().collect().to_arrow().schema
    return pa.schema(
        [_field(types.field(c.name), c, key=c in table.keys) for c in table.columns],
        metadata={"neurontab": json.dumps(about), "description": table.description},
    )


def declared(folder: Path, name: str) -> Table:
    """The declaration of a table that somebody wrote, from the metadata of its first file.

    Raises TableError when there is none, or the file is damaged.
    """
    path = next(iter(parts(folder, name)), None)
    if path is None:
        raise TableError(f"No table {name!r} in {folder}.")
    try:
        schema = pq.read_schema(path)
        types = pl.read_parquet_schema(path)
        description = schema.metadata[b"description"].decode()
    except (OSError, pa.ArrowException, pl.exceptions.PolarsError, KeyError, TypeError) as error:
        raise TableError(f"{path} is damaged, or not written by neurontab: {error}") from error
    columns = {field.name: _column(field, types[field.name]) for field in schema}
    keys = [field.name for field in schema if (field.metadata or {}).get(KEY)]
    return Table(
        name,
        description,
        tuple(columns[key] for key in keys),
        tuple(column for each, column in columns.items() if each not in keys),
    )


def _column(field: pa.Field, dtype: pl.DataType) -> Column:
    about = {name.decode(): text.decode() for name, text in (field.metadata or {}).items()}
    return Column(
        field.name,
        dtype,
        about.get("description", ""),
        about.get("source", ""),
        about.get("unit", ""),
        nullable=field.nullable,
    )


def _field(field: pa.Field, column: Column, *, key: bool) -> pa.Field:
    about = {
        "description": column.description,
        "unit": column.unit,
        "source": column.source,
        KEY.decode(): "yes" if key else "",
    }
    return pa.field(
        field.name,
        _PLAIN.get(field.type, field.type),
        nullable=column.nullable,
        metadata={key: value for key, value in about.items() if value},
    )


# Readers other than Polars are happiest without 64-bit offsets and views.
_PLAIN = {
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.binary_view(): pa.binary(),
}
