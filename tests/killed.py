"""`python tests/killed.py FOLDER KILLS MODE`: builds a run while killing it at random instants.

Prints a line for every kill, which states there were, and at last that the tables of every run are
those of a build that nobody disturbed. Children are forked, so that each begins at once.
"""

import os
import random
import signal
import sys
import time
from itertools import count
from pathlib import Path

import tiny

from neurontab import manifest
from neurontab.building import build
from neurontab.config import BuildConfig, resolve
from neurontab.errors import StoppedError
from neurontab.measure.plan import INPUTS, Plan
from neurontab.measure.sums import SUM_BYTES
from neurontab.prepare import prepare
from neurontab.progress import Silent
from neurontab.run import Run

STATES = {
    "exact": ("m0.survey", "m0.done", "products", "tiles"),
    "sketch": ("m0.survey", "m0.done", "sketches", "estimates", "finals"),
}


def main(folder: Path, kills: int, mode: str) -> None:
    """Kills so many times, and compares every run that came of it with one that nobody killed.

    The last kills come when the states have appeared that chance might not hit.
    """
    settings = planned(folder, mode)
    started = time.monotonic()
    wait(begun(settings, folder / "undisturbed"))
    seconds = time.monotonic() - started
    expected = manifest.read(folder / "undisturbed")
    assert expected.matched is not None
    assert expected.matched.mode == mode
    drawn = random.Random(mode)
    runs, done = 0, 0
    while done < kills - len(STATES[mode]):
        run = folder / f"killed{runs}"
        child = begun(settings, run)
        if ended(child, within=drawn.uniform(0, seconds)):
            runs += 1
            compare(run, expected)
            continue
        kill(child, run, done)
        done += 1
    wait(begun(settings, folder / f"killed{runs}"))
    compare(folder / f"killed{runs}", expected)
    run = folder / "by_state"
    for number, state in enumerate(STATES[mode], done):
        child = begun(settings, run)
        while state not in states(run):
            assert os.waitpid(child, os.WNOHANG) == (0, 0), f"{state} has never been there"
        kill(child, run, number)
    wait(begun(settings, run))
    compare(run, expected)
    print(f"{kills} kills, {runs + 2} runs, the same bytes")


def kill(child: int, run: Path, number: int) -> None:
    """Kills a build, and tells which states it leaves."""
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print(f"kill {number}:", *sorted(states(run)), flush=True)


def states(run: Path) -> list[str]:
    """What is kept of a run that is being built."""
    try:
        paths = [*run.rglob("state/**/*.state")]
    except FileNotFoundError:  # a folder has just been removed
        paths = []
    return [path.name.rsplit(".", 2)[0].partition("-")[0] for path in paths]


def compare(run: Path, expected: manifest.Manifest) -> None:
    """Every table and file has the bytes that it must have."""
    found = manifest.read(run)
    assert (found.tables, found.files) == (expected.tables, expected.files)


def planned(folder: Path, mode: str) -> BuildConfig:
    """The build that is killed: there is memory for some of its ten tiles at a time.

    It is planned in a child, as no process may be forked from one that has run a query.
    """
    if mode == "sketch":
        settings, planned_for = settings_of(folder, write_enough(folder)), some_at_once
    else:
        text = tiny.write_text(folder / "words.txt", tokens=3_500)
        settings, planned_for = settings_of(folder, text), six_at_once
    settings = with_mode(settings, mode)
    child = os.fork()
    if not child:
        (folder / "memory.txt").write_text(str(planned_for(settings).memory))
        os._exit(0)
    wait(child)
    return settings.model_copy(update={"memory": int((folder / "memory.txt").read_text())})


def settings_of(folder: Path, text: Path) -> BuildConfig:
    """A build of two tiny models whose state is kept after every batch."""
    made = [tiny.with_candidate(tiny.model(seed)) for seed in range(2)]
    models = [tiny.save(each, folder / f"m{seed}") for seed, each in enumerate(made)]
    return resolve(
        models=list(map(str, models)),
        corpus=[str(text)],
        tokens="all",
        batch_tokens=512,
        block_tokens=2_048,
        activations=256,
        ablations=512,
        checkpoint_seconds=0.0,
    )


def write_enough(folder: Path) -> Path:
    """As little text as is sketched."""
    return tiny.write_text(folder / "words.txt", tokens=6_000)


def with_mode(settings: BuildConfig, mode: str) -> BuildConfig:
    """The same build in another mode."""
    matching = settings.matching.model_copy(update={"mode": mode})
    return settings.model_copy(update={"matching": matching})


def stopped_again_and_again(settings: BuildConfig, folder: Path) -> Run:
    """A run whose build was stopped after every twenty batches, and gone on with."""
    stops = 0
    while stops < 50:
        batches = count()
        try:
            run = build(settings, folder, stop=lambda: next(batches) >= 20)  # noqa: B023
            break
        except StoppedError:
            stops += 1
    assert stops > 3
    return run


def at_once(settings: BuildConfig, tiles: int) -> BuildConfig:
    """The same build with memory for so many of its ten tiles in one pass."""
    plan = prepare(settings, Silent()).plan
    memory = beside_products(plan) + tiles * SUM_BYTES * 24 * 24
    return settings.model_copy(update={"memory": memory})


def six_at_once(settings: BuildConfig) -> BuildConfig:
    """The same build with two passes for its products."""
    return at_once(settings, 6)


def some_at_once(settings: BuildConfig) -> BuildConfig:
    """The same build by sketches, with memory for some tiles and for no inputs of MLPs."""
    plan = prepare(settings, Silent()).plan
    while plan.kept_sequences or plan.room > 9 * SUM_BYTES * 24 * 24:
        memory = plan.memory - plan.places[INPUTS] + 3 * SUM_BYTES * 24 * 24
        settings = settings.model_copy(update={"memory": memory})
        plan = prepare(settings, Silent()).plan
    return settings


def beside_products(plan: Plan) -> int:
    """Bytes without which a build is not begun, and that leave none for products."""
    return plan.budget - plan.room - plan.places[INPUTS]


def begun(settings: BuildConfig, folder: Path) -> int:
    """A process that builds; its number."""
    child = os.fork()
    if child:
        return child
    try:
        build(settings, folder)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def ended(child: int, *, within: float) -> bool:
    """Whether a process ends by itself within so many seconds."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        if os.waitpid(child, os.WNOHANG) != (0, 0):
            return True
        time.sleep(0.01)
    return False


def wait(child: int) -> None:
    """Waits for a build to end well."""
    assert os.waitpid(child, 0)[1] == 0


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
