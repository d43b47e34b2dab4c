"""Many files of a run replaced as one: all are whole beside it before the first is put in place."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neurontab import manifest
from neurontab.errors import FileError
from neurontab.files import sync
from neurontab.lock import STATE, locked

BEGUN, WHOLE = "beside", "whole"  # folders below state/: still being written, to be put in place


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A folder to write files in; all of them then stand at the same places in the run.

    Hold the lock. An error or a kill inside leaves the run as it was; one after that leaves work
    for `settle`. The manifest is put in place last.
    """
    beside, whole = folder / STATE / BEGUN, folder / STATE / WHOLE
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir(parents=True)
        yield beside
        beside.rename(whole)
        sync(whole.parent)
        _put_in_place(whole, folder)
    except OSError as error:
        raise FileError(f"{folder} cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def settle(folder: Path) -> None:
    """Puts in place what an interrupted `replacing` had already written whole.

    Raises RunError while another process is at work in the run, or it cannot be written.
    """
    if (folder / STATE / WHOLE).is_dir():
        with locked(folder):
            settle_held(folder)


def settle_held(folder: Path) -> None:
    """`settle` for whoever holds the lock already."""
    if (folder / STATE / WHOLE).is_dir():
        _put_in_place(folder / STATE / WHOLE, folder)


def _put_in_place(whole: Path, folder: Path) -> None:
    found = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    for path in sorted(found, key=lambda path: path == Path(manifest.NAME)):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(whole / path, folder / path)
        sync((folder / path).parent)
    shutil.rmtree(whole)
