"""One writer at a time in a run's folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path

from filelock import FileLock, Timeout

from neurontab.errors import RunError

STATE = "state"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds a folder, made if need be, and takes back what holding it needed.

    Raises RunError when another process holds it, or it cannot be written.
    """
    state = folder.absolute() / STATE
    made = list(takewhile(lambda path: not path.exists(), state.parents))
    try:
        state.mkdir(parents=True, exist_ok=True)
        lock = FileLock(state / "lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(
            f"Another process is at work in {folder}.\nWait for it, or name another folder."
        ) from None
    except OSError as error:
        raise RunError(
            f"{folder} cannot be written: {error.strerror}.\nName another folder."
        ) from error
    try:
        yield
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)
        for empty in takewhile(lambda path: not any(path.iterdir()), (state, *made)):
            empty.rmdir()
