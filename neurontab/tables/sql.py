"""SQL over the tables of a run; a question reads no other file unless that is allowed."""

import re
from collections.abc import Callable, Iterable, Mapping

import polars as pl

from neurontab.errors import QueryError, nearest

# Any mention is refused, even within quotes: what is a quote is for a parser to know, not for us.
_READS_FILES = re.compile(
    r"(?:read|scan)_(?:csv|json|ndjson|lines|ipc|arrow|parquet|avro|delta|iceberg|excel|database)",
    re.IGNORECASE,
)

_CHANGES = re.compile(
    r"(?:\s|--[^\n]*|/\*.*?\*/)*(drop|create|delete|truncate|insert|update|alter)\b",
    re.IGNORECASE | re.DOTALL,
)


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
    named = {name: tables[name]() for name in named_in(text, tables)}
    try:
        return pl.SQLContext(named).execute(text).collect()
    except pl.exceptions.PolarsError as error:
        raise QueryError(_explained(text, str(error), tables, named)) from error


def named_in(text: str, tables: Iterable[str]) -> list[str]:
    """The tables that a question names; all where it asks what there is."""
    about_all = re.search(r"\bshow\b", text, re.IGNORECASE)
    return [name for name in tables if about_all or re.search(rf"\b{re.escape(name)}\b", text)]


def _explained(
    text: str,
    message: str,
    tables: Mapping[str, object],
    named: Mapping[str, pl.LazyFrame],
) -> str:
    first = message.splitlines()[0] if message else "no statement"
    if first.startswith("statement type is not supported"):
        return "That is no question.\nOne begins with SELECT or WITH, or is SHOW TABLES."
    if found := re.search(r"relation '(.+?)' was not found", message):
        hint = nearest(found[1], list(tables)) or f" There are: {', '.join(sorted(tables))}."
        return f"No table {found[1]!r} in this run.{hint}"
    if found := re.search(r"no table or struct column named '(.+?)'", message):
        return f"No table or alias {found[1]!r} in this question, of {', '.join(named)}."
    column = re.search(r"(?:unable to find column|no column named) [\"'](.+?)[\"']", message)
    if column and f'"{column[1]}"' in text:
        hint = "Text stands in single quotes, names of columns in double ones."
        return f"No column {column[1]!r} in {', '.join(named) or 'any table'}.\n{hint}"
    if column:
        known = sorted({name for table in named.values() for name in table.collect_schema()})
        hint = nearest(column[1], known) or f" There are: {', '.join(known)}."
        return f"No column {column[1]!r} in {', '.join(named) or 'any table'}.{hint}"
    return f"The SQL cannot be run: {first}"
