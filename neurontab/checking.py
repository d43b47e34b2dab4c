"""Whether the files of a run are what its manifest says: contents, columns and rows."""

from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from neurontab.errors import TableError
from neurontab.files import sha256_of
from neurontab.manifest import CONFIG, Part
from neurontab.run import Run


def problems(run: Run, advance: Callable[[float], None]) -> Iterator[str]:
    """Everything that differs, one line each; `advance` is told of files."""
    tables = run.folder / "tables"
    for name, parts in run.manifest.tables.items():
        for part, about in parts.items():
            path = tables / name / f"{part}.parquet"
            differs = [*_content(path, about.sha256)]
            yield from differs or _table(run, name, path, about)
            advance(1)
    for file, digest in run.manifest.files.items():
        yield from _content(run.folder / file, digest)
        advance(1)
    if not (run.folder / CONFIG).is_file():
        yield f"{run.folder / CONFIG} is missing"
    for path in sorted(tables.rglob("*.parquet")):
        if path.relative_to(run.folder).as_posix() not in run.manifest.listed():
            yield f"{path} is not the run's"


def _content(path: Path, digest: str) -> Iterator[str]:
    if not path.is_file():
        yield f"{path} is missing"
    elif sha256_of(path) != digest:
        yield f"{path} has other content"


def _table(run: Run, name: str, path: Path, about: Part) -> Iterator[str]:
    """Of a file that is as it was written: how that differs from what this version declares."""
    try:
        declared = run.table(name).schema
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
        yield f"{path} has {path.stat().st_size:,} bytes, the manifest says {about.bytes:,}"
    rows = pl.scan_parquet(path).select(pl.len()).collect().item()
    if rows != about.rows:
        yield f"{path} has {rows:,} rows, the manifest says {about.rows:,}"
