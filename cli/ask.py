"""`neurontab query` and `neurontab tables`: questions over a run, and what may be asked of."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neurontab.errors import QueryError
from neurontab.printable import printable

from .formats import Format, by_suffix, encoded
from .options import Force, RunFolder, refuse_existing

if TYPE_CHECKING:
    from neurontab.tables.query import Query


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

    wanted = format or by_suffix(output)
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


def _print_thresholds(definition: "Query") -> None:
    for threshold in definition.thresholds:
        typer.echo(f"{threshold.name} = {threshold.default!r}: {threshold.description}")
