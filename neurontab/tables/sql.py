"""SQL over the tables of a run; a question reads no other file unless that is allowed."""

import re
from collections.abc import Callable, Mapping

import polars as pl

from neurontab.errors import QueryError, nearest

# Any mention is refused, even within quotes: what is a quote is for a parser to know, not for us.
_READS_FILES = re.compile(
    r"(?:read|scan)_(?:csv|json|ndjson|lines|ipc|arrow|parquet|avro|delta|iceberg|excel|database)",
    re.IGNORECASE,
)

_CHANGES = re.compile(r"\s*(drop|create|delete|truncate|insert|update|alter)\b", re.IGNORECASE)


def ask(
    text: str, tables: Mapping[str, Callable[[], pl.LazyFrame]], *, allow_files: bool = False
) -> pl.DataFrame:
    """The answer to a SQL question in Polars' dialect.

    Raises QueryError that names the nearest table or column, or where the SQL breaks.
    """
    found = _READS_FILES.search(text)
    if found and not allow_files:
        raise QueryError(
            f"{found[0]} reads files; a question reads the run's tables only: "
            f"{', '.join(sorted(tables))}.\nAllow it with --allow-files."
        )
    if found := _CHANGES.match(text):
        raise QueryError(f"{found[1].upper()} would change tables; a question only reads them.")
    about_all = re.search(r"\bshow\b", text, re.IGNORECASE)
    named = {
        n: scan()
        for n, scan in tables.items()
        if about_all or re.search(rf"\b{re.escape(n)}\b", text)
    }
    try:
        return pl.SQLContext(named).execute(text).collect()
    except pl.exceptions.PolarsError as error:
        raise QueryError(_explained(str(error), tables, named)) from error


def _explained(
    message: str,
    tables: Mapping[str, object],
    named: Mapping[str, pl.LazyFrame],
) -> str:
    first = message.splitlines()[0] if message else "The SQL cannot be run."
    if found := re.search(r"relation '(.+?)' was not found", message):
        hint = nearest(found[1], list(tables)) or f" There are: {', '.join(sorted(tables))}."
        return f"No table {found[1]!r} in this run.{hint}"
    column = re.search(r"(?:unable to find column|no column named) [\"'](.+?)[\"']", message)
    if column:
        known = sorted({name for table in named.values() for name in table.collect_schema()})
        hint = nearest(column[1], known) or f" There are: {', '.join(known)}."
        return f"No column {column[1]!r} in {', '.join(named) or 'any table'}.{hint}"
    return f"The SQL cannot be run: {first}"
