"""`neurontab check`: whether a run is whole."""

import sys

import typer

from .options import RunFolder


def check(run: RunFolder = None) -> None:
    """Hold every file of a run against its manifest: contents, columns, rows."""
    import neurontab
    from neurontab.errors import CheckError
    from neurontab.printable import printable

    from .progress import shown_on

    opened = neurontab.open(run)
    n = len(opened.manifest.listed())
    with shown_on(sys.stderr) as progress, progress.stage("checking", n, "files") as stage:
        found = [*opened.files.problems(opened.table, stage.advance)]
    if found:
        raise CheckError(
            "\n".join(f"{line}." for line in found)
            + "\nBuild the run again with --fresh, or take the files from where it was built."
        )
    typer.echo(printable(f"{n} files of {opened.folder} are as its manifest says."))
