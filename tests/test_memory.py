"""`--memory` is kept: the peak of a build in a process of its own, with and without room."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

from neurontab.config import BuildConfig, resolve
from neurontab.measure.sums import SUM_BYTES
from neurontab.prepare import prepare
from neurontab.progress import Silent

WIDTH = 1_280
TILE = SUM_BYTES * WIDTH**2
TILES = 10  # of two models with two layers
BUILT = """
import re, sys
from pathlib import Path
from neurontab.building import build
from neurontab.config import BuildConfig
build(BuildConfig.model_validate_json(sys.argv[1]), Path(sys.argv[2]))
found = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print(1024 * int(found[1]))
"""


@pytest.fixture
def settings(tmp_path: Path) -> BuildConfig:
    """Two models of two wide layers, matched exactly."""
    models = [tiny.save(tiny.model(seed, d_mlp=WIDTH), tmp_path / f"m{seed}") for seed in range(2)]
    return resolve(
        models=list(map(str, models)),
        corpus=[str(tiny.write_text(tmp_path / "words.txt", tokens=3_000))],
        tokens="all",
        activations=0,
        block_tokens=2_048,
        matching={"mode": "exact", "draws": 1},
    )


def peak(settings: BuildConfig, folder: Path) -> int:
    """Bytes at most, of a process that builds.

    Not from getrusage, in which a process begins with the peak of the one that began it.
    """
    command = [sys.executable, "-c", BUILT, settings.model_dump_json(), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_the_peak_is_below_what_is_planned_and_what_is_allowed(
    settings: BuildConfig, tmp_path: Path
) -> None:
    """Products of all tiles take 125 MiB; with a third of that the build takes four passes."""
    plan = prepare(settings, Silent()).plan
    assert plan.places["products"] == TILES * TILE
    allowed = plan.memory - plan.places["products"] + 3 * TILE
    limited = settings.model_copy(update={"memory": allowed})
    assert prepare(limited, Silent()).plan.passes == 5  # four for products, one by document
    whole, kept = peak(settings, tmp_path / "whole"), peak(limited, tmp_path / "kept")
    assert kept <= allowed
    assert whole <= plan.memory


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_the_peak_by_sketches_is_below_what_is_allowed(
    settings: BuildConfig, tmp_path: Path
) -> None:
    """Random models leave all rows open; they are measured whole, as many at a time as fit."""
    text = tiny.write_text(tmp_path / "longer.txt", tokens=12_000)
    matching = settings.matching.model_copy(update={"mode": "sketch"})
    sketched = settings.model_copy(update={"matching": matching, "corpus": (str(text),)})
    plan = prepare(sketched, Silent()).plan
    assert plan.sketch is not None
    allowed = plan.memory + 2 * TILE
    limited = sketched.model_copy(update={"memory": allowed})
    assert peak(limited, tmp_path / "run") <= allowed
    assert "further rows" in json.loads((tmp_path / "run" / "manifest.json").read_text())["stages"]
