"""Many files of a run replaced as one: all are whole beside it before the first is put in place."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neurontab import manifest
from neurontab.errors import FileError, RunError
from neurontab.files import move_whole, sync
from neurontab.lock import LOCK, STATE, locked

BESIDE, WHOLE = Path(STATE, "beside"), Path(STATE, "whole")


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A folder to write files in; all of them then stand at the same places in the run.

    Hold the lock. An error or a kill inside leaves the run as it was. Raises RunError and FileError
    as `commit` does.
    """
    beside = folder / BESIDE
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir(parents=True)
        yield beside
        commit(folder, beside)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def commit(folder: Path, staged: Path) -> None:
    """Puts all files of a folder below `state/` in place, the manifest last.

    From the first step on, what a kill leaves undone is done by `settle`. Raises RunError before
    that where a file that the run's manifest does not list has the place of one of them, and
    FileError when the system does not let it; then, too, it is done later.
    """
    _refuse_what_is_in_the_way(folder, staged)
    try:
        staged.rename(folder / WHOLE)
        sync(folder / STATE)
        _put_in_place(folder)
    except OSError as error:
        raise FileError(
            f"{folder} cannot be written: {error.strerror or error}.\n"
            "Make room; what was computed is kept, and put in place when the run is opened next."
        ) from error


def settle(folder: Path) -> None:
    """Puts in place what an interrupted commit had already written whole.

    Raises RunError while another process is at work in the run, or it cannot be written.
    """
    if (folder / WHOLE).is_dir() and (folder / LOCK).is_file():
        with locked(folder):
            settle_held(folder)


def settle_held(folder: Path) -> None:
    """`settle` for whoever holds the lock already. Raises RunError when that cannot be finished."""
    try:
        if (folder / WHOLE).is_dir():
            _put_in_place(folder)
    except OSError as error:
        raise RunError(
            f"{folder} was being replaced when that was interrupted, and it cannot be finished: "
            f"{error.strerror or error}.\nMake the folder writable, or make room."
        ) from error


def _put_in_place(folder: Path) -> None:
    whole = folder / WHOLE
    found = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    if Path(manifest.CONFIG) in found:  # a whole build, which replaces another
        _remove_listed(folder)
    for path in sorted(found, key=lambda path: (path == Path(manifest.NAME), path)):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        move_whole(whole / path, folder / path)
    for place in {(folder / path).parent for path in found}:
        sync(place)
    shutil.rmtree(whole)


def _remove_listed(folder: Path) -> None:
    """Removes the files of the run that is replaced; its manifest goes last and so marks the end.

    Files that it does not list are the user's.
    """
    if not (folder / manifest.NAME).is_file():
        return
    for path in (folder / name for name in manifest.read(folder).listed()):
        path.unlink(missing_ok=True)
        within = path.parent
        if within.is_dir() and not within.is_symlink() and not any(within.iterdir()):
            within.rmdir()
    (folder / manifest.NAME).unlink()
    sync(folder)


def _refuse_what_is_in_the_way(folder: Path, staged: Path) -> None:
    known = {manifest.NAME, manifest.CONFIG}
    known |= manifest.read(folder).listed() if (folder / manifest.NAME).exists() else set()
    for name in (path.relative_to(staged) for path in staged.rglob("*") if path.is_file()):
        taken = (folder / name).exists() and name.as_posix() not in known
        within = (folder / above for above in name.parents)
        files = [path for path in within if path.exists() and not path.is_dir()]
        if taken or (folder / name).is_dir() or files:
            raise RunError(
                f"{files[0] if files else folder / name} is in the way: it is not the run's.\n"
                "Move it away, and run this again."
            )
