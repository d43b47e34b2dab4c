"""A run's folder while it is built: whose it is, and which build is in it or under way.

A build is made below `state/` and put in place when it is done, so that a folder holds a finished
run, or none, at any time.
"""

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
from neurontab.commit import settle_held
from neurontab.config import BuildConfig
from neurontab.errors import RunError
from neurontab.files import write_text
from neurontab.lock import LOCK, STATE, locked
from neurontab.manifest import BUILD, CONFIG
from neurontab.measure.sources import parse_source

CHECKPOINTS = Path(STATE, "checkpoints")
ELSEWHERE = ("models", "corpus", "checkpoint_seconds")  # settings that decide no table


@contextmanager
def claimed(folder: Path, fingerprint: Mapping[str, str], *, fresh: bool) -> Iterator[bool]:
    """Holds the folder for one build; tells whether the same build is already finished there.

    Raises RunError when the folder is not a run, holds another build and is not to be `fresh`, or
    is being built in.
    """
    _refuse_foreign(folder)
    with locked(folder):
        settle_held(folder)
        finished, under_way = _finished(folder), _under_way(folder)
        if not fresh:
            _refuse_other(folder, under_way if finished is None else finished, fingerprint)
        if under_way != fingerprint:
            discard(folder)
        yield finished == fingerprint and not fresh


def begin(folder: Path, settings: dict[str, Any]) -> Path:
    """The folder in which a claimed run is built; what an interrupted build left is still there."""
    build = folder / BUILD
    (folder / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    write_text(build / CONFIG, tomli_w.dumps(settings))
    return build


def discard(folder: Path) -> None:
    """Removes what an unfinished build has made."""
    for name in (BUILD, CHECKPOINTS):
        shutil.rmtree(folder / name, ignore_errors=True)


def fingerprint_of(config: BuildConfig, **identities: str) -> dict[str, str]:
    """What decides a build's tables, one short text each: settings, and digests of what is read.

    Where models and text lie does not count, only what they hold.
    """
    kept = config.model_dump(mode="json", exclude=set(ELSEWHERE))
    return {name: json.dumps(value) for name, value in kept.items()} | identities


def run_id_of(fingerprint: Mapping[str, str]) -> str:
    """A short name for a fingerprint."""
    return hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()[:12]


def refuse_if_read_from(folder: Path, config: BuildConfig) -> None:
    """Raises RunError when models or text lie in the folder that is to be written."""
    read = [*(parse_source(spec).source for spec in config.models), *config.corpus]
    for place in map(Path, read):
        if place.exists() and place.resolve().is_relative_to(folder.resolve()):
            raise RunError(
                f"{place} lies in {folder}, which is to be written.\nName another with -o."
            )


def _refuse_foreign(folder: Path) -> None:
    """Raises RunError for a folder that holds anything and is not a run: it is never touched."""
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file.\nName a folder with -o.")
    held = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    begun = (folder / LOCK).is_file() or (held == [STATE] and not any((folder / STATE).iterdir()))
    if held and not begun and manifest.NAME not in held:
        raise RunError(
            f"{folder} is not a run: it holds {', '.join(held[:3])}.\nName a new folder with -o."
        )
    if manifest.NAME in held:
        _finished(folder)


def _finished(folder: Path) -> dict[str, str] | None:
    """The fingerprint of the run in a folder; None when there is none.

    Raises RunError for a manifest that is not ours.
    """
    path = folder / manifest.NAME
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text("utf-8"))["fingerprint"]
        return {str(name): str(value) for name, value in found.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(
            f"{path} is damaged, or of something else than a run: {error}\n"
            "Name another folder with -o."
        ) from error


def _under_way(folder: Path) -> dict[str, str] | None:
    """The fingerprint of the unfinished build in a folder; None when there is none."""
    try:
        found = tomllib.loads((folder / BUILD / CONFIG).read_text("utf-8"))["fingerprint"]
        return {str(name): str(value) for name, value in found.items()}
    except (OSError, ValueError, KeyError, AttributeError, RecursionError):
        return None


def _refuse_other(
    folder: Path, there: Mapping[str, str] | None, fingerprint: Mapping[str, str]
) -> None:
    for name in dict.fromkeys([*fingerprint, *(there or {})]):  # settings first, then what is read
        if there is not None and there.get(name) != fingerprint.get(name):
            raise RunError(
                f"{folder} holds another build: its {name} is {there.get(name, 'not set')}, now it "
                f"is {fingerprint.get(name, 'not set')}.\n"
                "Name another folder with -o, or discard that build with --fresh."
            )
