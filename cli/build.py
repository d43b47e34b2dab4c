"""`neurontab build`: from models and text to a finished run."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

from .options import need_extra


def build(
    config: Annotated[Path | None, typer.Argument(help="A TOML file of settings.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("-m", "--model", help="[NAME=]SOURCE[@REVISION]: a folder or a hub name."),
    ] = None,
    corpus: Annotated[
        list[str] | None,
        typer.Option("--corpus", help="Text files or folders, JSONL or Parquet with a text field."),
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option("--labels", help="Parquet or Arrow with labels by sequence and position."),
    ] = None,
    tokens: Annotated[
        str | None, typer.Option("--tokens", help="Counted tokens, such as 100M, or all.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder of the run.")
    ] = None,
    preset: Annotated[str | None, typer.Option("--preset", help="quick or paper.")] = None,
    activations: Annotated[
        int | None,
        typer.Option("--activations", min=0, help="Positions at which all activations are kept."),
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="cpu, cuda, cuda:1; auto by default.")
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option("--memory", help="What may be used, such as 16G; 60 % of the free."),
    ] = None,
    queries: Annotated[
        Path | None, typer.Option("--queries", help="Folder of query modules of your own.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what the build would cost, and stop.")
    ] = False,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Discard what another build or version left in the folder."),
    ] = False,
) -> None:
    """Measure a family of models and derive every table.

    Without models: five trained seeds and a corpus that come with neurontab.
    """
    from neurontab.config import resolve

    given = {
        "models": model,
        "corpus": corpus,
        "labels": labels,
        "tokens": tokens,
        "device": device,
    }
    settings = resolve(config, preset, activations=activations, memory=memory, **given)
    need_extra("build", "A build", "torch", "transformer_lens", "tomli_w")
    from rich.console import Console

    from neurontab.building import build as build_run
    from neurontab.building import default_folder
    from neurontab.measure.processes import started
    from neurontab.prepare import prepare

    from .progress import shown_on
    from .render import print_plan, print_summary

    folder = output or default_folder(settings, config)
    with (
        started() as processes,
        open(os.devnull, "w") as nowhere,
        shown_on(sys.stderr if processes.first else nowhere) as progress,
        _terminated() as told,
    ):
        if dry_run:
            with processes.first_alone():
                prepared = prepare(settings, progress, processes)
            if processes.first:
                print_plan(prepared.plan, Console())
            prepared.plan.refuse_if_too_large(folder)
            return
        run = build_run(
            settings,
            folder,
            fresh=fresh,
            queries_folder=queries,
            command=tuple(sys.argv),
            progress=progress,
            on_plan=lambda plan: print_plan(plan, progress.console),
            stop=told.is_set,
            processes=processes,
        )
    if processes.first:
        print_summary(run)


@contextmanager
def _terminated() -> Iterator[Event]:
    """An event that SIGTERM sets, instead of ending the process at once."""
    told = Event()
    before = signal.signal(signal.SIGTERM, lambda number, frame: told.set())
    try:
        yield told
    finally:
        signal.signal(signal.SIGTERM, before)
