"""`neurontab`: the commands, and the one place where a user's mistake becomes a message."""

import errno
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from neurontab import __version__
from neurontab.errors import FileError, NeurontabError
from neurontab.printable import printable

from .ask import query, tables
from .build import build
from .chart import chart
from .check import check
from .derive import derive
from .info import info
from .label import label
from .show import show

STOPPED = 130
SYSTEM = {  # what the machine says about a path, which no code of ours can mend
    errno.EACCES,
    errno.EIO,
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}


class Commands(TyperGroup):
    """Shows what the user can put right as one message; a bug keeps its traceback."""

    def invoke(self, ctx: Any) -> object:
        """Runs a command."""
        try:
            return super().invoke(ctx)
        except NeurontabError as error:
            raise _told(error) from error
        except KeyboardInterrupt:
            typer.echo("Stopped.", err=True)
            raise typer.Exit(STOPPED) from None
        except BrokenPipeError:
            # What Python still holds for the pipe, and writes when it ends, goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except OSError as error:
            if error.errno not in SYSTEM:
                raise
            place = error.filename or "Standard output"
            raise _told(FileError(f"{place}: {error.strerror}.")) from error


def _told(error: NeurontabError) -> typer.Exit:
    """Shows an error, and gives the exit that goes with it."""
    typer.echo(printable(f"{type(error).__name__}: {error}"), err=True)
    return typer.Exit(error.exit_code)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (build, query, tables, derive, chart, show, info, check, label):
    app.command()(command)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def main_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Tables about the neurons of language models: which every random seed learns."""
    del version


def main() -> None:
    """Runs the command line."""
    app()
