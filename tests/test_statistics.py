"""Everything measured of one model over text, where activations are a function of the token."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import tiny
from test_planted import activations

from neurontab.building import build
from neurontab.config import resolve
from neurontab.measure.survey import BYTES_A_GROUP, OFFSETS
from neurontab.run import Run

WIDTH = 24


@dataclass(frozen=True)
class Known:
    """A run of two lookup models over thirty documents of two sources, and its tokens."""

    run: Run
    tokens: np.ndarray  # [sequence, position]
    source: list[str]  # of each sequence
    pre: np.ndarray  # of model a [token, neuron]
    post: np.ndarray

    @property
    def counted(self) -> np.ndarray:
        """All counted tokens, end to end."""
        return self.tokens[:, 1:].ravel()


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    """Built once."""
    folder = tmp_path_factory.mktemp("known")
    for number in range(30):
        words = tiny.WORDS[:40] if number % 3 else tiny.WORDS[20:]
        kind = "prose" if number % 3 else "code"
        tiny.write_text(folder / "text" / kind / f"{number:02}.txt", 101, number, words)
    made = {name: tiny.lookup(tiny.model(seed, n_layers=1)) for seed, name in enumerate("ab")}
    models = [f"{name}={tiny.save(each, folder / name)}" for name, each in made.items()]
    settings = resolve(models=models, corpus=[str(folder / "text")], tokens="all", activations=100)
    run = build(settings, folder / "run")
    with pa.memory_map(str(run.folder / "corpus" / "tokens.arrow")) as file:
        table = pa.ipc.open_file(file).read_all()
    tokens = np.stack(table.column("tokens").to_numpy(zero_copy_only=False)).astype(int)
    pre, post = activations(made["a"])
    return Known(run, tokens, table.column("source").to_pylist(), pre, post)


def test_a_function_of_the_token_correlates_through_tokens_alone(known: Known) -> None:
    matches = known.run.scan("matches").filter(pl.col("corr") > 0.2).collect()
    assert matches["token_share"].to_numpy() == pytest.approx(1, abs=1e-4)
    assert matches["corr_within_token"].null_count() == len(matches)


@pytest.mark.parametrize(("offset", "by"), [("current", 0), ("previous", -1), ("next", 1)])
def test_tokens_are_ranked_by_z_of_their_mean(known: Known, offset: str, by: int) -> None:
    found = known.run.scan("token_response").filter(model="a", offset=offset).collect()
    here = known.tokens[:, 1:]
    there = np.roll(here, -by, axis=1)
    valid = np.ones_like(here, dtype=bool)
    if by:
        valid[:, -1 if by > 0 else 0] = False
    post, seen = known.post, known.post[here.ravel()]
    mean, deviation = seen.mean(axis=0), seen.std(axis=0)
    for neuron in (0, 5, 23):
        rows = []
        for token in np.unique(there[valid]):
            values = post[here[valid & (there == token)], neuron]
            z = (values.mean() - mean[neuron]) * len(values) ** 0.5 / deviation[neuron]
            rows.append((-z, token, len(values), values.mean(), values.max()))
        expected = np.array(sorted(rows)[:20])
        mine = found.filter(neuron=neuron).sort("rank")
        assert mine["z"].to_numpy() == pytest.approx(-expected[:, 0], abs=1e-3)
        assert mine["n"].to_list() == expected[:, 2].astype(int).tolist()
        assert mine["token_id"].to_list() == expected[:, 1].astype(int).tolist()
        assert mine["mean"].to_numpy() == pytest.approx(expected[:, 3], abs=1e-5)
        assert mine["max"].to_numpy() == pytest.approx(expected[:, 4], abs=1e-5)


def test_positions_and_sources_have_the_sums_of_their_tokens(known: Known) -> None:
    positions = known.run.scan("position_groups").filter(model="a").collect()
    for position in (1, 7, known.tokens.shape[1] - 1):
        values = known.post[known.tokens[:, position]]
        mine = positions.filter(position=position).sort("neuron")
        assert mine["sum"].to_numpy() == pytest.approx(values.sum(axis=0), abs=1e-4)
        assert mine["n"].to_list() == [len(values)] * WIDTH
        assert mine["n_active"].to_list() == (values > 0).sum(axis=0).tolist()
    assert positions["position"].min() == 1
    sources = known.run.scan("source_groups").filter(model="a").collect()
    assert set(sources["source"]) == {"code", "prose"}
    for name in ("code", "prose"):
        mine = sources.filter(source=name).sort("neuron")
        rows = known.tokens[[each == name for each in known.source], 1:].ravel()
        assert mine["sum"].to_numpy() == pytest.approx(known.post[rows].sum(axis=0), abs=1e-3)
        assert mine["n"].to_list() == [len(rows)] * WIDTH


def test_examples_are_the_ends_with_their_own_tokens(known: Known) -> None:
    examples = known.run.scan("examples").filter(model="a").collect()
    documents = pl.read_parquet(known.run.folder / "corpus" / "documents.parquet")
    for row in examples.filter(pl.col("neuron").is_in([0, 11])).iter_rows(named=True):
        at, tokens = row["before"], np.array(row["tokens"])
        neuron, first = row["neuron"], row["position"] - row["before"]
        expected = known.tokens[row["sequence"], first : first + len(tokens)]
        assert tokens.tolist() == expected.tolist()
        assert row["activations"] == pytest.approx(known.post[tokens, neuron], abs=1e-5)
        assert row["value"] == pytest.approx(known.post[tokens[at], neuron], abs=1e-5)
        assert at == min(16, row["position"])
        assert (
            documents["source"][row["document"]] == row["source"] == known.source[row["sequence"]]
        )
    for side, best in (("top", np.max), ("bottom", np.min)):
        first = examples.filter(side=side, rank=1).sort("neuron")["value"].to_numpy()
        assert first == pytest.approx(best(known.post[known.counted], axis=0), abs=1e-5)
        kept = examples.filter(side=side)
        assert kept.select("neuron", "document").is_duplicated().sum() == 0
        assert kept.group_by("neuron").len()["len"].unique().to_list() == [20]
    sampled = examples.filter(side="sample")
    assert sampled.select("sequence", "position").unique().height == 20


def test_histograms_count_every_position_where_its_value_lies(known: Known) -> None:
    found = known.run.scan("activation_histograms").filter(model="a").collect()
    for site, values in (("pre", known.pre), ("post", known.post)):
        seen = values[known.counted]
        for neuron in range(WIDTH):
            mine = found.filter(site=site, neuron=neuron)
            assert mine["n"].sum() == len(known.counted)
            lower, upper, n = (mine[name].to_numpy() for name in ("lower", "upper", "n"))
            mean = ((lower + upper) / 2 * n).sum() / n.sum()
            assert mean == pytest.approx(seen[:, neuron].mean(), abs=(upper - lower).max())


def test_exported_activations_are_those_of_the_tokens_beside_them(known: Known) -> None:
    for site, values in (("pre", known.pre), ("post", known.post)):
        path = known.run.folder / "activations" / "a" / f"{site}.0.arrow"
        with pa.memory_map(str(path)) as file:
            table = pa.ipc.open_file(file).read_all()
        assert len(table) == 100
        sequence, position = table["sequence"].to_numpy(), table["position"].to_numpy()
        tokens = known.tokens[sequence, position]
        assert table["token_id"].to_numpy().tolist() == tokens.tolist()
        found = np.stack(table["activation"].to_numpy(zero_copy_only=False))
        assert found == pytest.approx(values[tokens], abs=1e-5)
        assert 0 not in position


def test_logits_are_kept_for_the_most_universal_neurons(known: Known) -> None:
    found = known.run.scan("logit_effects").filter(model="a").collect()
    assert found.select("layer", "neuron").unique().height == WIDTH  # fewer than fifty
    assert found.group_by("neuron").len()["len"].unique().to_list() == [60]
    promoted = known.run.scan("vocab_tokens").filter(model="a", direction="promoted", rank=1)
    highest = found.group_by("neuron").agg(pl.col("logit").max()).sort("neuron")
    assert highest["logit"].to_list() == promoted.sort("neuron").collect()["logit"].to_list()


def test_tokens_beyond_the_memory_share_one_group(
    known: Known, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for ten tokens, the ten most frequent keep groups; shares are a lower bound."""
    monkeypatch.setattr("neurontab.measure.survey.GROUP_MEMORY", 12 * 3 * WIDTH * 10)
    about = known.run.manifest.config
    settings = resolve(models=about["models"], corpus=about["corpus"], tokens="all", activations=0)
    run = build(settings, tmp_path / "run")
    counts = np.bincount(known.counted, minlength=62)
    current = run.scan("token_response").filter(offset="current").collect()
    frequent = np.argsort(-counts, kind="stable")[:10]
    assert set(current["token_id"]) == set(frequent.tolist())
    share = run.scan("matches").filter(pl.col("corr") > 0.5).collect()["token_share"].to_numpy()
    assert (share < 1).all()
    assert not (run.folder / "activations").exists()


def test_models_of_unequal_size_share_the_groups_that_the_largest_has_room_for(
    tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that it does not matter which is named first."""
    room = 10 * BYTES_A_GROUP * len(OFFSETS) * 2 * 48
    monkeypatch.setattr("neurontab.measure.survey.GROUP_MEMORY", room)
    small = tiny.save(tiny.model(0), tmp_path / "small")
    large = tiny.save(tiny.model(1, d_mlp=48), tmp_path / "large")
    found = []
    for number, order in enumerate(([small, large], [large, small])):
        settings = resolve(models=list(map(str, order)), corpus=[str(text)], tokens="all")
        run = build(settings, tmp_path / str(number))
        found.append(run.scan("matches").drop("reverse_rank").collect())
        assert run.scan("token_response").collect()["token_id"].n_unique() == 10
    keys = ["model", "layer", "neuron", "other_model", "rank"]
    one, other = (each.sort(keys) for each in found)
    assert (one["token_share"] - other["token_share"]).abs().max() < 1e-4  # type: ignore[operator]
