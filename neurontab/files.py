"""Files that are whole or not there: written beside their place, fsynced, renamed."""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from neurontab.errors import FileError


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Calls `write` with a path beside `path`, then puts the finished file in its place.

    A kill at any instant leaves the old file, or none; never a part of the new one.
    Raises FileError when the system does not let it be written.
    """
    if path.is_dir():
        raise FileError(f"{path} cannot be written: it is a folder.")
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(beside)
            sync(beside)
            beside.replace(path)
            sync(path.parent)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror or error}.") from error


def move_whole(source: Path, place: Path) -> None:
    """Moves a file over another, which stays whole until then; also across file systems.

    Raises OSError when the system does not let it, or across file systems FileError.
    """
    try:
        source.replace(place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        write_whole(place, lambda beside: shutil.copyfile(source, beside))
        source.unlink()


def write_text(path: Path, text: str) -> None:
    """Writes a whole text file in UTF-8. Raises FileError when it cannot be written."""
    write_whole(path, lambda beside: beside.write_text(text, "utf-8"))


def sha256_of(*paths: Path) -> str:
    """One digest over the bytes of the files, in the order given, in hexadecimal."""
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                total.update(block)
    return total.hexdigest()


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder; none where there is no folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def sync(path: Path) -> None:
    """Asks the system to have the file or folder on disk before going on."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
