"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

RunFolder = Annotated[
    Path | None,
    typer.Option("-r", "--run", help="Folder of the run; the newest under runs/ by default."),
]
