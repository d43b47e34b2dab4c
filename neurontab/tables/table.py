"""What a table is: named columns, each with a type, a sentence and a check, declared once.

Writer, validation, documentation, Arrow metadata and the empty frames on which queries are checked
all read the same declaration.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import polars as pl
from polars._typing import PolarsDataType

from neurontab.errors import TableError


@dataclass(frozen=True)
class Check:
    """A condition on every value of a column; null passes."""

    description: str
    holds: Callable[[pl.Expr], pl.Expr]


def at_least(low: float) -> Check:
    """Values of `low` and more."""
    return Check(f"at least {low:g}", lambda value: value >= low)


def between(low: float, high: float) -> Check:
    """Values from `low` to `high`, with a hair's breadth for rounding in float32."""
    slack = 1e-5
    return Check(
        f"from {low:g} to {high:g}",
        lambda value: value.is_between(low - slack, high + slack),
    )


def one_of(*values: str) -> Check:
    """One of a few words."""
    return Check("one of " + ", ".join(values), lambda value: value.is_in(list(values)))


@dataclass(frozen=True)
class Column:
    """One column: what it is called, holds, means and where its definition comes from."""

    name: str
    dtype: PolarsDataType
    description: str
    source: str = ""
    unit: str = ""
    nullable: bool = False
    check: Check | None = None


@dataclass(frozen=True)
class Table:
    """One table: its columns in order, the first of them its keys."""

    name: str
    description: str
    keys: tuple[Column, ...]
    values: tuple[Column, ...]
    columns: tuple[Column, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", self.keys + self.values)

    @property
    def schema(self) -> pl.Schema:
        """Names and types in order."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    def empty(self) -> pl.LazyFrame:
        """The table without rows."""
        return pl.LazyFrame(schema=self.schema)

    def conform(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame as declared, sorted by key; types are checked, never cast.

        Raises TableError that names everything that differs.
        """
        problems = [*self._shape(frame.schema)]
        if not problems:
            frame = frame.select(self.schema.names()).sort([key.name for key in self.keys])
            problems = [*self._values(frame)]
        if problems:
            lines = "\n".join(f"  {problem}" for problem in sorted(problems))
            raise TableError(f"table {self.name!r}:\n{lines}")
        return frame

    def _shape(self, found: pl.Schema) -> Iterable[str]:
        for column in self.columns:
            if column.name not in found:
                yield f"{column.name}: missing"
            elif found[column.name] != column.dtype:
                yield f"{column.name}: {found[column.name]}, declared {column.dtype}"
        for name in found.keys() - self.schema.keys():
            yield f"{name}: not declared"

    def _values(self, frame: pl.DataFrame) -> Iterable[str]:
        for column in self.columns:
            values = frame[column.name]
            if not column.nullable and values.has_nulls():
                yield f"{column.name}: {values.null_count():,} nulls, declared without"
            if column.dtype.is_float() and values.is_nan().any():
                yield f"{column.name}: {values.is_nan().sum():,} NaN; a missing value is null"
            yield from _failures(column, values)
        doubled = frame.select(key.name for key in self.keys).is_duplicated().sum()
        if doubled:
            yield f"({', '.join(key.name for key in self.keys)}): {doubled:,} rows share a key"


def _failures(column: Column, values: pl.Series) -> Iterable[str]:
    if column.check is None:
        return
    failed = values.to_frame().filter(~column.check.holds(pl.col(column.name)))[column.name]
    if len(failed):
        yield f"{column.name}: {len(failed):,} values not {column.check.description}: {failed[0]}"
