"""SQL over the tables of a run, and nothing else: a question reads no other file."""

import re
from collections.abc import Callable, Mapping

import polars as pl

from neurontab.errors import QueryError, nearest

_TEXT_OR_COMMENT = re.compile(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", re.DOTALL)
_FILE_FUNCTION = re.compile(r"\b(?:read|scan)_\w+\"?\s*\(", re.IGNORECASE)


def ask(text: str, tables: Mapping[str, Callable[[], pl.LazyFrame]]) -> pl.DataFrame:
    """The answer to a SQL question in Polars' dialect.

    Raises QueryError that names the nearest table or column, or where the SQL breaks.
    """
    if found := _FILE_FUNCTION.search(_without_text(text)):
        raise QueryError(
            f"{found[0].rstrip('(').strip()} reads files; a question reads the run's tables only: "
            f"{', '.join(sorted(tables))}."
        )
    named = {name: scan() for name, scan in tables.items() if re.search(rf"\b{name}\b", text)}
    try:
        return pl.SQLContext(named).execute(text).collect()
    except pl.exceptions.PolarsError as error:
        raise QueryError(_explained(str(error), tables, named)) from error


def _without_text(sql: str) -> str:
    """The SQL with empty string literals, and a space for every comment."""
    return _TEXT_OR_COMMENT.sub(lambda found: "''" if found[0].startswith("'") else " ", sql)


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
