"""`neurontab query` and `neurontab tables`: questions over a run, and what may be asked of."""

import sys
from enum import StrEnum
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
        int, typer.Option("--limit", min=0, help="Rows of a table that are shown; 0 is all.")
    ] = 40,
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
        from .render import print_frame

        print_frame(answer, limit=limit or len(answer))
    elif output is None:
        content = encoded(answer, wanted)
        if sys.stdout.isatty() and wanted not in (Format.PARQUET, Format.ARROW):
            content = printable(content.decode()).encode()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    else:
        from neurontab.files import write_whole

        content = encoded(answer, wanted)
        write_whole(output, lambda beside: beside.write_bytes(content))


def _question(sql: str | None, file: Path | None) -> str:
    """What is asked. Raises QueryError unless it is given once, and can be read."""
    if (sql is None) == (file is None):
        raise QueryError("Give the question once: as SQL, or as a file of SQL with -f.")
    if file is None:
        return str(sql)
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
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
    """An answer in one of the formats; in those that are text, bytes are hexadecimal."""
    from io import BytesIO

    import polars as pl

    buffer = BytesIO()
    if wanted not in (Format.PARQUET, Format.ARROW):
        answer = answer.with_columns(pl.col(pl.Binary).bin.encode("hex"))
    match wanted:
        case Format.CSV:
            answer.write_csv(buffer)
        case Format.JSON:
            answer.write_json(buffer)
        case Format.JSONL:
            answer.write_ndjson(buffer)
        case Format.PARQUET:
            answer.write_parquet(buffer)
        case Format.ARROW:
            answer.write_ipc_stream(buffer)
        case Format.TABLE | Format.MARKDOWN:
            flat = pl.col(pl.String).str.replace_all(r"\pC+", " ")
            text = flat.str.replace_all("|", r"\|", literal=True)
            with pl.Config(
                tbl_formatting="MARKDOWN",
                tbl_rows=-1,
                tbl_cols=-1,
                tbl_hide_column_data_types=True,
                tbl_hide_dataframe_shape=True,
                fmt_str_lengths=10_000,
                tbl_width_chars=-1,
            ):
                buffer.write(f"{answer.with_columns(text)}\n".encode())
    return buffer.getvalue()


def _by_suffix(output: Path | None) -> Format:
    if output is None:
        return Format.TABLE
    suffix = {"md": "markdown", "ndjson": "jsonl", "feather": "arrow"}
    word = output.suffix.lower().removeprefix(".")
    word = suffix.get(word, word)
    if word not in list(Format):
        raise QueryError(
            f"{output} does not say in which format to write.\n"
            f"End it in one of {', '.join('.' + each for each in Format)}, or give --format."
        )
    return Format(word)


def _print_thresholds(definition: "Query") -> None:
    for threshold in definition.thresholds:
        typer.echo(f"{threshold.name} = {threshold.default!r}: {threshold.description}")
