"""Several processes at one build: the tables of one, and a run that resumes when one dies."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
from together import KILLED, same_tables

from neurontab.measure.processes import Processes
from neurontab.run import Run

TESTS = Path(__file__).parent


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_shares_are_all_sequences_once(world: int) -> None:
    for sequences in (range(0), range(5), range(3, 20)):
        shares = [Processes(rank, world).share(sequences) for rank in range(world)]
        assert [number for share in shares for number in share] == list(sequences)
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_processes_share_the_cores() -> None:
    """In a process of its own, as threads begin once."""
    program = (
        "import os, numba, torch; from neurontab.measure.processes import share_cores;"
        "share_cores(len(os.sched_getaffinity(0)));"
        "print(torch.get_num_threads(), numba.get_num_threads())"
    )
    unlimited = {name: each for name, each in os.environ.items() if "NUM_THREADS" not in name}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=unlimited
    )
    assert done.stdout.split() == ["1", "1"]


def test_torchrun_gives_the_tables_of_one_process_and_one_summary(tmp_path: Path) -> None:
    models = [tiny.save(tiny.model(seed), tmp_path / f"m{seed}") for seed in range(2)]
    words = [f"--model={model}" for model in models]
    words += ["--corpus", str(tiny.write_text(tmp_path / "words.txt"))]
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node=2"]
    said = {}
    for name, launcher in (("one", []), ("two", torchrun)):
        command = [sys.executable, *launcher, "-m", "neurontab.cli", "build", *words]
        done = subprocess.run(
            [*command, "-o", str(tmp_path / name)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("activations m0 done") == 1
        said[name] = done.stdout
    assert said["one"] == said["two"]
    same_tables(Run(tmp_path / "one"), Run(tmp_path / "two"))
    assert not (tmp_path / "two" / "state" / "checkpoints").exists()


def test_whatever_happens_to_some_the_run_is_that_of_one(tmp_path: Path) -> None:
    """In a process of its own, whose children are forked before it has threads."""
    done = subprocess.run(
        [sys.executable, str(TESTS / "together.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=TESTS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout.splitlines()
    killed = [line.partition(":")[0] for line in told if " killed, " in line]
    assert killed == [state for kills in KILLED.values() for *_, state in kills]
    assert told[-1] == "a fresh build that was interrupted"
