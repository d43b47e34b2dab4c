"""A run's folder while it is built: one build at a time, one configuration, and `config.toml`."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tomli_w
from filelock import FileLock, Timeout

from neurontab import manifest
from neurontab.config import BuildConfig
from neurontab.errors import NeurontabError, RunError
from neurontab.files import write_text

CONFIG = "config.toml"
STATE = "state"
OWN = (
    "tables",
    "activations",
    "charts",
    "corpus",
    CONFIG,
    manifest.NAME,
)  # what a build may remove


@contextmanager
def claimed(folder: Path, fingerprint: Mapping[str, str], *, fresh: bool) -> Iterator[bool]:
    """Holds the folder for one build; tells whether the same build is already finished there.

    Raises RunError when the folder is not a run, holds another build and is not to be `fresh`, or
    is being built in.
    """
    _refuse_foreign(folder)
    existed = folder.is_dir()
    try:
        (folder / STATE).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"{folder} cannot be written: {error.strerror}.\nName another with -o."
        ) from error
    lock = FileLock(folder / STATE / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(
            f"Another build is at work in {folder}.\nWait for it, or name another folder with -o."
        ) from None
    try:
        if existed and not fresh:
            _refuse_other(folder, fingerprint)
        yield (folder / manifest.NAME).is_file() and not fresh
    finally:
        lock.release()
        shutil.rmtree(folder / STATE)
        if not os.listdir(folder):
            folder.rmdir()


@contextmanager
def begun(folder: Path, settings: dict[str, Any]) -> Iterator[None]:
    """Clears a claimed folder and writes `config.toml`, then lets the build run.

    A build that ends in something the user can put right leaves nothing behind; one that is
    interrupted leaves what it was asked to do.
    """
    _discard(folder)
    write_text(folder / CONFIG, tomli_w.dumps(settings))
    try:
        yield
    except NeurontabError:
        _discard(folder)
        raise


def fingerprint_of(config: BuildConfig, **identities: str) -> dict[str, str]:
    """What decides a build's tables, one short text each: settings, and digests of what is read.

    Where models and text lie does not count, only what they hold.
    """
    kept = config.model_dump(mode="json", exclude={"models", "corpus"})
    return {name: json.dumps(value) for name, value in kept.items()} | identities


def run_id_of(fingerprint: Mapping[str, str]) -> str:
    """A short name for a fingerprint."""
    return hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()[:12]


def _refuse_foreign(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file.\nName a folder with -o.")
    known = {*OWN, STATE}
    strange = sorted(set(os.listdir(folder)) - known) if folder.is_dir() else []
    if strange and not (folder / CONFIG).is_file():
        raise RunError(
            f"{folder} is not a run: it holds {', '.join(strange[:3])}.\nName a new folder with -o."
        )


def _refuse_other(folder: Path, fingerprint: Mapping[str, str]) -> None:
    """Raises RunError with the first difference when another build has begun here."""
    from tomllib import TOMLDecodeError, loads

    try:
        there = loads((folder / CONFIG).read_text("utf-8"))["fingerprint"]
    except FileNotFoundError:
        return
    except (TOMLDecodeError, UnicodeDecodeError, KeyError) as error:
        raise RunError(f"{folder / CONFIG} is damaged.\nDiscard the run with --fresh.") from error
    for name in sorted({*there, *fingerprint}):
        if there.get(name) != fingerprint.get(name):
            raise RunError(
                f"{folder} holds another build: its {name} is {there.get(name, 'not set')}, now it "
                f"is {fingerprint.get(name, 'not set')}.\n"
                "Name another folder with -o, or discard that build with --fresh."
            )


def _discard(folder: Path) -> None:
    for name in OWN:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
