"""Whether the files of a run are what its manifest says: contents, columns and rows."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from neurontab.errors import QueryError, TableError
from neurontab.files import sha256_of
from neurontab.manifest import CONFIG, Manifest, Part
from neurontab.tables import store
from neurontab.tables.table import Table

UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, FileNotFoundError)
DAMAGE = (  # what is raised for a file that is damaged or gone, among others
    FileNotFoundError,
    pl.exceptions.ComputeError,
    pl.exceptions.InvalidOperationError,
    pl.exceptions.PanicException,
    pl.exceptions.SchemaError,
)


class Files:
    """The files of a run, held against its manifest."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder, self._manifest = folder, manifest

    def problems(
        self, table: Callable[[str], Table], advance: Callable[[float], None]
    ) -> Iterator[str]:
        """Everything that differs, one line each; `table` declares one, `advance` counts files."""
        for name, parts in self._manifest.tables.items():
            for part, about in parts.items():
                path = self._path(name, part)
                differs = [*_content(path, about.sha256)]
                yield from differs or _table(table, name, path, about)
                advance(1)
        for file, digest in self._manifest.files.items():
            yield from _content(self._folder / file, digest)
            advance(1)
        if not (self._folder / CONFIG).is_file():
            yield f"{self._folder / CONFIG} is missing"
        for path in sorted((self._folder / "tables").rglob("*.parquet")):
            if path.relative_to(self._folder).as_posix() not in self._manifest.listed():
                yield f"{path} is not the run's"

    def check(self, name: str) -> None:
        """The parts of a table by name and size. Raises TableError for the first that differs."""
        parts = store.parts(self._folder / "tables", name)
        found = {path.stem: path.stat().st_size for path in parts}
        wanted = {part: about.bytes for part, about in self._manifest.tables[name].items()}
        for part in sorted({*found, *wanted}):
            if found.get(part) != wanted.get(part):
                raise TableError(
                    f"{self._path(name, part)} has {_size(found.get(part))}, the manifest says "
                    f"{_size(wanted.get(part))}.\n"
                    "Open the run anew if it was derived meanwhile; else build it with --fresh."
                )

    def check_contents(self, name: str) -> None:
        """The parts of a table by their content, too. Raises TableError."""
        self.check(name)
        for part, about in self._manifest.tables[name].items():
            _refuse(_content(self._path(name, part), about.sha256))

    @contextmanager
    def damage_named(self, tables: Iterable[str] | None = None) -> Iterator[None]:
        """Where something cannot be read, raises TableError that names the damaged file.

        It is one of these tables, or any file of the run.
        """
        try:
            yield
        except (*UNREADABLE, QueryError) as error:
            if isinstance(error.__cause__ or error, DAMAGE):
                for name in self._manifest.tables if tables is None else tables:
                    self.check_contents(name)
                for file in self._manifest.files if tables is None else ():
                    _refuse(_content(self._folder / file, self._manifest.files[file]))
            raise

    def _path(self, name: str, part: str) -> Path:
        return self._folder / "tables" / name / f"{part}.parquet"


def _content(path: Path, digest: str) -> Iterator[str]:
    if not path.is_file():
        yield f"{path} is missing"
    elif sha256_of(path) != digest:
        yield f"{path} is damaged: its content is not what the manifest says"


def _refuse(problems: Iterable[str]) -> None:
    for problem in problems:
        raise TableError(f"{problem}.\nBuild the run again with --fresh.")


def _table(table: Callable[[str], Table], name: str, path: Path, about: Part) -> Iterator[str]:
    """Of a file that is as it was written: how that differs from what this version declares."""
    try:
        declared = table(name).schema
    except TableError as error:
        yield str(error).splitlines()[0]
        return
    found = pl.read_parquet_schema(path)
    for column in {**declared, **found}:
        if found.get(column) != declared.get(column):
            yield (
                f"{path} has {column} as {found.get(column, 'no column')}, declared "
                f"{declared.get(column, 'nothing')}; write it anew: neurontab derive, or build"
            )
    if path.stat().st_size != about.bytes:
        yield f"{path} has {_size(path.stat().st_size)}, the manifest says {_size(about.bytes)}"
    rows = pl.scan_parquet(path).select(pl.len()).collect().item()
    if rows != about.rows:
        yield f"{path} has {rows:,} rows, the manifest says {about.rows:,}"


def _size(n: int | None) -> str:
    return "no such file" if n is None else f"{n:,} bytes"
