"""`neurontab derive`: derived tables again, with other thresholds."""

from pathlib import Path
from typing import Annotated

import typer

from .options import RunFolder


def derive(
    run: RunFolder = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="QUERY.THRESHOLD=VALUE, such as universality.threshold=0.4."),
    ] = None,
    queries: Annotated[
        Path | None, typer.Option("--queries", help="Folder of query modules of your own.")
    ] = None,
) -> None:
    """Write the derived tables of a run again; without --set, with every default."""
    import neurontab
    from neurontab.derive import parse_thresholds, rederive

    from .render import print_summary

    opened = neurontab.open(run, queries=queries)
    print_summary(rederive(opened, parse_thresholds(assignments or [], opened.queries)))
