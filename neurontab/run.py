"""An open run: its tables, questions over them, and charts."""

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from neurontab import manifest
from neurontab.checking import Files
from neurontab.commit import WHOLE, settle
from neurontab.errors import QueryError, RunError, TableError, nearest
from neurontab.manifest import Manifest
from neurontab.tables import store
from neurontab.tables.query import Query, discover
from neurontab.tables.schemas import MEASURED
from neurontab.tables.sql import ask, named_in
from neurontab.tables.store import ACTIVATIONS
from neurontab.tables.table import Table

if TYPE_CHECKING:
    from neurontab.show.card_from_tables import NotebookCard
    from neurontab.show.charts import Chart

RUNS = Path("runs")


class Run:
    """A folder of tables that a build has finished."""

    def __init__(self, folder: Path, queries_folder: Path | None = None) -> None:
        """Opens a run; with a folder of query modules, those can be asked too.

        Code that a run names is never run: modules of one's own are imported only when their folder
        is given here. Raises RunError when the run is missing, unfinished or damaged.
        """
        settle(folder)
        self.folder = folder
        self.queries_folder = queries_folder
        self.manifest: Manifest = manifest.read(folder)
        self.files = Files(folder, self.manifest)

    def __repr__(self) -> str:
        names = ", ".join(str(model.get("model")) for model in self.manifest.models)
        return f"Run({str(self.folder)!r}: {names}; {len(self.manifest.tables)} tables)"

    def __getitem__(self, name: str) -> pl.LazyFrame:
        """A table, as `scan` gives it: `run["matches"]`."""
        return self.scan(name)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self.manifest.tables)

    def _repr_html_(self) -> str:
        """For notebooks: the models, and how many rows every table has."""
        said = "".join(
            f"<tr><td><code>{escape(name)}</code></td>"
            f"<td style='text-align:right'>{sum(part.rows for part in parts.values()):,}</td></tr>"
            for name, parts in self.manifest.tables.items()
        )
        return (
            f"<p>{escape(repr(self))}</p><table><tr><th>table</th><th>rows</th></tr>{said}</table>"
        )

    @property
    def thresholds(self) -> dict[str, manifest.Value]:
        """The thresholds of stored tables that are not at their defaults, as QUERY.THRESHOLD."""
        return {
            f"{name}.{threshold}": value
            for name, how in self.manifest.queries.items()
            for threshold, value in how.thresholds.items()
        }

    def tables(self) -> dict[str, Table]:
        """The declarations of all tables that the run has, measured first.

        Raises TableError when one that is read from its file is damaged.
        """
        known = [*(n for n in self._declared if n in self.manifest.tables), *self.manifest.tables]
        return {name: self.table(name) for name in dict.fromkeys(known)}

    def table(self, name: str) -> Table:
        """One table's declaration. Raises TableError with the nearest name."""
        if name not in self.manifest.tables:
            known = sorted(self.manifest.tables)
            raise TableError(
                f"No table {name!r} in {self.folder}."
                f"{nearest(name, known) or ' There are: ' + ', '.join(known) + '.'}"
            )
        if name in self._declared:
            return self._declared[name]
        from neurontab.tables.parquet import declared

        return declared(self.folder / "tables", name)

    def scan(self, name: str) -> pl.LazyFrame:
        """A table, lazily. Raises TableError when there is none of that name, or a part is gone."""
        self.table(name)
        self.files.check(name)
        return store.scan(self.folder / "tables", name)

    @property
    def neurons(self) -> pl.LazyFrame:
        """The wide table: one row per neuron. Raises TableError as `scan` does."""
        return self.scan("neurons")

    def activations(self, site: str = "post") -> pl.LazyFrame:
        """What is kept of single positions, pre or post: one row a model, layer and position.

        Columns are model, layer, sequence, position, source, token_id, previous_id, next_id, and
        `activation`: a list of all the layer's neurons. Raises TableError where a build kept none.
        """
        if site not in ("pre", "post"):
            raise TableError(f"Activations are pre or post, not {site!r}.")
        kept = (Path(file) for file in self.manifest.files)
        files = sorted(
            self.folder / file for file in kept if file.match(f"{ACTIVATIONS}/*/{site}.*.arrow")
        )
        for path in files:
            if not path.is_file():
                raise TableError(f"{path} is missing.\nBuild the run again with --fresh.")
        if not files:
            raise TableError(
                f"{self.folder} has no activations of single positions.\n"
                "Build it with --activations 2048."
            )
        at = pl.col("position")
        near = {"previous_id": at - 1, "next_id": at + 1}
        corpus = pl.scan_ipc(self.folder / "corpus" / "tokens.arrow").select(
            "sequence", "source", pl.col("tokens").arr.to_list()
        )
        rows = pl.concat(
            pl.scan_ipc(path).with_columns(
                pl.col("activation").arr.to_list(),
                model=pl.lit(path.parent.name),
                layer=pl.lit(int(path.suffixes[-2].removeprefix(".")), pl.Int32),
            )
            for path in files
        )
        tokens = pl.col("tokens")
        return rows.join(corpus, on="sequence", maintain_order="left").select(
            *("model", "layer", "sequence", "position", "source", "token_id"),
            *(
                pl.when(place >= 0)
                .then(tokens.list.get(place, null_on_oob=True))
                .cast(pl.Int32)
                .alias(name)
                for name, place in near.items()
            ),
            "activation",
        )

    def sql(
        self,
        text: str,
        tables: Mapping[str, Any] | None = None,
        *,
        allow_files: bool = False,
    ) -> pl.DataFrame:
        """The answer to a question over all tables, others beside them, and files where allowed.

        Those are frames of Polars, or of whatever speaks Arrow's PyCapsule protocol. Raises
        QueryError, also for a name that is taken, and TableError for a damaged file.
        """
        scans: dict[str, Callable[[], pl.LazyFrame]] = {
            name: partial(self.scan, name) for name in self.manifest.tables
        }
        for name, frame in (tables or {}).items():
            if name in scans:
                raise QueryError(f"There is a table {name!r} already.\nName yours otherwise.")
            lazy = frame if isinstance(frame, pl.LazyFrame) else pl.DataFrame(frame).lazy()
            scans[name] = lazy.lazy
        with self.files.damage_named(named_in(text, self.manifest.tables)):
            return ask(text, scans, allow_files=allow_files)

    def query(self, name: str, **thresholds: object) -> pl.LazyFrame:
        """A derived table with other thresholds, computed in memory; nothing is written.

        What it reads is as stored. Raises TableError and QueryError.
        """
        if name not in self.queries:
            known = list(self.queries)
            raise TableError(f"No query {name!r}.{nearest(name, known)}")
        query = self.queries[name]
        return query({table: self._scan_or_empty(table) for table in query.inputs}, **thresholds)

    def chart(self, name: str) -> "Chart":
        """A chart by name.

        Raises ChartError with the nearest name, and TableError for a damaged file.
        """
        from neurontab.show.charts import draw

        def scan(table: str) -> pl.LazyFrame:
            return self.activations("pre") if table == ACTIVATIONS else self._scan_declared(table)

        with self.files.damage_named():
            return draw(name, scan, self._drawn_from, self.manifest.run_id, self.thresholds)

    def charts(self) -> list[str]:
        """The names of the charts for which the run has what they are drawn from."""
        from neurontab.show.charts import drawable

        return drawable(self._drawn_from)

    @property
    def _drawn_from(self) -> list[str]:
        """The tables, and activations of single positions where they are kept."""
        kept = any(file.startswith(f"{ACTIVATIONS}/") for file in self.manifest.files)
        return [*self.manifest.tables, *([ACTIVATIONS] if kept else ())]

    def card(self, model: str, neuron: str) -> "NotebookCard":
        """Everything that is known of a neuron, such as `11.3030`.

        Raises QueryError, and TableError for a damaged file.
        """
        from neurontab.show.card_from_tables import card

        columns = self.table("neurons").columns
        with self.files.damage_named():
            return card(self._scan_or_empty, columns, model, neuron)

    @cached_property
    def queries(self) -> dict[str, Query]:
        """The shipped query modules and those of the folder given, in order.

        Raises QueryError when one is not as the contract says.
        """
        return discover(self.queries_folder)

    def _scan_or_empty(self, name: str) -> pl.LazyFrame:
        """A table, of no rows where the run has it not. Raises TableError as `_scan_declared`."""
        here = name in self.manifest.tables
        return self._scan_declared(name) if here else self._declared[name].empty()

    def _scan_declared(self, name: str) -> pl.LazyFrame:
        """A table as this version declares it. Raises TableError for one of another version."""
        found = self.scan(name)
        if missing := sorted(set(self._declared[name].schema) - set(found.collect_schema())):
            raise TableError(
                f"Table {name!r} of {self.folder} has no column {missing[0]!r}: another version of "
                "neurontab wrote it.\nDerive it again: neurontab derive"
            )
        return found

    @cached_property
    def _declared(self) -> dict[str, Table]:
        return MEASURED | {name: query.table for name, query in self.queries.items()}


def open_run(folder: str | Path | None = None, queries: str | Path | None = None) -> Run:
    """A run by its folder; without one, the newest finished run under `runs/`.

    `queries` is a folder of query modules of one's own. Raises RunError when there is no run, or it
    is damaged.
    """
    return Run(
        Path(folder) if folder is not None else newest(),
        Path(queries) if queries is not None else None,
    )


def newest(runs: Path = RUNS) -> Path:
    """The folder of the run whose manifest was written last, be it still to be put in place.

    Raises RunError when there is none.
    """
    written = {
        runs / path.relative_to(runs).parts[0]: path.stat().st_mtime
        for place in (Path(), WHOLE)
        for path in runs.glob(f"*/{place / manifest.NAME}")
    }
    if not written:
        raise RunError(
            f"No finished run under {runs}/.\nBuild one with: neurontab build, or name one with -r."
        )
    return max(written, key=written.__getitem__)
