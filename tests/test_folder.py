"""Whose a folder is: builds write in their own, and leave what is somebody else's."""

import shutil
from pathlib import Path

import pytest
import tiny
from conftest import Built, snapshot, stopped_after
from filelock import FileLock

from neurontab.building import build
from neurontab.config import resolve
from neurontab.errors import ModelError, RunError
from neurontab.run import Run


def test_another_build_s_folder_is_refused_and_left_alone(built: Built, text: Path) -> None:
    run = built(text, a=tiny.model(0), b=tiny.model(1))
    before = snapshot(run.folder)
    with pytest.raises(RunError, match=r"another build: its model b is .*\n.*--fresh"):
        built(text, a=tiny.model(0), b=tiny.model(2))
    with pytest.raises(RunError, match="its matching is"):
        built(text, a=tiny.model(0), b=tiny.model(1), matching={"k": 2})
    assert snapshot(run.folder) == before
    fresh = built(text, fresh=True, a=tiny.model(0), b=tiny.model(1), matching={"k": 2})
    assert fresh.scan("matches").collect()["rank"].max() == 2


def test_a_folder_that_is_no_run_is_never_touched(tmp_path: Path, text: Path) -> None:
    mine = tmp_path / "thesis"
    (mine / "tables").mkdir(parents=True)
    (mine / "tables" / "results.csv").write_text("years of work")
    (mine / "chapter.tex").write_text("once")
    folder = tiny.save(tiny.model(0), tmp_path / "a")
    settings = resolve(models=[str(folder)], corpus=[str(text)], tokens="all")
    before = snapshot(mine)
    for fresh in (False, True):
        with pytest.raises(RunError, match=r"is not a run: it holds chapter.tex"):
            build(settings, mine, fresh=fresh)
    assert snapshot(mine) == before
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="is a file"):
        build(settings, tmp_path / "file")


def test_a_build_under_way_keeps_others_out(tmp_path: Path, text: Path) -> None:
    folder = tiny.save(tiny.model(0), tmp_path / "a")
    settings = resolve(models=[str(folder)], corpus=[str(text)], tokens="all")
    (tmp_path / "run" / "state").mkdir(parents=True)
    with (
        FileLock(tmp_path / "run" / "state" / "lock"),
        pytest.raises(RunError, match="Another process is at work"),
    ):
        build(settings, tmp_path / "run")
    assert build(settings, tmp_path / "run").tables()


def test_a_fresh_build_that_is_refused_leaves_the_old_run(
    built: Built, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = built(text, a=tiny.model(0))
    before = snapshot(run.folder)
    monkeypatch.setattr("neurontab.measure.plan.free_memory", lambda device: 10**6)
    with pytest.raises(RunError, match="of memory"):
        built(text, fresh=True, a=tiny.model(1))
    assert snapshot(run.folder) == before


def test_a_folder_of_ones_own_is_not_taken_for_a_run(tmp_path: Path, text: Path) -> None:
    """Folders called as ours are, a config of another program: neither is touched."""
    folder = tiny.save(tiny.model(0), tmp_path / "a")
    settings = resolve(models=[str(folder)], corpus=[str(text)], tokens="all")
    project = tmp_path / "project"
    (project / "corpus").mkdir(parents=True)
    shutil.copy(text, project / "corpus" / "mine.txt")
    for content in (None, "[tool]\nx = 1\n", "fingerprint = 'mine'\n"):
        if content is not None:
            (project / "config.toml").write_text(content)
        before = snapshot(project)
        for fresh in (False, True):
            with pytest.raises(RunError, match="is not a run"):
                build(settings, project, fresh=fresh)
        assert snapshot(project) == before


def test_text_that_lies_in_the_run_s_folder_is_not_overwritten(built: Built, text: Path) -> None:
    run = built(text, a=tiny.model(0))
    mine = tiny.write_text(run.folder / "corpus" / "mine.txt")
    with pytest.raises(RunError, match=r"lies in .*run, which is to be written"):
        built(mine, fresh=True, a=tiny.model(0))
    assert mine.is_file()


def broken() -> tiny.Model:
    """A model whose activations are no numbers, as streaming finds out."""

    def poison(made: tiny.Model) -> None:
        made.transformer.wte.weight[40] = float("nan")

    return tiny.copied(tiny.model(0), poison)


def test_a_fresh_build_that_fails_while_streaming_leaves_the_old_run(
    built: Built, text: Path
) -> None:
    run = built(text, a=tiny.model(0))
    before = snapshot(run.folder)
    with pytest.raises(ModelError, match="is nan at token"):
        built(text, fresh=True, a=broken())
    assert snapshot(run.folder) == before
    assert Run(run.folder).neurons.collect()["kurt"].null_count() == 0


def test_a_fresh_build_removes_what_builds_wrote_and_nothing_else(built: Built, text: Path) -> None:
    run = built(text, a=tiny.model(0), b=tiny.model(1))
    mine = [run.folder / "tables" / "notes.txt", run.folder / "corpus" / "README"]
    mine += [run.folder / "tables" / "mine" / "all.parquet"]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    again = built(text, fresh=True, a=tiny.model(0))
    assert [path.read_text() for path in mine] == ["mine"] * 3
    assert "mine" not in again.manifest.tables
    assert not (again.folder / "tables" / "matches").exists()
    assert not (again.folder / "state").exists()


def test_an_interrupted_fresh_build_goes_on_and_a_failed_one_brings_the_old_run_back(
    built: Built, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = built(text, a=tiny.model(0))
    before = snapshot(run.folder)

    def break_off(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("neurontab.building.write_weights", break_off)
        with pytest.raises(KeyboardInterrupt):
            built(text, fresh=True, a=tiny.model(1))
    with pytest.raises(ModelError, match="is nan at token"):
        built(text, fresh=True, a=broken())
    assert snapshot(run.folder) == before


@pytest.mark.parametrize("moves", [0, 1, 5, 12])
def test_a_build_that_is_killed_while_it_sets_the_old_one_aside_can_be_begun_again(
    built: Built, text: Path, moves: int
) -> None:
    run = built(text, a=tiny.model(0))
    with stopped_after(moves), pytest.raises(KeyboardInterrupt):
        built(text, fresh=True, a=tiny.model(1))
    again = built(text, fresh=True, a=tiny.model(1))
    assert again.manifest.run_id != run.manifest.run_id
    assert not (again.folder / "state").exists()


def test_tables_may_lie_elsewhere(built: Built, text: Path, tmp_path: Path) -> None:
    run = built(text, a=tiny.model(0))
    (run.folder / "tables").rename(tmp_path / "large_disk")
    (run.folder / "tables").symlink_to(tmp_path / "large_disk")
    again = built(text, fresh=True, a=tiny.model(1))
    assert (again.folder / "tables").is_symlink()
    assert len(again.neurons.collect()) == 48


def test_a_refused_build_removes_no_folder_that_was_there(
    tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny.save(broken(), tmp_path / "a")
    settings = resolve(models=[str(folder)], corpus=[str(text)], tokens="all")
    mine = tmp_path / "empty" / "mine"
    mine.mkdir(parents=True)
    monkeypatch.chdir(mine)
    for place in (mine, Path(), mine / "runs" / "x"):
        with pytest.raises(ModelError, match="is nan at token"):
            build(settings, place)
    assert mine.is_dir()
    assert not list(mine.iterdir())
