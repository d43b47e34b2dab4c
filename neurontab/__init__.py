"""neurontab: Arrow tables about the neurons of language models that differ in their random seed.

`open` opens a finished run, `build` makes one. Importing this package imports neither torch nor
Polars.
"""

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurontab.run import Run

__version__ = version("neurontab")
__all__ = ["__version__", "build", "open"]


def open(path: str | Path | None = None, *, queries: str | Path | None = None) -> "Run":
    """A finished run by its folder; without one, the newest under `runs/`.

    `queries` is a folder of query modules of one's own, to be asked too.
    Raises RunError when there is no run, or it is damaged.
    """
    from neurontab.run import open_run

    return open_run(path, queries)


def build(folder: str | Path | None = None, *, preset: str | None = None, **settings: Any) -> "Run":
    """Builds a run and opens it; `settings` are those of `neurontab.config.BuildConfig`.

    Without models, the embedded suite. Needs the extra `build`.
    Raises NeurontabError for whatever the user can put right.
    """
    from neurontab.building import build as build_run
    from neurontab.config import resolve

    return build_run(resolve(preset=preset, **settings), Path(folder) if folder else None)
