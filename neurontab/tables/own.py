"""Tables of the user's own, named in a question beside those of a run."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import polars as pl

from neurontab.errors import QueryError

ARROW_FILE = b"ARROW1"


def own_tables(named: Iterable[str], taken: Iterable[str]) -> dict[str, pl.LazyFrame]:
    """Tables by name from `NAME=FILE`; a file's suffix says how it is read.

    Raises QueryError for a name that is taken or cannot be one, and a file that is missing, of
    another kind or damaged.
    """
    found: dict[str, pl.LazyFrame] = {}
    for each in named:
        name, equals, file = each.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise QueryError(f"{each!r} names no table.\nWrite it as NAME=FILE.")
        if name in {*taken, *found}:
            raise QueryError(f"There is a table {name!r} already.\nName {file} otherwise.")
        path = Path(file)
        if path.suffix.lower() not in READERS:
            raise QueryError(f"{path} must end in one of {', '.join(READERS)}.")
        if not path.is_file():
            raise QueryError(f"No file {path} for table {name!r}.")
        try:
            found[name] = READERS[path.suffix.lower()](path)
            found[name].collect_schema()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise QueryError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    return found


def _read_csv(path: Path) -> pl.LazyFrame:
    return pl.read_csv(path, infer_schema_length=None, glob=False).lazy()


def _read_lines(path: Path) -> pl.LazyFrame:
    return pl.read_ndjson(path, infer_schema_length=None).lazy()


def _scan_parquet(path: Path) -> pl.LazyFrame:
    return pl.scan_parquet(path, glob=False)


def _read_arrow(path: Path) -> pl.LazyFrame:
    """A file, or a stream such as a question's answer is written as."""
    with path.open("rb") as file:
        is_file = file.read(len(ARROW_FILE)) == ARROW_FILE
    return pl.read_ipc(path).lazy() if is_file else pl.read_ipc_stream(path).lazy()


READERS: dict[str, Callable[[Path], pl.LazyFrame]] = {
    ".csv": _read_csv,
    ".parquet": _scan_parquet,
    ".arrow": _read_arrow,
    ".feather": _read_arrow,
    ".jsonl": _read_lines,
    ".ndjson": _read_lines,
}
