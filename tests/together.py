"""`python tests/together.py FOLDER`: several processes build one run, in many circumstances.

Processes are forked, so that each begins at once, and meet as those of torchrun do; this one itself
only waits for them. Prints a line for every circumstance.
"""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import tiny
from killed import settings_of, states, with_mode, write_enough
from polars.testing import assert_frame_equal

from neurontab import manifest
from neurontab.building import build
from neurontab.config import BuildConfig
from neurontab.errors import NeurontabError, StoppedError
from neurontab.measure import processes as several
from neurontab.measure.processes import started
from neurontab.run import Run

# So many processes, one of which is killed when there is a state, in each mode.
KILLED = {
    "exact": ((3, 0, "m0.survey"), (2, 1, "m0.done"), (3, 2, "products")),
    "sketch": ((3, 0, "m0.survey"), (2, 1, "sketches"), (3, 2, "finals")),
}


# Tables with what is read from estimates, or with what is made of it.
ESTIMATED = {"baselines", "layer_similarity", "layer_profile", "neurons", "universality"}


def main(folder: Path) -> None:
    """Every circumstance, against the run of one process."""
    several.PIECE = 1_000  # sums are sent in many
    for mode in ("exact", "sketch"):
        settings = in_mode(folder, mode)
        alone = folder / f"{mode}-alone"
        assert together(settings, alone, 1) == [0]
        matched = manifest.read(alone).matched
        assert matched is not None
        assert matched.mode == mode
        world = 3 if mode == "exact" else 2
        run = folder / f"{mode}-{world}"
        assert together(settings, run, world) == [0] * world
        compare(alone, run)
        print(f"{mode}: {world} processes", flush=True)
        some_die(settings, folder / f"{mode}-killed", alone)
    settings = in_mode(folder, "exact")
    finished(settings, folder / "exact-3")
    one_model(settings, folder)
    more_processes_than_sequences(settings, folder)
    refused(settings, folder)
    fresh_that_was_interrupted(settings, folder / "exact-3", folder / "exact-alone")


def in_mode(folder: Path, mode: str) -> BuildConfig:
    """A build of two tiny models whose states are kept after every batch."""
    own = folder / mode
    own.mkdir(exist_ok=True)
    text = write_enough(own) if mode == "sketch" else tiny.write_text(own / "words.txt")
    return with_mode(settings_of(own, text), mode)


def some_die(settings: BuildConfig, run: Path, alone: Path) -> None:
    """Any of them is killed; then another number of them goes on."""
    for world, victim, state in KILLED[settings.matching.mode]:
        kill = killing_when(run, state, [victim])
        ended = together(settings, run, world, meanwhile=kill)
        assert ended[victim] == -signal.SIGKILL
        assert set(ended) <= {-signal.SIGKILL, StoppedError.exit_code}
        print(f"{state}: {victim} of {world} killed, {ended}", flush=True)
    assert together(settings, run, 2) == [0, 0]
    compare(alone, run)


def finished(settings: BuildConfig, run: Path) -> None:
    """Nothing is left to do."""
    before = (run / "manifest.json").stat().st_mtime_ns
    assert together(settings, run, 2) == [0, 0]
    assert (run / "manifest.json").stat().st_mtime_ns == before
    print("a finished run", flush=True)


def one_model(settings: BuildConfig, folder: Path) -> None:
    """Nothing to be matched with."""
    single = settings.model_copy(update={"models": settings.models[:1]})
    assert together(single, folder / "single-2", 2) == [0, 0]
    assert together(single, folder / "single", 1) == [0]
    compare(folder / "single", folder / "single-2")
    print("one model", flush=True)


def more_processes_than_sequences(settings: BuildConfig, folder: Path) -> None:
    """Some of them have nothing to run."""
    few = settings.model_copy(update={"tokens": 60})
    assert together(few, folder / "few-3", 3) == [0, 0, 0]
    assert together(few, folder / "few", 1) == [0]
    compare(folder / "few", folder / "few-3")
    print("more processes than sequences", flush=True)


def refused(settings: BuildConfig, folder: Path) -> None:
    """The first tells why; the others that another has ended."""
    other = settings.model_copy(update={"seed": 1})
    assert together(other, folder / "exact-alone", 2) == [1, 75]
    little = settings.model_copy(update={"memory": 2**20})
    assert together(little, folder / "little", 2) == [1, 75]
    print("refused", flush=True)


def fresh_that_was_interrupted(settings: BuildConfig, run: Path, alone: Path) -> None:
    """The finished run is there, and another build of the same under way."""
    kill = killing_when(run, "m0.survey", [0, 1])
    ended = together(settings, run, 2, fresh=True, meanwhile=kill)
    assert ended[0] == -signal.SIGKILL
    assert ended[1] in (-signal.SIGKILL, StoppedError.exit_code)
    assert together(settings, run, 2) == [0, 0]
    assert "m0.survey" in states(run)
    assert together(settings, run, 2, fresh=True) == [0, 0]
    assert not states(run)
    compare(alone, run)
    print("a fresh build that was interrupted", flush=True)


def killing_when(run: Path, state: str, victims: Sequence[int]) -> Callable[[list[int]], None]:
    """Kills some of them when there is a state."""

    def kill(children: list[int]) -> None:
        while state not in states(run):
            if any(os.waitpid(child, os.WNOHANG) != (0, 0) for child in children):
                for child in children:
                    with suppress(ProcessLookupError):
                        os.kill(child, signal.SIGKILL)  # they would wait for the one that has ended
                raise AssertionError(f"{state} has never been there")
            time.sleep(0.01)
        for victim in victims:
            os.kill(children[victim], signal.SIGKILL)

    return kill


def together(
    settings: BuildConfig,
    run: Path,
    world: int,
    *,
    fresh: bool = False,
    meanwhile: Callable[[list[int]], None] = lambda children: None,
) -> list[int]:
    """Exit codes of so many processes that build a run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(world):
        child = os.fork()
        if not child:
            take_part(settings, run, rank, world, port, fresh)
        children.append(child)
    meanwhile(children)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def take_part(
    settings: BuildConfig, run: Path, rank: int, world: int, port: int, fresh: bool
) -> None:
    """What one process does; it never returns."""
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    code = 0
    try:
        with started() as processes:
            build(settings, run, fresh=fresh, processes=processes)
    except NeurontabError as error:
        code = error.exit_code
    except BaseException as error:
        print(f"{rank}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        code = 70
    os._exit(code)


def compare(alone: Path, run: Path) -> None:
    """Every table is the same, but for rounding."""
    child = os.fork()
    if not child:
        try:
            same_tables(Run(alone), Run(run))
        except BaseException as error:
            print(f"{run}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def same_tables(one: Run, other: Run) -> None:
    """Raises where a table differs."""
    assert one.manifest.tables.keys() == other.manifest.tables.keys()
    for name in one.manifest.tables:
        expected, found = (run.scan(name).collect() for run in (one, other))
        rounding = rounding_of(name, one)
        assert_frame_equal(
            found, expected, rel_tol=rounding, abs_tol=rounding / 10, check_row_order=True
        )


def rounding_of(name: str, run: Run) -> float:
    """How far numbers of a table may differ."""
    if name.startswith("ablation"):
        return 1e-3  # what little ablating changes here is the difference of two losses in float32
    matched = run.manifest.matched
    rounded = matched is not None and matched.sketch_precision == "bfloat16"
    return 1e-4 if rounded and name in ESTIMATED else 1e-5  # a sum is rounded up here, down there


if __name__ == "__main__":
    main(Path(sys.argv[1]))
