"""`python tests/killed.py FOLDER KILLS`: builds a run while killing it at random instants.

Prints a line for every kill, how far the build was, and at last whether the tables of the run are
those of a build that nobody disturbed. Children are forked, so that each begins at once.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import tiny

from neurontab import manifest
from neurontab.building import build
from neurontab.config import BuildConfig, resolve


def main(folder: Path, kills: int) -> None:
    """Kills until there have been so many, then lets the build end."""
    settings = planned(folder)
    started = time.monotonic()
    wait(begun(settings, folder / "undisturbed"))
    seconds = time.monotonic() - started
    drawn = random.Random(0)
    for number in range(kills):
        child = begun(settings, folder / "killed", fresh=finished(folder / "killed"))
        time.sleep(drawn.uniform(0, 1.2 * seconds))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        state = folder / "killed" / "state"
        left = sorted(path.name.rsplit(".", 2)[0] for path in state.rglob("*.state"))
        print(f"kill {number}:", *left, flush=True)
    wait(begun(settings, folder / "killed"))
    found, expected = (manifest.read(folder / name) for name in ("killed", "undisturbed"))
    assert found.tables == expected.tables
    assert found.files == expected.files
    print(f"{kills} kills, the same bytes")


def planned(folder: Path) -> BuildConfig:
    """A build of two models whose state is kept after every batch."""
    models = [tiny.save(tiny.model(seed), folder / f"m{seed}") for seed in range(2)]
    text = tiny.write_text(folder / "words.txt", tokens=12_000)
    return resolve(
        models=list(map(str, models)),
        corpus=[str(text)],
        tokens="all",
        batch_tokens=1_024,
        block_tokens=2_048,
        checkpoint_seconds=0.0,
    )


def begun(settings: BuildConfig, folder: Path, *, fresh: bool = False) -> int:
    """A process that builds; its number."""
    child = os.fork()
    if child:
        return child
    try:
        build(settings, folder, fresh=fresh)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def finished(folder: Path) -> bool:
    """Whether a build is done and the next has to begin anew."""
    return (folder / manifest.NAME).is_file() and not (folder / "state" / "build").exists()


def wait(child: int) -> None:
    """Waits for a build to end well."""
    assert os.waitpid(child, 0)[1] == 0


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
