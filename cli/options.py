"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from neurontab.errors import ConfigError, FileError

RunFolder = Annotated[
    Path | None,
    typer.Option("-r", "--run", help="Folder of the run; the newest under runs/ by default."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace the file of -o.")]


def refuse_existing(path: Path | None, *, force: bool) -> None:
    """Raises FileError for a file of -o that is there, unless it may be replaced."""
    if path is not None and path.is_file() and not force:
        raise FileError(f"{path} exists.\nName another with -o, or replace it with --force.")


def need_extra(extra: str, what: str, *packages: str) -> None:
    """Raises ConfigError when what a command needs is not installed."""
    from importlib.util import find_spec

    missing = [name for name in packages if not find_spec(name)]
    if missing:
        raise ConfigError(
            f"{what} needs {', '.join(missing)}, not installed here.\n"
            f"Install it with: pip install 'neurontab[{extra}]'"
        )
