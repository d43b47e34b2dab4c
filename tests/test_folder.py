"""Whose a folder is: builds write in their own, and leave what is somebody else's."""

import json
import re
import shutil
from pathlib import Path

import pytest
import tiny
from conftest import Built, snapshot, stopped_after
from filelock import FileLock

from neurontab.building import build
from neurontab.config import resolve
from neurontab.errors import FileError, ModelError, QueryError, RunError, StoppedError
from neurontab.files import move_whole
from neurontab.folder import OURS
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
    (mine / "state").mkdir()
    (mine / "state" / "of-the-art.tex").write_text("also called state")
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
    monkeypatch.setattr("neurontab.prepare.free_memory", lambda device: 10**6)
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


def test_a_fresh_build_removes_what_builds_wrote_and_nothing_else(built: Built, text: Path) -> None:
    run = built(text, a=tiny.model(0), b=tiny.model(1))
    mine = [run.folder / "tables" / "notes.txt", run.folder / "corpus" / "README"]
    mine += [run.folder / "tables" / name / "mine.parquet" for name in ("mine", "matches")]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    again = built(text, fresh=True, a=tiny.model(0))
    assert [path.read_text() for path in mine] == ["mine"] * 4
    assert "mine" not in again.manifest.tables
    assert [path.name for path in (again.folder / "tables" / "matches").iterdir()] == [
        "mine.parquet"
    ]
    assert not (again.folder / "tables" / "baselines").exists()


def test_an_interrupted_fresh_build_leaves_the_old_run_and_goes_on(
    built: Built, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = built(text, a=tiny.model(0))
    before = {name: each for name, each in snapshot(run.folder).items() if "state" not in name}

    def break_off(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("neurontab.measuring.write_weights", break_off)
        with pytest.raises(KeyboardInterrupt):
            built(text, fresh=True, a=tiny.model(1))
    now = {name: each for name, each in snapshot(run.folder).items() if "state" not in name}
    assert now == before
    assert Run(run.folder).manifest.run_id == run.manifest.run_id
    again = built(text, fresh=True, a=tiny.model(1))
    assert again.manifest.run_id != run.manifest.run_id
    assert [path.name for path in (again.folder / "state").iterdir()] == ["lock"]


@pytest.mark.parametrize("line", ['neurontab = "0.0.9, states 1"', ""])
def test_a_build_that_another_version_began_is_refused_until_fresh(
    built: Built, text: Path, tmp_path: Path, line: str
) -> None:
    settings = resolve(
        models=[f"a={tiny.save(tiny.model(0), tmp_path / 'a')}"], corpus=[str(text)], tokens="all"
    )
    folder = tmp_path / "run"
    with pytest.raises(StoppedError):
        build(settings, folder, stop=lambda: True)
    config = folder / "state" / "build" / "config.toml"
    ours = f'neurontab = "{OURS}"'
    assert config.read_text("utf-8").count(ours) == 1
    config.write_text(config.read_text("utf-8").replace(ours, line), "utf-8")
    before = snapshot(folder)
    begun = f"begun by neurontab {'0.0.9, states 1' if line else 'of another version'}; this is"
    for another in (settings, settings.model_copy(update={"seed": 5})):
        with pytest.raises(RunError, match=rf"{begun} {re.escape(OURS)}, .*\n.*--fresh"):
            build(another, folder)
    assert snapshot(folder) == before
    theirs = folder / "state" / "build" / "corpus" / "theirs"
    theirs.write_text("of another version")
    run = build(settings, folder, fresh=True)
    assert not list(folder.rglob("theirs"))
    with pytest.raises(StoppedError):
        build(another, folder, fresh=True, stop=lambda: True)
    config.write_text(config.read_text("utf-8").replace(ours, line), "utf-8")
    before = snapshot(folder)
    assert build(settings, folder).manifest == run.manifest  # done, whatever is begun beside it
    assert snapshot(folder) == before


@pytest.mark.parametrize("moves", [0, 1, 5, 20, 24])
def test_a_fresh_build_that_is_killed_while_it_is_put_in_place_is_finished_by_whoever_opens_it(
    built: Built, text: Path, moves: int
) -> None:
    old = built(text, a=tiny.model(0), b=tiny.model(2))
    with stopped_after(moves), pytest.raises(KeyboardInterrupt):
        built(text, fresh=True, a=tiny.model(1))
    run = Run(old.folder)
    assert run.manifest.run_id != old.manifest.run_id
    assert [model["model"] for model in run.manifest.models] == ["a"]
    for name in run.manifest.tables:
        run.files.check_contents(name)
    assert not (run.folder / "tables" / "matches").exists()
    assert built(text, a=tiny.model(1)).manifest == run.manifest


def test_a_full_disk_in_the_last_step_loses_nothing(
    built: Built, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = built(text, a=tiny.model(0))
    moved = []

    def full(source: Path, place: Path) -> None:
        moved.append(place)
        if len(moved) > 3:
            raise OSError(28, "No space left on device")
        move_whole(source, place)

    with monkeypatch.context() as patch:
        patch.setattr("neurontab.commit.move_whole", full)
        with pytest.raises(FileError, match=r"No space left on device.\nMake room"):
            built(text, fresh=True, a=tiny.model(1))
        with pytest.raises(RunError, match="cannot be finished: No space left"):
            Run(old.folder)
    assert Run(old.folder).manifest.run_id != old.manifest.run_id


def test_tables_may_lie_elsewhere(
    built: Built, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On another disk, where files cannot be renamed to."""
    run = built(text, a=tiny.model(0))
    (run.folder / "tables").rename(tmp_path / "large_disk")
    (run.folder / "tables").symlink_to(tmp_path / "large_disk")
    replace = Path.replace

    def across(source: Path, place: Path) -> Path:
        if "whole" in source.parts and "tables" in place.parts:
            raise OSError(18, "Invalid cross-device link")
        return replace(source, place)

    monkeypatch.setattr(Path, "replace", across)
    again = built(text, fresh=True, a=tiny.model(1))
    assert (again.folder / "tables").is_symlink()
    assert len(again.neurons.collect()) == 48


def test_a_query_of_ones_own_that_fails_costs_nothing_that_was_there(
    built: Built, text: Path, tmp_path: Path
) -> None:
    run = built(text, a=tiny.model(0))
    before = snapshot(run.folder)
    (tmp_path / "queries").mkdir()
    (tmp_path / "queries" / "mine.py").write_text(
        '"""What fails on real models."""\n'
        "import polars as pl\n"
        "from neurontab.tables.schemas import MODEL\n"
        "from neurontab.tables.table import Column\n"
        "VERSION = 1\nKEYS = (MODEL,)\nCOLUMNS = (Column('number', pl.Int64, 'A number.'),)\n"
        "def mine(models: pl.LazyFrame) -> pl.LazyFrame:\n"
        "    return models.select('model', number=pl.col('model').cast(pl.Int64))\n"
    )
    settings = resolve(models=[f"a={tmp_path / 'a'}"], corpus=[str(text)], tokens="all")
    with pytest.raises(QueryError, match="Query 'mine' cannot be computed over this run"):
        build(settings, run.folder, queries_folder=tmp_path / "queries")
    assert snapshot(run.folder) == before


def test_a_manifest_cannot_name_files_elsewhere(built: Built, text: Path, tmp_path: Path) -> None:
    run = built(text, a=tiny.model(0))
    victim = tmp_path / "precious.parquet"
    victim.write_text("mine")
    path = run.folder / "manifest.json"
    about = json.loads(path.read_text())
    part = about["tables"]["models"]["all"]
    for change in (
        {"tables": about["tables"] | {"models": {"../../../precious": part}}},
        {"files": {"../precious.parquet": ""}},
        {"files": {str(victim): ""}},
        {"files": {"": ""}},
        {"files": {"corpus": ""}},
    ):
        path.write_text(json.dumps(about | change))
        with pytest.raises(RunError, match="which cannot be one"):
            Run(run.folder)
        with pytest.raises(RunError, match="which cannot be one"):
            built(text, fresh=True, a=tiny.model(0))
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("harm", ["half", "newer", "gone", "folder"])
def test_what_no_readable_manifest_lists_is_never_replaced(
    built: Built, text: Path, harm: str
) -> None:
    run = built(text, a=tiny.model(0))
    path = run.folder / "manifest.json"
    about = path.read_text()
    path.unlink()
    if harm == "folder":
        path.mkdir()
    elif harm != "gone":
        newer = json.dumps(json.loads(about) | {"schema_version": 99})
        path.write_text({"half": about[:200], "newer": newer}[harm])
    before = snapshot(run.folder)
    said = {
        "half": r"is damaged.*\n.*another folder, or remove this one",
        "newer": r"schema version 99.*\nUpgrade",
        "gone": r"but no manifest.json that lists.*\nMove that away",
        "folder": "is not a run",
    }
    for fresh in (False, True):
        with pytest.raises(RunError, match=said[harm]):
            built(text, fresh=fresh, a=tiny.model(1))
    assert snapshot(run.folder) == before


@pytest.mark.parametrize("taken", ["tables/examples/b.parquet", "activations"])
def test_a_file_of_ones_own_in_the_place_of_a_new_one_is_not_overwritten(
    built: Built, text: Path, taken: str
) -> None:
    run = built(text, a=tiny.model(0))
    mine = run.folder / taken
    if mine.is_dir():
        shutil.rmtree(mine)
    mine.write_text("mine")
    with pytest.raises(RunError, match=f"{taken} is in the way.*\nMove it away"):
        built(text, fresh=True, b=tiny.model(1))
    assert mine.read_text() == "mine"
    assert Run(run.folder).manifest == run.manifest
    mine.unlink()
    again = built(text, fresh=True, b=tiny.model(1))
    assert [model["model"] for model in again.manifest.models] == ["b"]


def test_reading_a_folder_that_is_no_run_moves_nothing(tmp_path: Path) -> None:
    (tmp_path / "state" / "whole").mkdir(parents=True)
    (tmp_path / "state" / "whole" / "chapter.tex").write_text("mine")
    (tmp_path / "chapter.tex").write_text("also mine")
    before = snapshot(tmp_path)
    with pytest.raises(RunError, match="is not a run"):
        Run(tmp_path)
    assert snapshot(tmp_path) == before


def test_parts_of_a_run_may_lie_elsewhere_when_it_is_replaced(
    built: Built, text: Path, tmp_path: Path
) -> None:
    run = built(text, a=tiny.model(0))
    for name in ("corpus", "tables/examples", "activations/a"):
        elsewhere = tmp_path / "large_disk" / name
        elsewhere.parent.mkdir(parents=True, exist_ok=True)
        (run.folder / name).rename(elsewhere)
        (run.folder / name).symlink_to(elsewhere)
    again = built(text, fresh=True, a=tiny.model(1))
    for name in again.manifest.tables:
        again.files.check_contents(name)


def test_a_run_within_its_own_text_is_refused(tmp_path: Path) -> None:
    """The next build would read the tables of this one."""
    words = tiny.write_text(tmp_path / "texts" / "words.txt")
    folder = tiny.save(tiny.model(0), tmp_path / "a")
    settings = resolve(models=[str(folder)], corpus=[str(words.parent)], tokens="all")
    with pytest.raises(RunError, match=r"lies in .*texts, all of which is read as text"):
        build(settings, words.parent / "runs" / "x")
    assert [path.name for path in words.parent.iterdir()] == ["words.txt"]


def test_a_folder_taken_away_under_a_build_is_noticed(tmp_path: Path, text: Path) -> None:
    """Else it would write into what another build has begun there meanwhile."""
    folder = tiny.save(tiny.model(0), tmp_path / "a")
    settings = resolve(models=[str(folder)], corpus=[str(text)], tokens="all")
    other = resolve(models=[str(folder)], corpus=[str(text)], tokens=500)
    run = tmp_path / "run"
    asked = iter([True])

    def replaced() -> bool:
        if next(asked, None):
            shutil.rmtree(run)
            build(other, run)
        return False

    with pytest.raises(RunError, match=r"was removed while it was being written.\nRun it again"):
        build(settings, run, stop=replaced)
    assert Run(run).manifest.config["tokens"] == 500
    assert build(settings, run, fresh=True).manifest.config["tokens"] == "all"


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
    assert {str(path.relative_to(mine)) for path in mine.rglob("*")} <= {"state", "state/lock"}
