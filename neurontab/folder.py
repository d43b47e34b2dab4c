"""A run's folder while it is built: whose it is, which build is in it, and `config.toml`."""

import hashlib
import json
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tomli_w

from neurontab import manifest
from neurontab.config import BuildConfig
from neurontab.errors import NeurontabError, RunError
from neurontab.files import write_text
from neurontab.lock import STATE, locked

CONFIG = "config.toml"
WRITTEN = ("tables", "activations", "corpus", CONFIG, manifest.NAME)  # by a build; it may remove it


@contextmanager
def claimed(folder: Path, fingerprint: Mapping[str, str], *, fresh: bool) -> Iterator[bool]:
    """Holds the folder for one build; tells whether the same build is already finished there.

    Raises RunError when the folder is not a run, holds another build and is not to be `fresh`, or
    is being built in.
    """
    there = _fingerprint_in(folder)
    with locked(folder):
        if there is not None and not fresh:
            _refuse_other(folder, there, fingerprint)
        yield (folder / manifest.NAME).is_file() and not fresh


@contextmanager
def begun(folder: Path, settings: dict[str, Any]) -> Iterator[None]:
    """Clears a claimed folder and writes `config.toml`, then lets the build run.

    A build that ends in something the user can put right leaves nothing behind; one that is
    interrupted leaves what it was asked to do.
    """
    _clear(folder)
    write_text(folder / CONFIG, tomli_w.dumps(settings))
    try:
        yield
    except NeurontabError:
        _clear(folder)
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


def refuse_if_read_from(folder: Path, config: BuildConfig) -> None:
    """Raises RunError when models or text lie in the folder that is to be written."""
    for spec in (*config.models, *config.corpus):
        place = (
            Path(spec.partition("=")[2]) if "=" in spec and not Path(spec).exists() else Path(spec)
        )
        if place.exists() and place.resolve().is_relative_to(folder.resolve()):
            raise RunError(
                f"{place} lies in {folder}, which is to be written.\nName another with -o."
            )


def _fingerprint_in(folder: Path) -> dict[str, str] | None:
    """The fingerprint of the build in a folder, None in an empty one.

    Raises RunError for a folder that holds anything and is not a run: it is never touched.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file.\nName a folder with -o.")
    held = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if not held or held == [STATE]:
        return None
    try:
        found = tomllib.loads((folder / CONFIG).read_text("utf-8"))["fingerprint"]
        return {str(name): str(value) for name, value in found.items()}
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise RunError(
            f"{folder} is not a run: it holds {', '.join(held[:3])}.\nName a new folder with -o."
        ) from error


def _refuse_other(folder: Path, there: Mapping[str, str], fingerprint: Mapping[str, str]) -> None:
    for name in dict.fromkeys([*fingerprint, *there]):  # settings first, then what is read
        if there.get(name) != fingerprint.get(name):
            raise RunError(
                f"{folder} holds another build: its {name} is {there.get(name, 'not set')}, now it "
                f"is {fingerprint.get(name, 'not set')}.\n"
                "Name another folder with -o, or discard that build with --fresh."
            )


def _clear(folder: Path) -> None:
    for name in WRITTEN:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
