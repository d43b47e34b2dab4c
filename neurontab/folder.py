"""A run's folder while it is built: whose it is, and which build is in it or under way.

A build is made below `state/` and put in place when it is done, so that a folder holds a finished
run, or none, at any time.
"""

import hashlib
import json
import shutil
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tomli_w

from neurontab import manifest
from neurontab.commit import settle_held
from neurontab.config import BuildConfig
from neurontab.errors import RunError
from neurontab.files import sync, write_text
from neurontab.lock import LOCK, STATE, locked
from neurontab.manifest import BUILD, CONFIG
from neurontab.measure.sources import parse_source

CHECKPOINTS = Path(STATE, "checkpoints")
STATE_VERSION = 2  # raised with whatever changes what an unfinished build keeps, or what it means
OURS = f"{version('neurontab')}, states {STATE_VERSION}"
ELSEWHERE = (
    "models",
    "corpus",
    "labels",
    "checkpoint_seconds",
    "memory",
)  # settings that decide no table


@dataclass(frozen=True)
class Claim:
    """A folder held for one build."""

    finished: bool  # whether the same build is already done there
    plan: Mapping[str, Any]  # that of the same build, under way there; empty without one
    refuse_if_gone: Callable[[], None]  # RunError when the folder has been taken away meanwhile


@contextmanager
def claimed(folder: Path, fingerprint: Mapping[str, str], *, fresh: bool) -> Iterator[Claim]:
    """Holds the folder for one build.

    Raises RunError when the folder is not a run, is being built in, its manifest cannot be read,
    or it holds another build, or one begun by another version, and is not to be `fresh`.
    """
    _refuse_foreign(folder)
    with locked(folder) as refuse_if_gone:
        settle_held(folder)
        _refuse_unlisted(folder)
        finished, begun = _finished(folder), under_way(folder)
        if not fresh:
            if finished is None:
                _refuse_other_version(folder, begun)
            _refuse_other(folder, begun.fingerprint if finished is None else finished, fingerprint)
        done = finished == fingerprint and not fresh
        if not (done or begun.is_of(fingerprint)):
            discard(folder)
            begun = NONE
        yield Claim(done, begun.plan, refuse_if_gone)


@dataclass(frozen=True)
class UnderWay:
    """The unfinished build in a folder."""

    fingerprint: dict[str, str] | None  # None without such a build
    plan: Mapping[str, Any]
    version: str  # of neurontab that began it, and of its states

    def is_of(self, fingerprint: Mapping[str, str]) -> bool:
        """Whether it is this build, begun by this version, and can be gone on with."""
        return (self.fingerprint, self.version) == (fingerprint, OURS)


NONE = UnderWay(None, {}, "")


def under_way(folder: Path) -> UnderWay:
    """What `begin` has written; `NONE` where there is nothing, or it is no longer whole."""
    try:
        found = tomllib.loads((folder / BUILD / CONFIG).read_text("utf-8"))
        fingerprint = {str(name): str(value) for name, value in found["fingerprint"].items()}
        return UnderWay(
            fingerprint, dict(found["plan"]), str(found.get("neurontab", "of another version"))
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return NONE


def begin(folder: Path, settings: dict[str, Any]) -> Path:
    """The folder in which a claimed run is built; what an interrupted build left is still there.

    Raises FileError when its config cannot be written.
    """
    build = folder / BUILD
    for part in build.rglob(".*.part"):  # what a kill left half written
        part.unlink()
    (folder / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    write_text(build / CONFIG, tomli_w.dumps(settings))
    return build


def discard(folder: Path) -> None:
    """Removes what an unfinished build has made; its config first, so that none goes on with it."""
    if (folder / BUILD).exists():
        (folder / BUILD / CONFIG).unlink(missing_ok=True)
        sync(folder / BUILD)
    for name in (CHECKPOINTS, BUILD):
        if (folder / name).exists():
            shutil.rmtree(folder / name)


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
    """Raises RunError when models, text or labels lie in the folder that is to be written.

    Also when that folder lies in one that is read as text.
    """
    models = (parse_source(spec).source for spec in config.models)
    read = [*models, *config.corpus, *config.labels]
    for place in map(Path, read):
        if place.exists() and place.resolve().is_relative_to(folder.resolve()):
            raise RunError(
                f"{place} lies in {folder}, which is to be written.\nName another with -o."
            )
    for place in map(Path, config.corpus):
        if place.is_dir() and folder.resolve().is_relative_to(place.resolve()):
            raise RunError(
                f"{folder} lies in {place}, all of which is read as text.\n"
                "Name a folder elsewhere with -o."
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


def _refuse_unlisted(folder: Path) -> None:
    """Raises RunError where no manifest tells which of the files below our names are ours."""
    names = ("tables", *manifest.BESIDE_TABLES, CONFIG)
    taken = [name for name in names if (folder / name).exists()]
    if taken and not (folder / manifest.NAME).exists():
        raise RunError(
            f"{folder} has {', '.join(taken)}, but no {manifest.NAME} that lists what is a run's.\n"
            "Move that away, or name another folder with -o."
        )


def _finished(folder: Path) -> dict[str, str] | None:
    """The fingerprint of the run in a folder; None when there is none.

    Raises RunError for a manifest that cannot be read, or is of something else.
    """
    there = (folder / manifest.NAME).exists()
    return manifest.read(folder).fingerprint if there else None


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


def _refuse_other_version(folder: Path, begun: UnderWay) -> None:
    """Raises RunError where another version's state is: its numbers may mean something else."""
    if begun.fingerprint is not None and begun.version != OURS:
        raise RunError(
            f"{folder} holds a build begun by neurontab {begun.version}; this is {OURS}, "
            "which cannot go on with it.\n"
            "End it with that version, name another folder with -o, or discard it with --fresh."
        )
