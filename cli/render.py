"""Frames and facts as text for a terminal."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import polars as pl
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from neurontab.printable import printable
from neurontab.show.headlines import written

if TYPE_CHECKING:
    from neurontab.measure.plan import Plan
    from neurontab.run import Run

MOST_ROWS = 40
UNWRAPPED = 2_000  # columns where no terminal sets them


def print_frame(frame: pl.DataFrame, *, limit: int = MOST_ROWS, title: str | None = None) -> None:
    """A frame on stdout; says on stderr how many rows it hid."""
    shown = frame.head(limit)
    table = table_of(shown, _text, title)
    Console(width=None if sys.stdout.isatty() else UNWRAPPED).print(table)
    if len(frame) > limit:
        Console(stderr=True).print(f"{len(frame) - limit:,} more rows; all with --limit 0.")


def table_of(frame: pl.DataFrame, cell: Callable[[object], str], title: str | None = None) -> Table:
    """A frame as a table without lines, numbers to the right."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name, dtype in frame.schema.items():
        table.add_column(Text(printable(name)), justify="right" if dtype.is_numeric() else "left")
    for row in frame.iter_rows():
        table.add_row(*(Text(cell(value)) for value in row))
    return table


def print_plan(plan: "Plan", console: Console) -> None:
    """What a build will cost."""
    for line in plan.lines():
        console.print(Text(line), soft_wrap=True)


def print_summary(run: "Run") -> None:
    """How many neurons of each model are universal, and where to go on."""
    summary = run.scan("family_summary").with_columns(
        universal_share=(100 * pl.col("universal_share")).round(2)
    )
    with run.damage_named():
        print_frame(summary.rename({"universal_share": "universal_%"}).collect())
    if changed := run.thresholds:
        values = ", ".join(f"{name}={value}" for name, value in changed.items())
        typer.echo(printable(f"Not at default: {values}"), err=True)
    text = f"{run.folder}: ask with `neurontab query`, see with `neurontab chart --all`."
    Console(stderr=True, highlight=False).print(Text(text))


def _text(value: object) -> str:
    return printable(written(value)).replace("\n", "\\n")
