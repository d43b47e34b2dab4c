"""A build as a whole: what lies on disk, who can read it, and what is refused without a trace."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pytest
import tiny
import torch
from conftest import Built, snapshot
from polars.testing import assert_frame_equal

import neurontab
from neurontab.building import build, default_folder
from neurontab.config import BuildConfig, resolve
from neurontab.derive import parse_thresholds, rederive
from neurontab.errors import (
    ConfigError,
    ModelError,
    NeurontabError,
    QueryError,
    RunError,
    TableError,
)
from neurontab.files import sha256_of
from neurontab.run import Run, newest
from neurontab.tables.query import discover
from neurontab.tables.schemas import MEASURED

PAIRED = {
    "match_sources",
    "jackknife",
    "matches",
    "antimatches",
    "assignments",
    "baselines",
    "layer_similarity",
    "logit_effects",
}


def test_a_run_holds_every_table_as_declared(family: Run) -> None:
    assert set(family.tables()) == {*MEASURED, *discover()}
    for name, table in family.tables().items():
        found = family.scan(name).collect()
        assert table.conform(found) is not None
        assert len(found) == sum(part.rows for part in family.manifest.tables[name].values())
    assert family.neurons.select(pl.len()).collect().item() == 3 * 2 * 24
    files = {p.name for p in (family.folder / "tables" / "matches").iterdir()}
    assert "seed0--seed1.parquet" in files
    assert len(files) == 6
    assert [path.name for path in (family.folder / "state").iterdir()] == ["lock"]
    assert (family.folder / "corpus" / "tokens.arrow").is_file()


def test_the_manifest_tells_what_is_on_disk(family: Run) -> None:
    about = family.manifest
    for name, parts in about.tables.items():
        for part, facts in parts.items():
            path = family.folder / "tables" / name / f"{part}.parquet"
            assert (path.stat().st_size, sha256_of(path)) == (facts.bytes, facts.sha256)
    assert [model["model"] for model in about.models] == ["seed0", "seed1", "seed2"]
    for model in about.models:
        assert model["sha256"] == sha256_of(Path(str(model["source"])) / "model.safetensors")
    assert about.masked_ids == [0, 1]
    assert about.corpus.counted > 2_000
    assert set(about.stages) >= {"activations seed0", "products", "matches"}
    assert about.versions["torch"] == torch.__version__


def test_pandas_duckdb_and_polars_read_the_files_as_they_are(family: Run) -> None:
    for name, table in family.tables().items():
        folder = family.folder / "tables" / name
        rows = family.scan(name).select(pl.len()).collect().item()
        pandas = pd.read_parquet(folder)
        assert (len(pandas), list(pandas.columns)) == (rows, table.schema.names())
        duck: Any = duckdb.sql(f"SELECT * FROM '{folder}/*.parquet'")
        assert (len(duck), duck.columns) == (rows, table.schema.names())
        assert len(pl.read_parquet(folder)) == rows


def test_universal_means_the_same_in_duckdb(built: Built, text: Path) -> None:
    """Two copies and one that shares only their first layer, recomputed from measured tables."""
    made = tiny.model(1)

    def estrange(copy: tiny.Model) -> None:
        copy.transformer.h[1].load_state_dict(tiny.model(7).transformer.h[1].state_dict())

    run = built(text, a=made, b=made, half=tiny.copied(made, estrange))
    tables = run.folder / "tables"
    sql = f"""
        WITH best AS (
            SELECT model, layer, neuron, other_model, corr
            FROM '{tables}/matches/*.parquet' WHERE rank = 1
        ), chance AS (
            SELECT model, layer, neuron, other_model, avg(corr::DOUBLE) AS corr
            FROM '{tables}/baselines/*.parquet' WHERE kind = 'raw' GROUP BY ALL
        )
        SELECT model, layer, neuron, avg(best.corr::DOUBLE) - avg(chance.corr) > 0.3 AS universal,
            min(best.corr::DOUBLE - chance.corr) > 0.3 AS strict
        FROM best JOIN chance USING (model, layer, neuron, other_model)
        GROUP BY ALL ORDER BY ALL
    """
    answer: Any = duckdb.sql(sql)
    expected = answer.pl()
    found = run.query("universality", threshold=0.3).sort("model", "layer", "neuron").collect()
    for name, column in (("universal", "is_universal"), ("strict", "is_universal_strict")):
        assert found[column].to_list() == expected[name].to_list()
        assert 0 < found[column].sum() < len(found)
    assert found["is_universal"].sum() > found["is_universal_strict"].sum()


def test_one_model_alone_has_everything_but_matches(built: Built, text: Path) -> None:
    run = built(text, only=tiny.model(0))
    assert set(run.tables()) == {*MEASURED, *discover()} - PAIRED
    row = run.scan("family_summary").collect().row(0, named=True)
    assert (row["neurons"], row["universal"], row["universal_groups"]) == (48, 0, 0)
    assert run.neurons.collect()["mean_corr"].null_count() == 48
    assert run.neurons.collect()["kurt"].null_count() == 0
    with pytest.raises(TableError, match="No table 'matches'"):
        run.scan("matches")


def test_the_same_build_again_is_the_run_that_is_there(built: Built, text: Path) -> None:
    models = {"a": tiny.model(0), "b": tiny.model(1)}
    first = built(text, **models)
    made = (first.folder / "manifest.json").stat().st_mtime_ns
    again = built(text, **models)
    assert (again.folder / "manifest.json").stat().st_mtime_ns == made


def test_the_same_plan_gives_the_same_bytes_of_every_column(built: Built, text: Path) -> None:
    models = {"a": tiny.model(0), "b": tiny.model(1)}
    first = built(text, **models).manifest
    again = built(text, fresh=True, **models).manifest
    assert first.tables == again.tables
    assert first.run_id == again.run_id


def test_what_a_broken_build_left_is_built_again(
    tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.save(tiny.model(0), tmp_path / "a")
    monkeypatch.chdir(tmp_path)
    settings = resolve(models=["a"], corpus=[str(text.relative_to(tmp_path))], tokens="all")

    def break_off(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("neurontab.measuring.write_survey", break_off)
        with pytest.raises(KeyboardInterrupt):
            build(settings, tmp_path / "run")
    with pytest.raises(RunError, match=r"is not finished.\nGo on with: .*config.toml"):
        neurontab.open(tmp_path / "run")
    monkeypatch.chdir("/")
    again = resolve(tmp_path / "run" / "state" / "build" / "config.toml")
    assert set(build(again, tmp_path / "run").tables()) == {*MEASURED, *discover()} - PAIRED


def poisoned(made: tiny.Model) -> None:
    """Makes one token's activations not a number in the second layer."""
    made.transformer.h[1].mlp.c_fc.bias[5] = float("nan")


def other_tokenizer(folder: Path) -> None:
    """Gives a model a tokenizer with one other word."""
    words = tuple(word.replace("w7", "v7") for word in tiny.WORDS)
    tiny.tokenizer(words).save_pretrained(folder)


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (
            lambda b: tiny.save(tiny.copied(tiny.model(1), poisoned), b),
            ModelError,
            "b: pre of layer 1, neuron 5 is nan at token",
        ),
        (other_tokenizer, ModelError, "a and b do not share a tokenizer: .*token 9"),
        (lambda b: (b / "model.safetensors").unlink(), ModelError, "has no weights"),
        (lambda b: (b / "config.json").write_text("{"), ModelError, "cannot be loaded"),
    ],
)
def test_a_model_that_cannot_be_used_leaves_no_half_run(
    tmp_path: Path,
    text: Path,
    spoil: Callable[[Path], object],
    error: type[NeurontabError],
    message: str,
) -> None:
    folders = [tiny.save(tiny.model(seed), tmp_path / name) for seed, name in enumerate("ab")]
    spoil(folders[1])
    settings = resolve(models=list(map(str, folders)), corpus=[str(text)], tokens="all")
    with pytest.raises(error, match=message):
        build(settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_settings_that_do_not_fit_the_models_are_refused(tmp_path: Path, text: Path) -> None:
    folder = str(tiny.save(tiny.model(0), tmp_path / "a"))
    with pytest.raises(ConfigError, match="no text for these models"):
        build(resolve(models=[folder]), tmp_path / "run")
    with pytest.raises(ConfigError, match="context is 64, but the models read 32"):
        build(resolve(models=[folder], corpus=[str(text)], context=64), tmp_path / "run")
    with pytest.raises(ConfigError, match="No device 'gpu'"):
        build(resolve(models=[folder], corpus=[str(text)], device="gpu"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_build_too_large_for_the_machine_is_refused_before_it_begins(
    tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurontab.prepare.free_memory", lambda device: 10**6)
    folder = tiny.save(tiny.model(0), tmp_path / "a")
    settings = resolve(models=[str(folder)], corpus=[str(text)], tokens="all")
    with pytest.raises(RunError, match=r"needs about .* GiB of memory"):
        build(settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_deriving_again_rewrites_tables_and_tells_the_thresholds(own: Run) -> None:
    excess = own.neurons.select(pl.col("excess_corr").max()).collect().item()
    assignments = [f"universality.threshold={excess - 0.01}"]
    changed = rederive(own, parse_thresholds(assignments, own.queries))
    assert changed.scan("family_summary").collect()["universal"].sum() > 0
    assert changed.manifest.queries["universality"].thresholds == {"threshold": excess - 0.01}
    for name, parts in changed.manifest.tables.items():
        for part, facts in parts.items():
            assert sha256_of(own.folder / "tables" / name / f"{part}.parquet") == facts.sha256
    back = rederive(changed, {})
    assert back.manifest.tables == own.manifest.tables


def test_a_query_with_a_threshold_writes_nothing(family: Run) -> None:
    before = snapshot(family.folder)
    found = family.query("universality", threshold=-1.0).collect()
    assert found["is_universal"].all()
    assert snapshot(family.folder) == before
    with pytest.raises(TableError, match=r"No query 'universalty'.*'universality'"):
        family.query("universalty")


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("universality.threshold", "is not QUERY.THRESHOLD=VALUE"),
        ("universalty.threshold=1", "Did you mean 'universality'"),
        ("universality.treshold=1", "Did you mean 'threshold'"),
        ("universality.threshold=high", "is a float, such as 0.5; found 'high'"),
        ("universality.threshold=nan", "is a float, such as 0.5; found nan"),
    ],
)
def test_an_assignment_that_sets_nothing_is_refused(assignment: str, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        parse_thresholds([assignment], discover())


def test_a_folder_that_cannot_be_opened_says_why(own: Run, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"No run .*nowhere.\nBuild one"):
        neurontab.open(tmp_path / "nowhere")
    with pytest.raises(RunError, match="is not a run"):
        neurontab.open(tmp_path)
    path = own.folder / "manifest.json"
    about = json.loads(path.read_text())
    path.write_text(json.dumps(about | {"schema_version": 99}))
    with pytest.raises(RunError, match=r"schema version 99.*\nUpgrade"):
        neurontab.open(own.folder)
    path.write_text(json.dumps(about | {"corpus": {"sha256": 3}}))
    with pytest.raises(RunError, match="is damaged"):
        neurontab.open(own.folder)
    outside = {"../../other": about["tables"]["models"]}
    path.write_text(json.dumps(about | {"tables": about["tables"] | outside}))
    with pytest.raises(RunError, match=r"names a table '../../other', which cannot be one"):
        neurontab.open(own.folder)
    path.write_text(path.read_text()[:100])
    with pytest.raises(RunError, match="is damaged"):
        neurontab.open(own.folder)


def test_the_newest_finished_run_is_the_default(
    family: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match="No finished run under runs"):
        neurontab.open()
    for name in ("old", "new", "unfinished"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    for name in ("old", "new"):
        shutil.copy(family.folder / "manifest.json", tmp_path / "runs" / name)
    assert newest().name == "new"


@pytest.mark.parametrize(
    ("models", "file", "folder"),
    [
        ([], None, "runs/suite"),
        (["org/pythia-seed1", "org/pythia-seed2"], None, "runs/pythia-seed"),
        (["x", "y"], None, "runs/family"),
        (["x", "y"], Path("settings/mine.toml"), "runs/mine"),
    ],
)
def test_a_run_is_named_after_what_it_is_of(
    models: list[str], file: Path | None, folder: str
) -> None:
    assert default_folder(resolve(models=models), file) == Path(folder)


def only_model(tmp_path: Path, text: Path) -> BuildConfig:
    """Settings of a build of one tiny model."""
    folder = tiny.save(tiny.model(0), tmp_path / "a")
    return resolve(models=[str(folder)], corpus=[str(text)], tokens="all")


@pytest.fixture
def own_query(tmp_path: Path) -> Path:
    """A folder with one query module of a user's own."""
    folder = tmp_path / "queries"
    folder.mkdir()
    (folder / "loud.py").write_text(
        '"""Loudest neuron of each layer."""\n'
        "import polars as pl\n"
        "from neurontab.tables.schemas import LAYER, MODEL\n"
        "from neurontab.tables.table import Column\n"
        "VERSION = 3\nKEYS = (MODEL, LAYER)\n"
        "COLUMNS = (Column('var', pl.Float32, 'Highest variance.'),)\n"
        "def loud(neurons: pl.LazyFrame) -> pl.LazyFrame:\n"
        "    return neurons.group_by('model', 'layer').agg(pl.col('var').max())\n"
    )
    return folder


def test_a_query_of_ones_own_is_derived_and_remembered(
    tmp_path: Path, text: Path, own_query: Path
) -> None:
    run = build(only_model(tmp_path, text), tmp_path / "run", queries_folder=own_query)
    assert run.sql("SELECT layer FROM loud ORDER BY layer")["layer"].to_list() == [0, 1]
    assert Run(run.folder).manifest.queries["loud"].version == 3
    assert len(run.query("loud").collect()) == 2


def test_opening_a_run_runs_no_code_that_it_names(
    tmp_path: Path, text: Path, own_query: Path
) -> None:
    run = build(only_model(tmp_path, text), tmp_path / "run", queries_folder=own_query)
    trap = tmp_path / "sprung"
    (own_query / "loud.py").write_text(f"open({str(trap)!r}, 'w')\n")
    opened = neurontab.open(run.folder)
    assert opened.sql("SELECT var FROM loud")["var"].min() is not None
    table = opened.tables()["loud"]
    assert table.description == "Loudest neuron of each layer."
    assert [key.name for key in table.keys] == ["model", "layer"]
    assert table.schema == opened.scan("loud").collect_schema()
    with pytest.raises(RunError, match=r"loud.\nName their folder with --queries"):
        rederive(opened, {})
    assert not trap.exists()


def test_changed_definitions_are_derived_without_measuring(
    tmp_path: Path, text: Path, own_query: Path
) -> None:
    settings = only_model(tmp_path, text)
    run = build(settings, tmp_path / "run")
    measured = run.manifest.tables["activation_moments"]
    again = build(settings, tmp_path / "run", queries_folder=own_query)
    assert len(again.scan("loud").collect()) == 2
    assert again.manifest.tables["activation_moments"] == measured
    assert again.manifest.stages == run.manifest.stages


def test_another_activation_function_is_another_model(built: Built, text: Path) -> None:
    run = built(text, a=tiny.model(0))
    config = run.folder.parent / "a" / "config.json"
    config.write_text(config.read_text().replace("gelu_new", "relu"))
    settings = resolve(models=[f"a={config.parent}"], corpus=[str(text)], tokens="all")
    with pytest.raises(RunError, match="another build: its model a is"):
        build(settings, run.folder)


def test_a_missing_or_cut_part_is_named(own: Run) -> None:
    part = own.folder / "tables" / "matches" / "seed0--seed1.parquet"
    content = part.read_bytes()
    part.write_bytes(content[:100])
    with pytest.raises(TableError, match=r"seed0--seed1.parquet has 100 bytes, the manifest says"):
        own.sql("SELECT count(*) FROM matches")
    part.unlink()
    with pytest.raises(TableError, match=r"seed0--seed1.parquet has no such file"):
        rederive(own, {})
    assert own.sql("SELECT count(*) AS n FROM neurons")["n"].item() == 144


def test_building_and_opening_are_functions_whatever_was_imported(family: Run) -> None:
    assert callable(neurontab.build)
    assert neurontab.open(family.folder).folder == family.folder


@pytest.mark.parametrize("mode", ["exact", "sketch"])
def test_a_batch_is_one_sequence_at_least(tmp_path: Path, mode: str) -> None:
    """However few tokens are asked for: the tables are those of larger batches."""
    folders = [
        tiny.save(tiny.model(seed, d_mlp=8, context=256), tmp_path / f"m{seed}")
        for seed in range(2)
    ]
    settings = resolve(
        models=list(map(str, folders)),
        corpus=[str(tiny.write_text(tmp_path / "words.txt", tokens=6_000))],
        tokens="all",
        matching={"mode": mode},
    )
    small = settings.model_copy(update={"batch_tokens": 16, "block_tokens": 16})
    columns = ["model", "layer", "neuron", "rank", "other_layer", "other_neuron", "corr"]
    usual, found = (
        build(each, tmp_path / name).scan("matches").select(columns).sort(columns).collect()
        for name, each in (("usual", settings), ("small", small))
    )
    assert_frame_equal(found, usual, abs_tol=1e-5)
