"""Writes parts of tables into a run."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import disk_usage
from typing import TypeVar

import polars as pl

from neurontab.errors import FileError
from neurontab.files import sha256_of
from neurontab.measure.columns import Columns
from neurontab.tables import parquet, store
from neurontab.tables.frames import frame
from neurontab.tables.table import Table

T = TypeVar("T")
Keyed = tuple[Mapping[str, object], Columns]  # keys that all rows share, and the rest
COMPRESSED = 4  # a table in memory over its files, at the least


@dataclass(frozen=True)
class Writer:
    """Writes parts of tables into a run."""

    folder: Path
    run_id: str
    refuse_if_gone: Callable[[], None]  # RunError when the folder is no longer ours to write in

    def write(self, table: Table, part: str, *rows: Keyed) -> None:
        """One part, from all rows. Raises what `write_frames` does."""
        self.write_layers(table, part, [rows])

    def write_layers(self, table: Table, part: str, layers: Iterable[Iterable[Keyed]]) -> None:
        """One part, from the rows of one layer after the other, each forgotten before the next.

        Raises what `write_frames` does.
        """
        self.write_frames(table, part, map(partial(_together, table), layers))

    def write_frames(self, table: Table, part: str, found: Iterable[pl.DataFrame]) -> None:
        """One part, from frames. Raises FileError when there is clearly no room for one of them.

        Raises RunError when the folder is gone, TableError for what is not as declared.
        """
        self.refuse_if_gone()  # before a removed folder is made again
        frames = map(partial(self._with_room, table), found)
        parquet.write_part(self.folder / "tables", table, part, frames, run_id=self.run_id)

    def _with_room(self, table: Table, found: pl.DataFrame) -> pl.DataFrame:
        self.refuse_if_gone()
        needed = found.estimated_size() // COMPRESSED
        free = disk_usage(self.folder).free
        if needed > free:
            raise FileError(
                f"Table {table.name!r} needs about {needed / 2**20:,.0f} MiB, "
                f"{free / 2**20:,.0f} MiB are free at {self.folder}.\n"
                "Make room, then run it again to go on."
            )
        return found

    def digests(self, model: str) -> dict[str, str]:
        """sha256 of every file about one model alone, by its path in the run."""
        files = [*self.folder.glob(f"tables/*/{model}.parquet")]
        files += (self.folder / "activations" / model).glob("*.arrow")
        return {path.relative_to(self.folder).as_posix(): sha256_of(path) for path in files}

    def scan(self, name: str) -> pl.LazyFrame:
        """A table written before. Raises TableError when it is not there."""
        return store.scan(self.folder / "tables", name)


def _together(table: Table, rows: Iterable[Keyed]) -> pl.DataFrame:
    return pl.concat([frame(table, columns, **keys) for keys, columns in rows])


def by_layer(
    here: Mapping[str, object],
    key: str,
    layers: Iterable[T],
    rows_of: Callable[[T], list[tuple[str, Columns]]],
) -> Iterator[list[Keyed]]:
    """The rows of every layer under its number, each set of them under a word."""
    for layer, each in enumerate(layers):
        yield [({**here, "layer": layer, key: word}, columns) for word, columns in rows_of(each)]
