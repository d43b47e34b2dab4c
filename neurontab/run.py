"""An open run: its tables, questions over them, and charts."""

from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from neurontab import manifest
from neurontab.errors import RunError, TableError, nearest
from neurontab.manifest import Manifest
from neurontab.tables import store
from neurontab.tables.query import Query, discover
from neurontab.tables.schemas import MEASURED
from neurontab.tables.sql import ask
from neurontab.tables.table import Table

if TYPE_CHECKING:
    import altair as alt

RUNS = Path("runs")


class Run:
    """A folder of tables that a build has finished."""

    def __init__(self, folder: Path) -> None:
        """Opens a run. Raises RunError when it is missing, unfinished or damaged."""
        self.folder = folder
        self.manifest: Manifest = manifest.read(folder)

    def __repr__(self) -> str:
        names = ", ".join(model["model"] for model in self.manifest.models)
        return f"Run({str(self.folder)!r}: {names}; {len(self.tables())} tables)"

    def tables(self) -> dict[str, Table]:
        """The declarations of all tables that the run has, measured first."""
        known = self._declared
        return {name: known[name] for name in known if name in self.manifest.tables}

    def table(self, name: str) -> Table:
        """One table's declaration. Raises TableError with the nearest name."""
        if name not in self.tables():
            known = list(self.tables())
            raise TableError(
                f"No table {name!r} in {self.folder}."
                f"{nearest(name, known) or ' There are: ' + ', '.join(known) + '.'}"
            )
        return self.tables()[name]

    def scan(self, name: str) -> pl.LazyFrame:
        """A table, lazily. Raises TableError when there is none of that name."""
        self.table(name)
        return store.scan(self.folder / "tables", name)

    @property
    def neurons(self) -> pl.LazyFrame:
        """The wide table: one row per neuron."""
        return self.scan("neurons")

    def sql(self, text: str) -> pl.DataFrame:
        """The answer to a question over all tables. Raises QueryError."""
        scans: dict[str, Callable[[], pl.LazyFrame]] = {
            name: partial(self.scan, name) for name in self.tables()
        }
        return ask(text, scans)

    def query(self, name: str, **thresholds: object) -> pl.LazyFrame:
        """A derived table with other thresholds, computed in memory; nothing is written.

        What it reads is as stored. Raises TableError and QueryError.
        """
        if name not in self.queries:
            known = list(self.queries)
            raise TableError(f"No query {name!r}.{nearest(name, known)}")
        return self.queries[name](self.inputs(self.queries[name]), **thresholds)

    def inputs(self, query: Query) -> dict[str, pl.LazyFrame]:
        """The tables that a query reads; those the run lacks are empty."""
        return {
            name: self.scan(name) if name in self.tables() else self._declared[name].empty()
            for name in query.inputs
        }

    def chart(self, name: str) -> "alt.Chart | alt.LayerChart | alt.FacetChart":
        """A chart by name. Raises ChartError with the nearest name."""
        from neurontab.show.charts import draw

        return draw(name, self.scan, self.manifest.run_id)

    @cached_property
    def queries(self) -> dict[str, Query]:
        """The shipped query modules and those that the run was built with, in order."""
        own = self.manifest.queries_folder
        return discover(Path(own) if own else None)

    @cached_property
    def _declared(self) -> dict[str, Table]:
        return MEASURED | {name: query.table for name, query in self.queries.items()}


def open_run(folder: str | Path | None = None) -> Run:
    """A run by its folder; without one, the newest finished run under `runs/`.

    Raises RunError when there is none.
    """
    return Run(Path(folder) if folder is not None else newest())


def newest(runs: Path = RUNS) -> Path:
    """The folder of the run whose manifest was written last."""
    finished = sorted(runs.glob(f"*/{manifest.NAME}"), key=lambda path: path.stat().st_mtime)
    if not finished:
        raise RunError(
            f"No finished run under {runs}/.\nBuild one with: neurontab build, or name one with -r."
        )
    return finished[-1].parent
