"""Frames and facts as text for a terminal."""

import sys
from collections.abc import Callable
from itertools import accumulate
from typing import TYPE_CHECKING

import polars as pl
import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from neurontab.printable import printable
from neurontab.show.headlines import written

if TYPE_CHECKING:
    from neurontab.measure.plan import Plan
    from neurontab.run import Run

MOST_ROWS = 40
UNWRAPPED = 2_000  # letters of a line where no terminal sets them
NARROWEST = 16  # letters of a column of text that is wrapped
GAP = 2  # letters between columns


class Output(Console):
    """Standard output, unwrapped where it is no terminal; a pipe that closes ends the command."""

    def __init__(self) -> None:
        super().__init__(width=None if sys.stdout.isatty() else UNWRAPPED, highlight=False)

    def on_broken_pipe(self) -> None:
        """Leaves the BrokenPipeError that is being handled to the command line."""
        raise


def print_frame(frame: pl.DataFrame, *, limit: int = MOST_ROWS) -> None:
    """A frame on stdout; says on stderr how many rows, and which columns, it hid."""
    hidden = print_table(Output(), frame.head(limit), _text)
    console = Console(stderr=True, highlight=False)
    if hidden:
        console.print(Text(printable(f"Too wide to show: {', '.join(hidden)}.")))
    if len(frame) > limit:
        console.print(f"{len(frame) - limit:,} more rows; all with --limit 0.")


def print_table(console: Console, frame: pl.DataFrame, cell: Callable[[object], str]) -> list[str]:
    """A frame without lines, numbers to the right; returns the names of columns that do not fit.

    Numbers are shown whole. Texts are wrapped, at `NARROWEST` letters at least.
    """
    rows = [[cell(value) for value in row] for row in frame.iter_rows()]
    names = [printable(name) for name in frame.columns]
    numeric = [dtype.is_numeric() for dtype in frame.dtypes]
    least = [
        max(map(cell_len, texts)) if number else min(max(map(cell_len, texts)), NARROWEST)
        for number, texts in zip(numeric, zip(names, *rows, strict=True), strict=True)
    ]
    ends = accumulate(width + GAP for width in least)
    fitting = max(sum(end - GAP <= console.width for end in ends), 1)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for name, number, width in zip(names[:fitting], numeric, least, strict=False):
        table.add_column(
            Text(name),
            justify="right" if number else "left",
            min_width=width,
            no_wrap=number,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*map(Text, row[:fitting]))
    console.print(table)
    return names[fitting:]


def print_plan(plan: "Plan", console: Console) -> None:
    """What a build will cost."""
    for line in plan.lines():
        console.print(Text(line), soft_wrap=True)


def print_summary(run: "Run") -> None:
    """How many neurons of each model are universal, and where to go on."""
    summary = run.scan("family_summary").with_columns(
        universal_share=(100 * pl.col("universal_share")).round(2)
    )
    with run.files.damage_named():
        print_frame(summary.rename({"universal_share": "universal_%"}).collect())
    if changed := run.thresholds:
        values = ", ".join(f"{name}={value}" for name, value in changed.items())
        typer.echo(printable(f"Not at default: {values}"), err=True)
    text = f"{run.folder}: ask with `neurontab query`, see with `neurontab chart --all`."
    Console(stderr=True, highlight=False).print(Text(text))


def _text(value: object) -> str:
    return printable(written(value)).replace("\n", "\\n")
