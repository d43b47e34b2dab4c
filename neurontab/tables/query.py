"""Query modules: one file, one derived table, found by name and checked without data.

A module has a one-sentence docstring, `VERSION`, `KEYS`, `COLUMNS` and one function of the file's
name. The function's positional parameters name the tables it reads; its keyword-only parameters are
its thresholds, each `Annotated` with a sentence and its source.
"""

import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from math import isfinite
from pathlib import Path
from types import ModuleType
from typing import Annotated, get_args, get_origin, get_type_hints

import polars as pl

from neurontab.errors import QueryError, nearest
from neurontab.files import sha256_of
from neurontab.tables.schemas import MEASURED
from neurontab.tables.table import Table


@dataclass(frozen=True)
class Threshold:
    """One number or word that a query's author chose, with the reason."""

    name: str
    default: float | int | bool | str
    description: str

    def refuse_unfit(self, query: str, value: object) -> None:
        """Raises QueryError for a value of another type, and for a number that is not finite."""
        wanted = type(self.default)
        fits = type(value) is wanted or (wanted is float and type(value) is int)
        if not fits or (isinstance(value, float) and not isfinite(value)):
            raise QueryError(
                f"{query}.{self.name} is a {wanted.__name__}, such as {self.default!r}; "
                f"found {value!r}."
            )


@dataclass(frozen=True)
class Query:
    """A derived table: what it holds, what it reads, how it is computed."""

    table: Table
    version: int
    sha256: str  # of the module's file
    inputs: tuple[str, ...]
    thresholds: tuple[Threshold, ...]
    function: Callable[..., pl.LazyFrame]

    @property
    def name(self) -> str:
        """Name of the query, its table, its file and its function."""
        return self.table.name

    def __call__(self, tables: Mapping[str, pl.LazyFrame], **thresholds: object) -> pl.LazyFrame:
        """The derived table over the given ones, lazily.

        Raises QueryError for a threshold that does not exist or is of another type.
        """
        for name, value in thresholds.items():
            self.threshold(name).refuse_unfit(self.name, value)
        return self.function(*(tables[name] for name in self.inputs), **thresholds)

    def threshold(self, name: str) -> Threshold:
        """A threshold by name. Raises QueryError with the nearest name."""
        known = {threshold.name: threshold for threshold in self.thresholds}
        if name not in known:
            raise QueryError(
                f"Query {self.name!r} has no threshold {name!r}; it has "
                f"{', '.join(known) or 'none'}.{nearest(name, list(known))}"
            )
        return known[name]


def discover(folder: Path | None = None) -> dict[str, Query]:
    """All shipped queries, and those of a folder of the user's own, in the order they must run.

    Raises QueryError when a module is not as the contract says, or reads what nobody provides.
    """
    shipped = importlib.import_module("neurontab.queries")
    names = [module.name for module in pkgutil.iter_modules(shipped.__path__)]
    modules = [importlib.import_module(f"neurontab.queries.{name}") for name in names]
    if folder is not None:
        modules += _own_modules(folder, taken={*MEASURED, *names})
    queries = {query.name: query for query in map(from_module, modules)}
    return in_order(queries)


def from_module(module: ModuleType) -> Query:
    """Reads a query from its module. Raises QueryError that names everything missing."""
    name = module.__name__.rpartition(".")[2]
    problems = [
        f"no {part}"
        for part in ("__doc__", "VERSION", "KEYS", "COLUMNS", name)
        if not getattr(module, part, None)
    ]
    if problems:
        raise QueryError(
            f"Query module {module.__file__}: {', '.join(problems)}.\n"
            "A query module has a docstring, VERSION, KEYS, COLUMNS and a function of its name."
        )
    function = getattr(module, name)
    table = Table(name, str(module.__doc__).split("\n\n")[0].strip(), module.KEYS, module.COLUMNS)
    inputs, thresholds = _parameters(name, function)
    digest = sha256_of(Path(str(module.__file__)))
    return Query(table, module.VERSION, digest, inputs, thresholds, function)


def in_order(queries: dict[str, Query]) -> dict[str, Query]:
    """The same queries, every one after those that it reads.

    Raises QueryError for an unknown input and for a cycle.
    """
    known = [*MEASURED, *queries]
    for query in queries.values():
        for name in query.inputs:
            if name not in known:
                raise QueryError(
                    f"Query {query.name!r} reads table {name!r}, which does not exist."
                    f"{nearest(name, known)}"
                )
    graph = {name: [i for i in query.inputs if i in queries] for name, query in queries.items()}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise QueryError(
            f"Queries read each other in a circle: {' → '.join(error.args[1])}"
        ) from error
    return {name: queries[name] for name in order}


def check(queries: Mapping[str, Query]) -> None:
    """Runs every query on empty frames and compares what comes out with its declaration.

    Raises QueryError that lists every column that differs, over all queries.
    """
    frames = {name: table.empty() for name, table in MEASURED.items()}
    problems: list[str] = []
    for query in queries.values():
        declared = query.table.schema
        try:
            found = query(frames).collect_schema()
        except pl.exceptions.PolarsError as error:
            problems.append(f"{query.name}: {str(error).splitlines()[0]}")
        else:
            problems += [
                f"{query.name}.{name}: {found.get(name, 'missing')}, declared "
                f"{declared.get(name, 'nothing')}"
                for name in {**declared, **found}
                if found.get(name) != declared.get(name)
            ]
        frames[query.name] = query.table.empty()
    if problems:
        raise QueryError("Queries are not as declared:\n" + "\n".join(f"  {p}" for p in problems))


def _parameters(
    name: str, function: Callable[..., pl.LazyFrame]
) -> tuple[tuple[str, ...], tuple[Threshold, ...]]:
    hints = get_type_hints(function, include_extras=True)
    inputs: list[str] = []
    thresholds: list[Threshold] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            inputs.append(parameter.name)
        elif get_origin(hints.get(parameter.name)) is not Annotated:
            raise QueryError(f"Query {name!r}: threshold {parameter.name!r} has no description.")
        else:
            description = get_args(hints[parameter.name])[1]
            thresholds.append(Threshold(parameter.name, parameter.default, description))
    return tuple(inputs), tuple(thresholds)


def _own_modules(folder: Path, taken: set[str]) -> list[ModuleType]:
    """The query modules of a user's folder."""
    if not folder.is_dir():
        raise QueryError(f"No folder of queries {folder}.")
    paths = sorted(path for path in folder.glob("*.py") if not path.name.startswith("_"))
    for path in paths:
        if path.stem in taken:
            raise QueryError(f"{path}: there is a table {path.stem!r} already.\nRename the file.")
    return [_load_file(path) for path in paths]


def _load_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a user's module may fail in any way
        raise QueryError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module
