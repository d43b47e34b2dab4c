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
        rules = [rule for column in self.columns for rule in _rules(column)]
        counts = frame.select(rule.broken.sum().alias(str(n)) for n, rule in enumerate(rules))
        for count, rule in zip(counts.row(0) if rules else (), rules, strict=True):
            if count:
                yield rule.told(count, frame)
        doubled = frame.select(key.name for key in self.keys).is_duplicated().sum()
        if doubled:
            yield f"({', '.join(key.name for key in self.keys)}): {doubled:,} rows share a key"


@dataclass(frozen=True)
class _Rule:
    """What no value of a column may be."""

    name: str
    broken: pl.Expr
    wrong: str
    with_example: bool = False

    def told(self, count: int, frame: pl.DataFrame) -> str:
        """How often it is broken, and by which value first."""
        said = f"{self.name}: {count:,} {self.wrong}"
        return f"{said}: {frame.filter(self.broken)[self.name][0]}" if self.with_example else said


def _rules(column: Column) -> Iterable[_Rule]:
    name, value = column.name, pl.col(column.name)
    if not column.nullable:
        yield _Rule(name, value.is_null(), "nulls, declared without")
    if column.dtype.is_float():
        yield _Rule(name, value.is_nan(), "NaN; a missing value is null")
    if column.check is not None:
        wrong = f"values not {column.check.description}"
        yield _Rule(name, ~column.check.holds(value), wrong, with_example=True)
