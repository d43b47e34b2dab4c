"""A build that is killed, stopped, or robbed of its disk goes on and ends with the same bytes."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from conftest import Undisturbed
from killed import STATES

from neurontab import suite
from neurontab.building import build
from neurontab.config import resolve
from neurontab.errors import FileError, RunError, StoppedError
from neurontab.files import size_of
from neurontab.folder import discard
from neurontab.measure.checkpoint import Checkpoints
from neurontab.prepare import prepare
from neurontab.progress import Silent
from neurontab.run import Run


def assert_same(run: Run, undisturbed: Undisturbed) -> None:
    """The same bytes of every table, and of every other file."""
    assert run.manifest.tables == undisturbed.manifest.tables
    assert run.manifest.files == undisturbed.manifest.files
    assert [path.name for path in (run.folder / "state").iterdir()] == ["lock"]


def test_a_build_survives_fifty_kills_at_random_instants(tmp_path: Path) -> None:
    """Two builds at a time, one in each mode."""
    script = str(Path(__file__).parent / "killed.py")
    killed = {}
    for mode in STATES:
        (tmp_path / mode).mkdir()
        command = [sys.executable, script, str(tmp_path / mode), "25", mode]
        pipe = subprocess.PIPE
        one_core = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
        killed[mode] = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=one_core)
    for mode, process in killed.items():
        said, errors = process.communicate()
        assert process.returncode == 0, errors
        *kills, last = said.splitlines()
        assert len(kills) == 25
        assert last.endswith("runs, the same bytes")
        assert {word for line in kills for word in line.split(":")[1].split()} >= set(STATES[mode])


@pytest.mark.parametrize("batches", [0, 5, 12])
def test_a_build_told_to_stop_finishes_its_batch_and_goes_on_later(
    tmp_path: Path, undisturbed: Undisturbed, batches: int
) -> None:
    left = batches

    def stop() -> bool:
        nonlocal left
        left -= 1
        return left < 0

    settings, folder = undisturbed.settings, tmp_path / "run"
    with pytest.raises(StoppedError, match=r"is kept.\nRun it again to go on") as stopped:
        build(settings, folder, stop=stop)
    assert stopped.value.exit_code == 75
    assert list((folder / "state" / "checkpoints").glob("*.state"))
    assert_same(build(settings, folder), undisturbed)


@pytest.mark.parametrize("harm", ["torn", "flipped", "gone", "empty"])
def test_a_state_that_is_damaged_is_not_believed(
    tmp_path: Path, undisturbed: Undisturbed, harm: str
) -> None:
    settings, folder = undisturbed.settings, tmp_path / "run"
    asked = iter([False] * 12 + [True])
    with pytest.raises(StoppedError):
        build(settings, folder, stop=lambda: next(asked))
    states = list((folder / "state" / "checkpoints").glob("*.state"))
    assert {path.name.rsplit(".", 2)[0] for path in states} == {"m0.done", "m1.survey"}
    for path in states:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        half = content[: len(content) // 2]
        harmed: dict[str, bytes] = {"flipped": bytes(content), "torn": bytes(half)}
        path.write_bytes(harmed.get(harm, b""))
        if harm == "gone":
            path.unlink()
    assert_same(build(settings, folder), undisturbed)


@pytest.mark.parametrize("harm", ["flipped", "gone"])
@pytest.mark.parametrize("name", ["tables/examples/m0.parquet", "activations/m0/post.0.arrow"])
def test_a_file_that_a_finished_model_has_lost_is_written_again(
    tmp_path: Path, undisturbed: Undisturbed, name: str, harm: str
) -> None:
    settings, folder = undisturbed.settings, tmp_path / "run"
    asked = iter([False] * 12 + [True])
    with pytest.raises(StoppedError):
        build(settings, folder, stop=lambda: next(asked))
    path = folder / "state" / "build" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    if harm == "gone":
        path.unlink()
    (path.parent / f".{path.name}.1.part").write_text("left by a kill in the middle of a write")
    assert_same(build(settings, folder), undisturbed)
    assert not list(folder.rglob("*.part"))


def test_a_state_that_cannot_be_read_is_as_good_as_none(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, seconds=0.0)
    checkpoints.save("m.survey", {"x": torch.arange(3)})
    (state,) = tmp_path.iterdir()
    state.unlink()
    state.mkdir()  # what reading answers with an error of the system's
    assert checkpoints.load("m.survey") is None


def test_what_an_interrupted_build_has_written_is_not_asked_for_again(
    tmp_path: Path, undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, folder = undisturbed.settings, tmp_path / "run"
    asked = iter([False] * 12 + [True])
    with pytest.raises(StoppedError):
        build(settings, folder, stop=lambda: next(asked))
    planned = prepare(settings, Silent()).plan.disk
    there = size_of(folder / "state" / "build")  # states of passes are no part of the plan
    assert 0 < there < planned
    usage = shutil.disk_usage(tmp_path)

    def free(room: int) -> None:
        monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=room))

    free(planned - there - 2**20)
    with pytest.raises(RunError, match="MiB on disk"):
        build(settings, folder)
    free(planned - there + 1)
    assert build(settings, folder).tables()


@pytest.mark.parametrize("removed", range(0, 20, 6))
def test_a_build_that_was_half_discarded_begins_anew(
    tmp_path: Path,
    undisturbed: Undisturbed,
    removed: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings, folder = undisturbed.settings, tmp_path / "run"
    asked = iter([False] * 12 + [True])
    with pytest.raises(StoppedError):
        build(settings, folder, stop=lambda: next(asked))
    left, unlink = removed, os.unlink

    def some(*path: Any, **options: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        unlink(*path, **options)

    with monkeypatch.context() as patch:
        patch.setattr("os.unlink", some)
        with pytest.raises(KeyboardInterrupt):
            discard(folder)
    assert_same(build(settings, folder), undisturbed)


@pytest.mark.parametrize("writes", [0, 20, 60])
def test_a_full_disk_stops_a_build_that_goes_on_when_there_is_room(
    tmp_path: Path,
    undisturbed: Undisturbed,
    writes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings, folder = undisturbed.settings, tmp_path / "run"
    synced = os.fsync
    left = writes

    def full(handle: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(28, "No space left on device")
        synced(handle)

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(FileError, match="No space left on device"):
            build(settings, folder)
    assert_same(build(settings, folder), undisturbed)


def test_a_stopped_process_says_so_and_exits_with_75(tmp_path: Path) -> None:
    words = ["build", "-m", str(suite.models()[0]), "--corpus", str(suite.CORPUS)]
    words += ["--tokens", "20k", "-o", str(tmp_path / "run")]
    command = [sys.executable, "-m", "neurontab.cli", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("activations"):
                process.send_signal(signal.SIGTERM)
                break
        said = process.stderr.read()
    assert process.returncode == 75
    assert said.splitlines() == [
        "StoppedError: Stopped; what was measured is kept.",
        "Run it again to go on.",
    ]


def test_nothing_is_asked_of_the_network(
    tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny.save(tiny.model(0), tmp_path / "a")
    settings = resolve(models=[str(model)], corpus=[str(text)], tokens="all")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    assert len(build(settings, tmp_path / "run").neurons.collect()) == 48
