"""One writer at a time in a run's folder."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path

from filelock import FileLock, Timeout

from neurontab.errors import RunError

STATE = "state"
LOCK = Path(STATE, "lock")  # stays: a folder that holds it is ours


@contextmanager
def locked(folder: Path) -> Iterator[Callable[[], None]]:
    """Holds a folder, made if need be; one that was made and is still empty goes again.

    Raises RunError when another process holds it, or it cannot be written; what it gives raises one
    when the folder has been taken away meanwhile.
    """
    state = folder.absolute() / STATE
    made = list(takewhile(lambda path: not path.exists(), (state, *state.parents)))
    try:
        state.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK)
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(
            f"Another process is at work in {folder}.\nWait for it, or name another folder."
        ) from None
    except OSError as error:
        raise RunError(
            f"{folder} cannot be written: {error.strerror}.\nName another folder."
        ) from error
    held = _identity(folder)

    def refuse_if_gone() -> None:
        if _identity(folder) != held:
            raise RunError(f"{folder} was removed while it was being written.\nRun it again.")

    try:
        yield refuse_if_gone
    finally:
        mine = folder.absolute() in made and _identity(folder) == held
        if mine and _holds_only(folder, STATE) and _holds_only(state, LOCK.name):
            Path(lock.lock_file).unlink()
            for empty in takewhile(lambda path: not any(path.iterdir()), made):
                empty.rmdir()
        lock.release()


def _identity(folder: Path) -> int | None:
    """What no other file is called while this one is open; None where there is none."""
    try:
        return (folder / LOCK).stat().st_ino
    except FileNotFoundError:
        return None


def _holds_only(folder: Path, name: str) -> bool:
    return [path.name for path in folder.iterdir()] == [name]
