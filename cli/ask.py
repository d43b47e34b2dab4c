"""`neurontab query` and `neurontab tables`: questions over a run, and what may be asked of."""

import json
import sys
from enum import StrEnum
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neurontab.errors import QueryError
from neurontab.printable import printable

from .options import Force, RunFolder, refuse_existing

if TYPE_CHECKING:
    import polars as pl

    from neurontab.tables.query import Query


class Format(StrEnum):
    """How an answer is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"
    MARKDOWN = "markdown"
    PARQUET = "parquet"
    ARROW = "arrow"


WHOLE = 2**31 - 1  # letters of a text that are written
SUFFIXES = {
    ".csv": Format.CSV,
    ".json": Format.JSON,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".md": Format.MARKDOWN,
    ".markdown": Format.MARKDOWN,
    ".parquet": Format.PARQUET,
    ".arrow": Format.ARROW,
    ".feather": Format.ARROW,
}


def query(
    sql: Annotated[
        str | None, typer.Argument(help="SQL over the run's tables, in Polars' dialect.")
    ] = None,
    run: RunFolder = None,
    file: Annotated[
        Path | None, typer.Option("-f", "--file", help="A file of SQL; - for standard input.")
    ] = None,
    format: Annotated[
        Format | None, typer.Option("--format", help="A table, or what -o's suffix says.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write a file.")] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=0, help="Rows at most; 0 is all. 40 of a printed table."),
    ] = None,
    table: Annotated[
        list[str] | None,
        typer.Option("--table", help="NAME=FILE: a CSV, Parquet, Arrow or JSONL file as a table."),
    ] = None,
    allow_files: Annotated[
        bool, typer.Option("--allow-files", help="Let the SQL read other files, too.")
    ] = False,
    force: Force = False,
) -> None:
    """Ask a question in SQL over every table of a run."""
    import neurontab
    from neurontab.tables.own import own_tables

    wanted = format or _by_suffix(output)
    refuse_existing(output, force=force)
    question = _question(sql, file)
    opened = neurontab.open(run)
    own = own_tables(table or (), taken=opened.manifest.tables)
    answer = opened.sql(question, own, allow_files=allow_files)
    if wanted is Format.TABLE and output is None:
        from .render import MOST_ROWS, print_frame

        print_frame(answer, limit=(MOST_ROWS if limit is None else limit) or len(answer))
        return
    hidden = max(len(answer) - limit, 0) if limit else 0
    content = encoded(answer.head(len(answer) - hidden), wanted)
    if output is None:
        if sys.stdout.isatty() and wanted not in (Format.PARQUET, Format.ARROW):
            content = printable(content.decode()).encode()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    else:
        from neurontab.files import write_whole

        write_whole(output, lambda beside: beside.write_bytes(content))
    if hidden:
        typer.echo(f"{hidden:,} more rows, by --limit.", err=True)


def _question(sql: str | None, file: Path | None) -> str:
    """What is asked. Raises QueryError unless it is given once, and can be read."""
    if (sql is None) == (file is None):
        raise QueryError("Give the question once: as SQL, or as a file of SQL with -f.")
    if file is None:
        return str(sql)
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise QueryError(f"{file} cannot be read as SQL: {error}") from error


def tables(
    name: Annotated[str | None, typer.Argument(help="A table to show column by column.")] = None,
    run: RunFolder = None,
) -> None:
    """List the tables of a run, or the columns of one."""
    import polars as pl

    import neurontab

    from .render import print_frame

    opened = neurontab.open(run)
    if name is None:
        parts = opened.manifest.tables
        rows = [
            {
                "table": table.name,
                "rows": sum(part.rows for part in parts[table.name].values()),
                "description": table.description,
            }
            for table in opened.tables().values()
        ]
        print_frame(pl.DataFrame(rows), limit=len(rows))
        return
    table = opened.table(name)
    columns = [
        {
            "column": column.name,
            "type": str(column.dtype),
            "unit": column.unit,
            "description": column.description,
            "source": column.source,
        }
        for column in table.columns
    ]
    typer.echo(printable(table.description))
    print_frame(pl.DataFrame(columns), limit=len(columns))
    if name in opened.queries:
        _print_thresholds(opened.queries[name])


def encoded(answer: "pl.DataFrame", wanted: Format) -> bytes:
    """An answer in one of the formats; in those that are text, bytes are hexadecimal.

    Lists and structs are JSON in CSV and Markdown. Raises QueryError for what the format cannot
    hold.
    """
    from io import BytesIO

    import polars as pl

    buffer = BytesIO()
    if wanted not in (Format.PARQUET, Format.ARROW):
        answer = answer.with_columns(pl.col(pl.Binary).bin.encode("hex"))
    try:
        match wanted:
            case Format.CSV:
                _flat(answer).write_csv(buffer)
            case Format.JSON:
                answer.write_json(buffer)
            case Format.JSONL:
                answer.write_ndjson(buffer)
            case Format.PARQUET:
                answer.write_parquet(buffer)
            case Format.ARROW:
                answer.write_ipc_stream(buffer)
            case Format.TABLE | Format.MARKDOWN:
                buffer.write(_markdown(answer))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise QueryError(
            f"{wanted} cannot hold this answer: {str(error).splitlines()[0]}\n"
            "Write it as parquet or arrow, or cast its columns in the SQL."
        ) from error
    return buffer.getvalue()


def _flat(answer: "pl.DataFrame") -> "pl.DataFrame":
    """With lists and structs as JSON, and durations as text."""
    import polars as pl
    import polars.selectors as cs

    nested = {
        each.name: pl.Series(
            [None if value is None else _json(value) for value in each.to_list()],
            dtype=pl.String,
        )
        for each in answer.select(cs.nested())
    }
    return answer.with_columns(cs.duration().dt.to_string("iso")).with_columns(**nested)


def _json(value: object) -> str:
    """A list or struct; what is no number is null, bytes are hexadecimal."""

    def clean(part: object) -> object:
        match part:
            case dict():
                return {name: clean(each) for name, each in part.items()}
            case list():
                return [clean(each) for each in part]
            case float() if not isfinite(part):
                return None
            case bytes():
                return part.hex()
            case None | bool() | int() | float() | str():
                return part
        return str(part)

    return json.dumps(clean(value))


def _markdown(answer: "pl.DataFrame") -> bytes:
    import polars as pl

    flat = _flat(answer).rename(lambda name: name.replace("|", r"\|").replace("\n", " "))
    one_line = pl.col(pl.String).str.replace_all(r"\pC+", " ")
    text = one_line.str.replace_all("|", r"\|", literal=True)
    with pl.Config(
        tbl_formatting="MARKDOWN",
        tbl_rows=-1,
        tbl_cols=-1,
        tbl_hide_column_data_types=True,
        tbl_hide_dataframe_shape=True,
        fmt_str_lengths=WHOLE,
        tbl_width_chars=-1,
    ):
        return f"{flat.with_columns(text)}\n".encode()


def _by_suffix(output: Path | None) -> Format:
    if output is None:
        return Format.TABLE
    word = output.suffix.lower()
    if word not in SUFFIXES:
        raise QueryError(
            f"{output} does not say in which format to write.\n"
            f"End it in one of {', '.join(SUFFIXES)}, or give --format."
        )
    return SUFFIXES[word]


def _print_thresholds(definition: "Query") -> None:
    for threshold in definition.thresholds:
        typer.echo(f"{threshold.name} = {threshold.default!r}: {threshold.description}")
