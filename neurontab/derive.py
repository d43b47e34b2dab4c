"""Derived tables on disk: every query of a run over its measured tables, written as Parquet."""

import dataclasses
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path

import polars as pl

from neurontab.commit import replacing, settle_held
from neurontab.errors import QueryError, RunError, nearest
from neurontab.lock import locked
from neurontab.manifest import Derivation, Value, describe_tables
from neurontab.run import Run
from neurontab.tables import parquet, store
from neurontab.tables.query import Query, check
from neurontab.tables.schemas import MEASURED

Thresholds = Mapping[str, Mapping[str, Value]]  # by query, by name


def derive(
    folder: Path,
    measured: Collection[str],
    queries: Mapping[str, Query],
    thresholds: Thresholds,
    run_id: str,
    into: Path,
) -> dict[str, Derivation]:
    """Computes all derived tables from those of a run's `measured` ones, in order, into a folder.

    Returns how each was derived. Queries are checked before. Raises QueryError when one fails or a
    threshold does not exist, TableError when its values are not as declared, FileError when a file
    cannot be written.
    """
    unknown = [name for name in thresholds if name not in queries]
    if unknown:
        raise QueryError(f"No query {unknown[0]!r}.{nearest(unknown[0], list(queries))}")
    tables = folder / "tables"
    frames = {
        name: store.scan(tables, name)
        if name in measured and store.parts(tables, name)
        else table.empty()
        for name, table in MEASURED.items()
    }
    derived: dict[str, pl.DataFrame] = {}
    for name, query in queries.items():
        derived[name] = query.table.conform(_computed(query, frames, thresholds.get(name, {})))
        frames[name] = derived[name].lazy()
    for name, query in queries.items():
        parquet.write_part(
            into / "tables", query.table, store.FAMILY, [derived[name]], run_id=run_id
        )
    return definitions(queries, thresholds)


def _computed(
    query: Query, frames: Mapping[str, pl.LazyFrame], thresholds: Mapping[str, Value]
) -> pl.DataFrame:
    try:
        return query(frames, **thresholds).collect()
    except pl.exceptions.PolarsError as error:
        raise QueryError(
            f"Query {query.name!r} cannot be computed over this run: {str(error).splitlines()[0]}"
        ) from error


def definitions(queries: Mapping[str, Query], thresholds: Thresholds) -> dict[str, Derivation]:
    """How each table of these queries is derived with these thresholds."""
    return {
        name: Derivation(query.version, query.sha256, dict(thresholds.get(name, {})))
        for name, query in queries.items()
    }


def rederive(run: Run, thresholds: Thresholds) -> Run:
    """Writes the derived tables of a finished run again, with these thresholds.

    Thresholds that are not given are at their defaults. The manifest records what was used. Raises
    RunError when the run has tables of query modules that are not at hand, or another process is at
    work in it, TableError when a measured table is damaged, and what `derive` and `commit` raise.
    """
    missing = sorted(run.manifest.queries.keys() - run.queries.keys())
    if missing:
        raise RunError(
            f"{run.folder} has tables of queries that do not come with neurontab: "
            f"{', '.join(missing)}.\nName their folder with --queries; it was "
            f"{run.manifest.queries_folder}."
        )
    with locked(run.folder):
        settle_held(run.folder)
        _replace_derived(Run(run.folder, run.queries_folder), thresholds)
    return Run(run.folder, run.queries_folder)


def _replace_derived(run: Run, thresholds: Thresholds) -> None:
    check(run.queries)
    measured = {n: parts for n, parts in run.manifest.tables.items() if n in MEASURED}
    with replacing(run.folder) as beside:
        for name in measured:
            run.files.check_contents(name)
        how = derive(run.folder, measured, run.queries, thresholds, run.manifest.run_id, beside)
        own = str(run.queries_folder.resolve()) if run.queries_folder else None
        dataclasses.replace(
            run.manifest,
            queries=how,
            queries_folder=own,
            tables=measured | describe_tables(beside, run.queries),
        ).write(beside)


def parse_thresholds(assignments: list[str], queries: Mapping[str, Query]) -> Thresholds:
    """`universality.threshold=0.4` as a threshold of a query, in that threshold's type.

    Raises QueryError for what is not an assignment, names no threshold, or is of another type.
    """
    parsed: dict[str, dict[str, Value]] = defaultdict(dict)
    for assignment in assignments:
        place, equals, text = assignment.partition("=")
        query, dot, name = place.partition(".")
        if not (equals and dot):
            raise QueryError(f"{assignment!r} is not QUERY.THRESHOLD=VALUE.")
        parsed[query][name] = _value(query, name, text, queries)
    return parsed


def _value(query: str, name: str, text: str, queries: Mapping[str, Query]) -> Value:
    if query not in queries:
        raise QueryError(f"No query {query!r}.{nearest(query, list(queries))}")
    threshold = queries[query].threshold(name)
    value = _as(text, type(threshold.default))
    threshold.refuse_unfit(query, value)
    return value


def _as(text: str, wanted: type[Value]) -> Value:
    """The text as a value of a type; itself where it cannot be."""
    try:
        return {"true": True, "false": False}[text.lower()] if wanted is bool else wanted(text)
    except (ValueError, KeyError):
        return text
