"""Files that are replaced as one, whenever the replacing is broken off."""

import shutil
from pathlib import Path

import pytest
import tiny
from conftest import Built, stopped_after

import neurontab
from neurontab.derive import rederive
from neurontab.errors import QueryError, RunError
from neurontab.files import sha256_of
from neurontab.run import Run
from neurontab.tables.query import discover

LOW = {"universality": {"threshold": -1.0}}
MOVES = len(discover()) + 1  # of derived tables, and of the manifest


def assert_whole(run: Run) -> None:
    """Every file is the one that the manifest describes, and no other is left."""
    for name in run.manifest.tables:
        run.files.check_contents(name)
    assert [path.name for path in (run.folder / "state").iterdir()] == ["lock"]


@pytest.mark.parametrize("moves", [0, MOVES // 2, MOVES])
def test_a_derivation_broken_off_while_files_are_put_in_place_is_finished_on_opening(
    own: Run, moves: int
) -> None:
    with stopped_after(moves):
        if moves < MOVES:
            with pytest.raises(KeyboardInterrupt):
                rederive(own, LOW)
        else:
            rederive(own, LOW)
    opened = neurontab.open(own.folder)
    assert opened.manifest.queries["universality"].thresholds == {"threshold": -1.0}
    assert opened.neurons.collect()["is_universal"].all()
    assert_whole(opened)


@pytest.fixture(scope="module")
def whole(family: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of which all derived tables are whole beside it, and none is in place."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    shutil.copytree(family.folder, folder)
    with stopped_after(0), pytest.raises(KeyboardInterrupt):
        rederive(Run(folder), LOW)
    return folder


@pytest.mark.parametrize("moves", range(MOVES))
def test_an_opening_broken_off_while_files_are_put_in_place_is_finished_by_the_next(
    whole: Path, tmp_path: Path, moves: int
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    with stopped_after(moves), pytest.raises(KeyboardInterrupt):
        neurontab.open(folder)
    opened = neurontab.open(folder)
    assert opened.manifest.queries["universality"].thresholds == {"threshold": -1.0}
    assert opened.neurons.collect()["is_universal"].all()
    assert_whole(opened)


def test_a_derivation_broken_off_before_leaves_everything_as_it_was(
    own: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sha256_of(own.folder / "manifest.json")

    def break_off(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("neurontab.tables.parquet.write_part", break_off)
        with pytest.raises(KeyboardInterrupt):
            rederive(own, LOW)
    with pytest.raises(QueryError, match="has no threshold 'treshold'"):
        rederive(own, {"universality": {"treshold": 1.0}})
    assert sha256_of(own.folder / "manifest.json") == before
    assert_whole(own)
    assert_whole(rederive(own, LOW))


def test_a_table_that_the_run_does_not_list_is_not_derived_from(
    built: Built, text: Path, family: Run
) -> None:
    run = built(text, a=tiny.model(0))
    (run.folder / "tables" / "matches").mkdir()
    mine = run.folder / "tables" / "matches" / "mine.parquet"
    shutil.copy(next((family.folder / "tables" / "matches").iterdir()), mine)
    before = run.scan("universality").collect()
    assert rederive(run, {}).scan("universality").collect().equals(before)


def test_the_newest_run_may_still_have_to_be_put_in_place(
    own: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(own.folder.parent)
    (own.folder.parent / "runs").mkdir()
    own.folder.rename(own.folder.parent / "runs" / "new")
    with stopped_after(0), pytest.raises(KeyboardInterrupt):
        rederive(Run(Path("runs/new")), LOW)
    Path("runs/new/manifest.json").unlink()
    assert neurontab.open().folder == Path("runs/new")


def test_a_run_in_the_middle_of_being_replaced_is_not_read(own: Run) -> None:
    from filelock import FileLock

    (own.folder / "state" / "whole").mkdir(parents=True)
    with (
        FileLock(own.folder / "state" / "lock"),
        pytest.raises(RunError, match="Another process is at work"),
    ):
        neurontab.open(own.folder)
    assert neurontab.open(own.folder).folder == own.folder
