"""What a finished run says of itself: `manifest.json`, replaced last."""

import dataclasses
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from neurontab.errors import RunError
from neurontab.files import sha256_of, write_text
from neurontab.lock import STATE
from neurontab.tables.store import SCHEMA_VERSION, parts

NAME = "manifest.json"
CONFIG = "config.toml"  # what a build was asked to do
BUILD = Path(STATE, "build")  # a run as far as it is built
BESIDE_TABLES = ("corpus", "activations")
PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]*")  # a model, or two of them
Value = float | int | bool | str


@dataclass(frozen=True)
class Part:
    """One file of a table."""

    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class TokenFile:
    """What was read: sequences of `context` tokens, of which so many positions count."""

    sha256: str
    sequences: int
    context: int
    counted: int


@dataclass(frozen=True)
class Derivation:
    """How a derived table was computed: its definition, and thresholds not at default."""

    version: int
    sha256: str  # of the module's file
    thresholds: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Matched:
    """How neurons were matched, and how it is known that nothing better was missed.

    `certificates` counts rows, one a neuron and other model, by the certificate of its matches;
    `further` rows of them were not settled by the first pass for exact values.
    """

    mode: str
    sketch_rows: int  # 0 without sketches
    failure: float  # probability that anything in the matches is wrong, over the sketches' signs
    certificates: dict[str, int]
    further: int
    precision: str = "float32"  # of products
    sketch_precision: str | None = None  # of products of sketches
    rounding_error: float | None = None  # of correlations, at most, of two layers over one batch


@dataclass(frozen=True)
class Manifest:
    """Everything needed to trust a run, and to build it again; `stages` took so many seconds."""

    run_id: str
    created: str
    command: list[str]
    versions: dict[str, str]
    config: dict[str, Any]
    fingerprint: dict[str, str]
    models: list[dict[str, str | int | bool | None]]
    tokenizer: str
    corpus: TokenFile
    masked_ids: list[int]
    dtypes: dict[str, str]
    device: str
    stages: dict[str, float]
    tables: dict[str, dict[str, Part]]
    files: dict[str, str]  # other files of the run, with their sha256
    queries: dict[str, Derivation]
    queries_folder: str | None = None
    matched: Matched | None = None  # None: by a version that did not tell
    schema_version: int = SCHEMA_VERSION

    def listed(self) -> set[str]:
        """The files of the run beside manifest and config, by their path in it."""
        parts = ((name, part) for name, known in self.tables.items() for part in known)
        return {f"tables/{name}/{part}.parquet" for name, part in parts} | set(self.files)

    def write(self, folder: Path) -> None:
        """Puts the manifest in its place. Raises FileError when it cannot be written."""
        write_text(folder / NAME, json.dumps(dataclasses.asdict(self), indent=2) + "\n")


def read(folder: Path) -> Manifest:
    """The manifest of a finished run.

    Raises RunError for a folder that is none, is unfinished, damaged, or newer than this version.
    """
    path = folder / NAME
    if not path.is_file():
        raise RunError(_why_not(folder))
    try:
        found = json.loads(path.read_text("utf-8"))
        version = found["schema_version"]
        if version > SCHEMA_VERSION:
            raise RunError(
                f"{folder} has schema version {version}; this neurontab reads up to "
                f"{SCHEMA_VERSION}.\nUpgrade neurontab."
            )
        manifest = TypeAdapter(Manifest).validate_python(found)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunError(
            f"{path} is damaged, or of something else than a run: {_said(error)}\n"
            "Build it again in another folder, or remove this one before."
        ) from error
    strange = [name for name in (*manifest.tables, *manifest.queries) if not name.isidentifier()]
    if strange:
        raise RunError(f"{path} names a table {strange[0]!r}, which cannot be one.")
    for file in manifest.files:
        first, *rest = Path(file).parts or ("",)
        if ".." in rest or not rest or first not in BESIDE_TABLES:
            raise RunError(f"{path} names a file {file!r}, which cannot be one.")
    for part in (part for known in manifest.tables.values() for part in known):
        if not PART.fullmatch(part):
            raise RunError(f"{path} names a part {part!r}, which cannot be one.")
    return manifest


def describe_tables(folder: Path, names: Iterable[str]) -> dict[str, dict[str, Part]]:
    """Rows, bytes and digest of every part of these tables, as far as `folder/tables` has them."""
    found = {name: parts(folder / "tables", name) for name in sorted(names)}
    return {name: {p.stem: _part(p) for p in paths} for name, paths in found.items() if paths}


def describe_files(folder: Path) -> dict[str, str]:
    """Digests of the files that a build writes beside tables, by their path in the run."""
    found = sorted(path for name in BESIDE_TABLES for path in (folder / name).rglob("*.*"))
    return {
        path.relative_to(folder).as_posix(): sha256_of(path) for path in found if path.is_file()
    }


def _part(path: Path) -> Part:
    import pyarrow.parquet as pq

    rows = pq.read_metadata(path).num_rows
    return Part(rows, path.stat().st_size, sha256_of(path))


def _said(error: Exception) -> str:
    """An error without pointers to a page elsewhere."""
    lines = str(error).splitlines()
    return "\n".join(line for line in lines if "errors.pydantic.dev" not in line)


def _why_not(folder: Path) -> str:
    config = folder / BUILD / CONFIG
    if config.is_file():
        return f"{folder} is not finished.\nGo on with: neurontab build {config} -o {folder}"
    if folder.is_dir():
        return f"{folder} is not a run: it has no {NAME}."
    return f"No run {folder}.\nBuild one with: neurontab build"
