"""Several processes at one build: the tables of one, and a run that resumes when one dies."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import tiny
from polars.testing import assert_frame_equal

from neurontab.measure.processes import Processes
from neurontab.run import Run


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_shares_are_all_sequences_once(world: int) -> None:
    for sequences in (range(0), range(5), range(3, 20)):
        shares = [Processes(rank, world).share(sequences) for rank in range(world)]
        assert [number for share in shares for number in share] == list(sequences)
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """A build of two tiny models, without its folder."""
    models = [tiny.save(tiny.model(seed), tmp_path / f"m{seed}") for seed in range(2)]
    text = tiny.write_text(tmp_path / "words.txt", tokens=12_000)
    config = tmp_path / "family.toml"
    config.write_text(
        f"models = {[str(model) for model in models]}\ncorpus = ['{text}']\ntokens = 'all'\n"
        "batch_tokens = 512\nblock_tokens = 2048\nactivations = 64\ncheckpoint_seconds = 0\n"
    )
    return ["build", str(config)]


def command(words: list[str], folder: Path, *, together: int, mode: str) -> list[str]:
    """The command, alone or of several processes."""
    config = Path(words[1])
    chosen = config.with_name(f"{mode}.toml")
    chosen.write_text(f"{config.read_text()}[matching]\nmode = '{mode}'\n")
    run = ["-m", "torch.distributed.run", f"--nproc-per-node={together}"] if together > 1 else []
    return [sys.executable, *run, "-m", "neurontab.cli", "build", str(chosen), "-o", str(folder)]


@pytest.mark.parametrize("mode", ["exact", "sketch"])
def test_two_processes_give_the_tables_of_one(words: list[str], tmp_path: Path, mode: str) -> None:
    one = subprocess.run(
        command(words, tmp_path / "one", together=1, mode=mode),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert one.returncode == 0, one.stderr
    two = subprocess.run(
        command(words, tmp_path / "two", together=2, mode=mode),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert two.returncode == 0, two.stderr
    assert two.stdout == one.stdout
    assert two.stderr.count("activations m0 done") == 1
    compare(Run(tmp_path / "one"), Run(tmp_path / "two"))
    assert not (tmp_path / "two" / "state" / "checkpoints").exists()


def test_a_process_that_dies_leaves_a_run_that_resumes(words: list[str], tmp_path: Path) -> None:
    whole = command(words, tmp_path / "whole", together=1, mode="exact")
    assert subprocess.run(whole, capture_output=True, check=False).returncode == 0
    together = command(words, tmp_path / "run", together=2, mode="exact")
    first = subprocess.Popen(together, stderr=subprocess.PIPE, text=True)
    state = tmp_path / "run" / "state" / "checkpoints"
    while not list(state.glob("1of2/*.state")):
        assert first.poll() is None
        time.sleep(0.01)
    os.kill(second_of(first.pid), signal.SIGKILL)
    _, said = first.communicate(timeout=120)
    assert first.returncode != 0
    assert not (tmp_path / "run" / "manifest.json").exists()
    assert "StoppedError: " in said
    assert subprocess.run(together, capture_output=True, check=False).returncode == 0
    compare(Run(tmp_path / "whole"), Run(tmp_path / "run"))


def second_of(launcher: int) -> int:
    """The process of rank 1."""
    for child in psutil.Process(launcher).children(recursive=True):
        if child.environ().get("RANK") == "1":
            return int(child.pid)
    raise AssertionError("no second process")


def compare(one: Run, other: Run) -> None:
    """Every table is the same, but for rounding in the last places of sums."""
    assert one.manifest.tables.keys() == other.manifest.tables.keys()
    for name in one.manifest.tables:
        expected, found = (run.scan(name).collect() for run in (one, other))
        assert_frame_equal(found, expected, rel_tol=1e-5, abs_tol=1e-6, check_row_order=True)
