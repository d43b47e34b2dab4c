"""What tests share: a cache of their own, a family that is built once, drawn tables."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest
import tiny
from killed import settings_of

from neurontab.building import build
from neurontab.config import BuildConfig, resolve
from neurontab.files import move_whole, sha256_of
from neurontab.manifest import Manifest
from neurontab.measure.processes import share_cores
from neurontab.run import Run
from neurontab.tables.table import Table

Built = Callable[..., Run]

os.environ["POLARS_MAX_THREADS"] = "1"  # of workers and all that tests begin: here it is too late
if "PYTEST_XDIST_WORKER" in os.environ:  # As many tests at once as cores: one thread for each.
    share_cores(len(os.sched_getaffinity(0)))
    os.environ["OMP_NUM_THREADS"] = "1"  # of processes that tests begin


# They take a minute or more: begun last, they would leave the other cores without work.
LONGEST = {"test_survival", "test_processes", "test_memory", "test_zoo", "test_labelling"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest tests first."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    patch.setenv("HF_HUB_CACHE", str(tmp_path_factory.mktemp("hub")))


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """A small corpus of random words."""
    return tiny.write_text(tmp_path / "text" / "words.txt")


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of all tests, and runs with which tests begin, by digests of what they are made of."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def built(tmp_path: Path, kept: Path) -> Built:
    """Builds a run from models in memory, by name; they are also saved beside it.

    The first of a test is a copy where another test has begun with the same.
    """

    def run(text: Path, *, fresh: bool = False, matching: object = None, **models: object) -> Run:
        saved = [tiny.save(made, tmp_path / name) for name, made in models.items()]
        settings = resolve(
            models=[str(_copied(each, kept / _digest_of(each) / each.name)) for each in saved],
            corpus=[str(text)],
            tokens="all",
            matching=matching,
        )
        folder = tmp_path / "run"
        if folder.exists():
            return build(settings, folder, fresh=fresh)
        about = "".join((*settings.models, sha256_of(text), repr(matching)))
        first = kept / hashlib.sha256(about.encode()).hexdigest()
        if not (first / "manifest.json").exists():
            build(settings, first)
        return Run(_copied(first, folder))

    return run


def _copied(folder: Path, place: Path) -> Path:
    """The place of a copy, which may be there already."""
    if not place.exists():
        shutil.copytree(folder, place)
    return place


def _digest_of(folder: Path) -> str:
    return sha256_of(*sorted(folder.iterdir()))


class Undisturbed(NamedTuple):
    """A build of two tiny models that keeps states after every batch, and what came of it."""

    settings: BuildConfig
    manifest: Manifest


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Built once, without anything happening to it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    settings = settings_of(folder, tiny.write_text(folder / "words.txt"))
    return Undisturbed(settings, build(settings, folder / "run").manifest)


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@contextmanager
def stopped_after(moves: int) -> Iterator[None]:
    """Stops as Ctrl-C does when so many files have been moved."""
    done = 0

    def some(source: Path, place: Path) -> None:
        nonlocal done
        if done == moves:
            raise KeyboardInterrupt
        done += 1
        move_whole(source, place)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("neurontab.commit.move_whole", some)
        yield


@pytest.fixture
def own(family: Run, tmp_path: Path) -> Run:
    """A copy of the family's run that a test may change."""
    shutil.copytree(family.folder, tmp_path / "own")
    return Run(tmp_path / "own")


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of three tiny models, built once; leave it as it is."""
    folder = tmp_path_factory.mktemp("family")
    folders = [tiny.save(tiny.model(seed), folder / f"seed{seed}") for seed in range(3)]
    words = tiny.write_text(folder / "words.txt")
    settings = resolve(models=list(map(str, folders)), corpus=[str(words)], tokens="all")
    return build(settings, folder / "run")


@pytest.fixture
def drawn() -> Callable[[Table, str], pl.LazyFrame]:
    """A table drawn as text: names in the first line, `-` for null, `1,2` for a list.

    Other columns are filled in.
    """

    def frame(table: Table, text: str) -> pl.LazyFrame:
        names, *rows = [line.split() for line in text.strip().splitlines()]
        columns = dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else {}
        found = pl.DataFrame(columns, schema=dict.fromkeys(names, pl.String)).lazy()
        return found.with_columns(pl.all().replace("-", None)).select(
            (_typed if column.name in names else _filler)(column.dtype, column.name)
            for column in table.columns
        )

    return frame


def _typed(dtype: object, name: str) -> pl.Expr:
    if dtype == pl.Boolean:
        return (pl.col(name) == "true").alias(name)
    if isinstance(dtype, pl.List):
        return pl.col(name).str.split(",").cast(dtype)
    return pl.col(name).cast(dtype)  # type: ignore[arg-type]


def _filler(dtype: object, name: str) -> pl.Expr:
    value = {pl.String: "", pl.Boolean: False, pl.Binary: b""}.get(dtype, 0)  # type: ignore[call-overload]
    return pl.lit(value).cast(dtype).alias(name)  # type: ignore[arg-type]
