"""What tests share: a cache of their own, a family that is built once, drawn tables."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest
import tiny
import torch
from numba import set_num_threads

from neurontab.building import build
from neurontab.config import resolve
from neurontab.files import move_whole
from neurontab.run import Run
from neurontab.tables.table import Table

Built = Callable[..., Run]

if "PYTEST_XDIST_WORKER" in os.environ:  # As many tests at once as cores: one thread for each.
    torch.set_num_threads(1)
    set_num_threads(1)
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


@pytest.fixture
def built(tmp_path: Path) -> Built:
    """Builds a run from models in memory, by name."""

    def run(text: Path, *, fresh: bool = False, matching: object = None, **models: object) -> Run:
        folders = {name: tiny.save(made, tmp_path / name) for name, made in models.items()}
        settings = resolve(
            models=[f"{name}={folder}" for name, folder in folders.items()],
            corpus=[str(text)],
            tokens="all",
            matching=matching,
        )
        return build(settings, tmp_path / "run", fresh=fresh)

    return run


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
