"""A run's folder while it is built: whose it is, which build is in it, and `config.toml`."""

import hashlib
import json
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import tomli_w

from neurontab import manifest
from neurontab.commit import settle_held
from neurontab.config import BuildConfig
from neurontab.errors import FileError, NeurontabError, RunError
from neurontab.files import write_text
from neurontab.lock import STATE, locked
from neurontab.measure.corpus import FILES
from neurontab.tables import store
from neurontab.tables.schemas import MEASURED

CONFIG = "config.toml"
SET_ASIDE = Path(STATE, "discarded")


@contextmanager
def claimed(folder: Path, fingerprint: Mapping[str, str], *, fresh: bool) -> Iterator[bool]:
    """Holds the folder for one build; tells whether the same build is already finished there.

    Raises RunError when the folder is not a run, holds another build and is not to be `fresh`, or
    is being built in.
    """
    there = _fingerprint_in(folder)
    with locked(folder):
        settle_held(folder)
        if there is not None and not fresh:
            _refuse_other(folder, there, fingerprint)
        yield (folder / manifest.NAME).is_file() and not fresh


@contextmanager
def begun(folder: Path, settings: dict[str, Any]) -> Iterator[None]:
    """Sets aside what another build left, writes `config.toml`, then lets the build run.

    A build that ends in something the user can put right leaves the folder as it was; one that is
    interrupted leaves what it was asked to do. What was set aside goes when a build is done.
    """
    _set_aside(folder)
    try:
        write_text(folder / CONFIG, tomli_w.dumps(settings))
        yield
    except NeurontabError:
        _remove(written_files(folder), folder)
        _restore(folder)
        raise
    shutil.rmtree(folder / SET_ASIDE, ignore_errors=True)


def written_files(folder: Path) -> list[Path]:
    """The files that builds write in a run's folder, the config last; others are the user's."""
    parts = {path for name in MEASURED for path in store.parts(folder / "tables", name)}
    with suppress(RunError):
        for name, known in manifest.read(folder).tables.items():
            parts |= {folder / "tables" / name / f"{part}.parquet" for part in known}
    places = [
        folder / manifest.NAME,
        *sorted(parts),
        *(folder / "corpus" / n for n in FILES),
        folder / CONFIG,
    ]
    return [path for path in places if path.is_file()]


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


def _set_aside(folder: Path) -> None:
    """Moves the last build's files below `state/`; those of an attempt after it are removed.

    The config moves last and so tells that all are there.
    """
    if (folder / SET_ASIDE / CONFIG).is_file():
        _remove(written_files(folder), folder)
    else:
        _move(written_files(folder), folder, folder / SET_ASIDE)


def _restore(folder: Path) -> None:
    aside = folder / SET_ASIDE
    if aside.is_dir():
        found = sorted(path for path in aside.rglob("*") if path.is_file())
        _move(found, aside, folder)
        shutil.rmtree(aside)


def _move(paths: list[Path], start: Path, end: Path) -> None:
    """Moves files from one folder to the same places in another; folders left empty go."""
    try:
        for path in paths:
            place = end / path.relative_to(start)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, place)
            _remove_empty(path.parent, start)
    except OSError as error:
        raise FileError(f"{end} cannot be written: {error.strerror or error}.") from error


def _remove(paths: list[Path], folder: Path) -> None:
    for path in paths:
        path.unlink()
        _remove_empty(path.parent, folder)


def _remove_empty(inner: Path, folder: Path) -> None:
    """Removes a folder and those around it up to the run's, as far as they are empty."""
    while inner != folder and not inner.is_symlink() and not any(inner.iterdir()):
        inner.rmdir()
        inner = inner.parent
