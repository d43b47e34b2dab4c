"""`--memory` is kept: peaks of builds in processes of their own, with and without room.

The plan allows for far more than the program itself takes: what a limit does is told beside a build
that has all memory.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

from neurontab.config import BuildConfig, resolve
from neurontab.measure.plan import Plan
from neurontab.measure.sums import SUM_BYTES
from neurontab.prepare import prepare
from neurontab.progress import Silent

WIDTH, LAYERS = 1_536, 1
SKETCHED_WIDTH, SKETCHED_LAYERS = 768, 2
TILES = 3  # of two models with one layer

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="needs Linux's /proc"
)


def settings_of(folder: Path, tokens: int, width: int, layers: int) -> BuildConfig:
    """Two models of wide layers, matched exactly."""
    made = [tiny.model(seed, d_mlp=width, n_layers=layers) for seed in range(2)]
    models = [tiny.save(each, folder / f"m{seed}") for seed, each in enumerate(made)]
    return resolve(
        models=list(map(str, models)),
        corpus=[str(tiny.write_text(folder / f"{tokens}.txt", tokens=tokens))],
        tokens="all",
        activations=0,
        block_tokens=2_048,
        matching={"mode": "exact", "draws": 1},
    )


def peaks(folder: Path, *builds: BuildConfig) -> list[int]:
    """Bytes at most, of processes that build."""
    script = str(Path(__file__).parent / "peaks.py")
    command = [sys.executable, script, str(folder), *(each.model_dump_json() for each in builds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [int(line) for line in done.stdout.split()[-len(builds) :]]


def plan_of(settings: BuildConfig) -> Plan:
    """What is planned with all memory."""
    return prepare(settings, Silent()).plan


def test_the_peak_is_below_what_is_planned_and_what_is_allowed(tmp_path: Path) -> None:
    """Products of all tiles take 54 MiB; with a third of that the build takes three passes."""
    settings = settings_of(tmp_path, 1_500, WIDTH, LAYERS)
    plan = plan_of(settings)
    tile = SUM_BYTES * WIDTH**2
    assert plan.places["products"] == TILES * tile
    saved = (TILES - 1) * tile
    limited = settings.model_copy(update={"memory": plan.memory - saved})
    assert plan_of(limited).passes == TILES + 1  # one by document
    whole, kept = peaks(tmp_path, settings, limited)
    assert whole <= plan.memory
    assert kept <= plan.memory - saved
    assert whole - kept > saved
    assert [len(passes_over_products(tmp_path / name)) for name in ("0", "1")] == [1, TILES]


def passes_over_products(run: Path) -> list[str]:
    """Of a run, what its manifest calls them."""
    stages = json.loads((run / "manifest.json").read_text())["stages"]
    return [name for name in stages if name.startswith("products")]


def test_the_peak_by_sketches_is_below_what_is_allowed(tmp_path: Path) -> None:
    """Random models leave all rows open; they are measured whole, as many at a time as fit."""
    exact = settings_of(tmp_path, 6_000, SKETCHED_WIDTH, SKETCHED_LAYERS)
    matching = exact.matching.model_copy(update={"mode": "sketch"})
    sketched = exact.model_copy(update={"matching": matching})
    plan = plan_of(sketched)
    assert plan.sketch is not None
    tile = SUM_BYTES * SKETCHED_WIDTH**2
    allowed = plan.memory + 2 * tile
    limited = sketched.model_copy(update={"memory": allowed})
    whole, kept = peaks(tmp_path, sketched, limited)
    assert kept <= allowed
    assert whole - kept > 10 * tile  # rows of which all are measured at once
    assert "further rows" in json.loads((tmp_path / "1" / "manifest.json").read_text())["stages"]
