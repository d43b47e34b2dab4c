"""Progress for people: bars on a terminal, a line a stage elsewhere; always on stderr."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from neurontab import progress


@contextmanager
def shown_on(stream: TextIO) -> Iterator["Lines | Bars"]:
    """Bars where the stream is a terminal and no CI; a line a stage otherwise."""
    console = Console(file=stream, highlight=False)
    if not console.is_terminal or os.environ.get("CI"):
        yield Lines(console)
        return
    with Progress(*COLUMNS, console=console) as bars:
        yield Bars(bars, console)


class Lines:
    """Writes a line when a stage begins, and another when it ends."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[progress.Stage]:
        """Runs the stage."""
        size = f" of {total:,} {unit}" if total else ""
        print(f"{name}{size} …", file=self.console.file, flush=True)
        started = time.monotonic()
        yield progress.Silent()
        seconds = time.monotonic() - started
        print(f"{name} done in {seconds:.1f} s", file=self.console.file, flush=True)


class Bars:
    """A bar for every stage."""

    def __init__(self, bars: Progress, console: Console) -> None:
        self._bars, self.console = bars, console

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[progress.Stage]:
        """Runs the stage."""
        task = self._bars.add_task(name, total=total or None, unit=unit)
        yield _Bar(self._bars, task)
        done = self._bars.tasks[task].completed
        self._bars.update(task, total=done, completed=done)


class _Bar:
    def __init__(self, bars: Progress, task: int) -> None:
        self._bars, self._task = bars, task

    def advance(self, steps: float) -> None:
        self._bars.advance(self._bars.tasks[self._task].id, steps)


class _Done(ProgressColumn):
    """How much is done of how much, and how fast."""

    def render(self, task: Task) -> Text:
        unit = task.fields["unit"]
        speed = task.finished_speed or task.speed
        total = f"/{task.total:,.0f}" if task.total else ""
        fast = f" {speed:,.0f} {unit}/s" if speed and speed >= 1 else ""
        return Text(f"{task.completed:,.0f}{total} {unit}{fast}", style="progress.percentage")


COLUMNS = (
    TextColumn("{task.description:<12}"),
    BarColumn(),
    _Done(),
    TimeRemainingColumn(elapsed_when_finished=True),
)
