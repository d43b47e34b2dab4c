"""Matching by sketches against all products: the same matches, and certificates that are true."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import tiny
import torch
from killed import settings_of, some_at_once, stopped_again_and_again, with_mode
from typer.testing import CliRunner

from neurontab.building import build
from neurontab.config import BuildConfig
from neurontab.errors import StoppedError
from neurontab.manifest import Matched
from neurontab.measure.bounds import Bounds, bounds
from neurontab.measure.checkpoint import Checkpoints
from neurontab.measure.precision import quickest
from neurontab.measure.sketch_plan import FAILURE, REPLICATES
from neurontab.passes import Kept, Passes
from neurontab.prepare import Prepared, prepare
from neurontab.progress import Silent, Stage
from neurontab.run import Run
from neurontab.sketching import ESTIMATES, LONGER_LISTS

app = import_module("neurontab.cli.app").app
KEY = ["model", "layer", "neuron", "other_model", "rank"]


def seldom_kept(folder: Path, text: Path) -> BuildConfig:
    """A build whose states are kept only when it is stopped."""
    return settings_of(folder, text).model_copy(update={"checkpoint_seconds": 600.0})


def quickly(folder: Path, text: Path) -> BuildConfig:
    """The same in fewer batches."""
    return seldom_kept(folder, text).model_copy(update={"batch_tokens": 4_096})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """One family, exactly and by sketches."""
    folder = tmp_path_factory.mktemp("runs")
    settings = quickly(folder, tiny.write_text(folder / "words.txt", tokens=30_000))
    exact, sketch = (
        build(with_mode(settings, mode), folder / mode) for mode in ("exact", "sketch")
    )
    return exact, sketch


@pytest.mark.parametrize("table", ["matches", "antimatches", "twins", "assignments"])
def test_both_modes_find_the_same(runs: tuple[Run, Run], table: str) -> None:
    exact, sketch = (run.scan(table).collect() for run in runs)
    names = [
        name
        for name in exact.columns
        if name not in ("corr", "certificate", "corr_within_token", "token_share")
    ]
    assert exact.select(names).equals(sketch.select(names))
    assert exact["corr"].to_numpy() == pytest.approx(sketch["corr"].to_numpy(), abs=1e-6)


def test_info_counts_rows_by_how_it_is_known_that_nothing_is_missed(runs: tuple[Run, Run]) -> None:
    for run in runs:
        best = run.scan("matches").filter(pl.col("rank") == 1).collect()
        counted = best["certificate"].cast(pl.String).value_counts()
        counts = dict(counted.iter_rows())
        kinds = ("exact", "bound", "probabilistic")
        rows = ", ".join(f"{counts.get(kind, 0):,} {kind}" for kind in kinds)
        said = CliRunner().invoke(app, ["info", "-r", str(run.folder)]).stdout
        assert f"rows: {rows}" in said
        assert ("in a further pass" in said) == (run == runs[1])


def test_the_least_correlation_by_source_is_that_of_the_sources(tmp_path: Path) -> None:
    settings = quickly(tmp_path, tiny.write_text(tmp_path / "words.txt", tokens=4_000))
    other = tiny.write_text(tmp_path / "others.txt", tokens=3_000, seed=1)
    both = settings.model_copy(update={"corpus": (*settings.corpus, str(other))})
    run = build(both, tmp_path / "run")
    sources = run.scan("match_sources").collect()
    assert sources["source"].n_unique() == 2
    least = sources.group_by(KEY).agg(pl.col("corr").min())
    matches = run.scan("matches").collect().join(least, on=KEY, how="left", suffix="_least")
    assert matches.height > 0
    assert matches["min_source_corr"].equals(matches["corr_least"])


def test_a_build_that_is_stopped_again_and_again_ends_with_the_same_bytes(tmp_path: Path) -> None:
    text = tiny.write_text(tmp_path / "words.txt", tokens=12_000)
    settings = with_mode(seldom_kept(tmp_path, text), "sketch")
    whole = build(settings, tmp_path / "whole").manifest
    parts = stopped_again_and_again(settings, tmp_path / "parts").manifest
    assert (parts.tables, parts.files) == (whole.tables, whole.files)
    assert parts.matched == whole.matched


def test_with_inputs_of_mlps_kept_of_some_tokens_the_bytes_are_those_of_all(
    tmp_path: Path,
) -> None:
    text = tiny.write_text(tmp_path / "words.txt", tokens=12_000)
    settings = with_mode(seldom_kept(tmp_path, text), "sketch")
    memory = prepare(settings, Silent()).plan.memory
    plans, made = [], []
    for less in (2, 7):  # half MiB: shorter lists, then also less for inputs
        limited = settings.model_copy(update={"memory": memory - less * 2**19})
        prepared = prepare(limited, Silent())
        plans.append(prepared.plan)
        made.append(build(limited, tmp_path / str(less)).manifest)
    every, some = (plan.kept_sequences / len(prepared.corpus.tokens) for plan in plans)
    assert every == 1
    assert 0.3 < some < 0.7
    assert plans[0].sketch == plans[1].sketch
    assert made[0].tables == made[1].tables


def test_a_build_goes_on_with_the_plan_that_it_began_with(tmp_path: Path) -> None:
    text = tiny.write_text(tmp_path / "words.txt", tokens=12_000)
    settings = with_mode(seldom_kept(tmp_path, text), "sketch")
    with pytest.raises(StoppedError):
        build(settings, tmp_path / "run", stop=lambda: True)
    config = tmp_path / "run" / "state" / "build" / "config.toml"
    begun = config.read_text("utf-8")
    changed, n = re.subn(r"buckets = \d+\n", "buckets = 20\n", begun)
    assert n == 1
    config.write_text(changed, "utf-8")
    matched = build(settings, tmp_path / "run").manifest.matched
    assert matched is not None
    assert matched.sketch_rows == REPLICATES * 20


@dataclass
class Stages(Silent):
    """Progress that notes how much there is to do in which stage."""

    totals: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Stage]:
        """A stage."""
        self.totals[name] = total
        with super().stage(name, total, unit) as stage:
            yield stage


def test_lists_that_overflow_are_made_again_though_the_build_is_stopped_before(
    runs: tuple[Run, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurontab.measure.sketch_plan.LISTED", (4, 4))
    monkeypatch.setattr("neurontab.measure.candidates.OVERFLOWN", 1)
    text = tiny.write_text(tmp_path / "words.txt", tokens=30_000)
    settings, keep = with_mode(quickly(tmp_path, text), "sketch"), Passes.keep

    def keep_until_then(self: Passes, name: str, parts: Mapping[str, Kept]) -> None:
        if name.startswith(LONGER_LISTS):
            raise StoppedError(name)
        keep(self, name, parts)

    with monkeypatch.context() as stopping:
        stopping.setattr(Passes, "keep", keep_until_then)
        with pytest.raises(StoppedError, match=LONGER_LISTS):
            build(settings, tmp_path / "run")
    stages = Stages()
    found = build(settings, tmp_path / "run", progress=stages)
    assert stages.totals[LONGER_LISTS] > 0
    assert ESTIMATES not in stages.totals
    for table in ("matches", "antimatches", "twins"):
        names = ["other_layer", "other_neuron"]
        expected, again = (run.scan(table).select(names).collect() for run in (runs[0], found))
        assert expected.equals(again), table
    said = found.manifest.matched
    assert said is not None
    assert said.certificates["probabilistic"] + said.certificates["bound"] > 0


def test_tiles_that_were_read_before_a_stop_are_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With memory for some of the ten at a time."""
    text = tiny.write_text(tmp_path / "words.txt", tokens=30_000)
    settings = some_at_once(with_mode(quickly(tmp_path, text), "sketch"))
    whole = build(settings, tmp_path / "whole").manifest
    often = settings.model_copy(update={"checkpoint_seconds": 0.0})
    states = tmp_path / "run" / "state" / "checkpoints"
    with pytest.raises(StoppedError):
        build(often, tmp_path / "run", stop=lambda: any(states.glob(f"{ESTIMATES}*")))
    (name,) = {path.name.rsplit(".", 2)[0] for path in states.glob(f"{ESTIMATES}*")}
    state = Checkpoints(states, 0.0).load(name)
    assert state is not None
    assert 0 < state["read/tiles"] < 10
    read = []

    def counted(*layers: Any) -> Bounds:
        read.append(layers)
        return bounds(*layers)

    monkeypatch.setattr("neurontab.sketching.bounds", counted)
    found = build(settings, tmp_path / "run").manifest
    assert len(read) == 10 - state["read/tiles"]
    assert (found.tables, found.files) == (whole.tables, whole.files)


def test_whole_rows_are_as_many_at_a_time_as_when_the_build_began(tmp_path: Path) -> None:
    """Whatever memory there is now: a pass that is done would not be known again."""
    text = tiny.write_text(tmp_path / "words.txt", tokens=6_000)
    settings = with_mode(quickly(tmp_path, text), "sketch")
    every = prepare(settings, Silent()).plan.memory

    def prepared(memory: int) -> Prepared:
        return prepare(settings.model_copy(update={"memory": memory}), Silent())

    begun = prepared(every - 2**20)
    assert begun.plan.kept_sequences > 0
    for memory in (every - 2**20 - 2**18, every - 2**19, every, every + 2**24):
        again = prepared(memory).going_on(begun.settings()["plan"]).plan
        assert (again.sketch, again.room) == (begun.plan.sketch, begun.plan.room)
        assert again.memory + again.room <= memory


@pytest.mark.parametrize("mode", ["exact", "sketch"])
def test_more_matches_than_a_layer_has_neurons_are_all_there_are(tmp_path: Path, mode: str) -> None:
    settings = with_mode(quickly(tmp_path, tiny.write_text(tmp_path / "w.txt", 6_000)), mode)
    matching = settings.matching.model_copy(update={"k": 100, "twins": 100})
    run = build(settings.model_copy(update={"matching": matching}), tmp_path / "run")
    shape = run.scan("activation_shape").filter(~pl.col("low_support")).collect()
    may = dict(shape["model"].value_counts().iter_rows())
    matched = run.scan("matches").group_by("model", "layer", "neuron").len().collect()
    assert matched.height == sum(may.values())
    others = dict(zip(may, list(may.values())[::-1], strict=True))
    assert all(n == others[model] for model, _, _, n in matched.iter_rows())
    assert run.scan("twins").select(pl.col("rank").max()).collect().item() <= 47
    best = run.scan("matches").filter(rank=1).collect()
    assert best["corr"].is_not_null().all()


def test_rounded_products_are_near_and_say_how_near(runs: tuple[Run, Run], tmp_path: Path) -> None:
    settings = quickly(tmp_path, tiny.write_text(tmp_path / "words.txt", tokens=30_000))
    matching = settings.matching.model_copy(update={"products": "bfloat16"})
    rounded = build(settings.model_copy(update={"matching": matching}), tmp_path / "run")
    about = rounded.manifest.matched
    assert about is not None
    assert about.rounding_error is not None
    assert (about.mode, about.precision) == ("exact", "bfloat16")
    assert 1e-5 < about.rounding_error < 2**-8
    keys = [*KEY, "other_layer", "other_neuron"]
    both = runs[0].scan("matches").join(rounded.scan("matches"), on=keys).collect()
    assert len(both) > 0.95 * runs[0].scan("matches").collect().height
    error = (both["corr"] - both["corr_right"]).abs()
    assert 0 < error.max() < 2 * about.rounding_error  # type: ignore[operator]


def test_a_build_says_how_its_matches_are_known(runs: tuple[Run, Run]) -> None:
    exact, sketch = (run.manifest.matched for run in runs)
    rows = runs[0].scan("matches").filter(rank=1).collect().height
    assert exact is not None
    counts = {"exact": rows, "bound": 0, "probabilistic": 0}
    assert exact == Matched("exact", 0, 0.0, counts, 0, "float32", None, exact.rounding_error)
    assert exact.rounding_error is not None
    assert 0 < exact.rounding_error < 1e-5
    assert sketch is not None
    assert sketch.mode == "sketch"
    assert sketch.failure == FAILURE
    assert sketch.sketch_precision == quickest(torch.device("cpu"))
    assert sum(sketch.certificates.values()) == rows
    found = runs[1].scan("matches").filter(rank=1).group_by("certificate").len().collect()
    assert dict(found.iter_rows()) == {name: n for name, n in sketch.certificates.items() if n}


def test_what_is_read_of_estimates_is_near_what_is_read_of_products(runs: tuple[Run, Run]) -> None:
    """Baselines err by less than draws differ, and by about 1 / sqrt(rows of the sketch)."""
    exact, sketch = (run.scan("baselines").collect() for run in runs)
    rows = runs[1].manifest.matched
    assert rows is not None
    error = exact["corr"].to_numpy() - sketch["corr"].to_numpy()
    assert np.abs(error).mean() < rows.sketch_rows**-0.5
    likeness = [run.scan("layer_similarity").collect()["cka"].to_numpy() for run in runs]
    assert likeness[0] == pytest.approx(likeness[1], abs=0.05)
