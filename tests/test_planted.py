"""Planted truth: families whose matches are known beforehand, through the whole build."""

import copy
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import tiny
import torch
from conftest import Built
from transformers import PreTrainedTokenizerFast

from neurontab import suite
from neurontab.building import build
from neurontab.config import resolve
from neurontab.errors import ModelError
from neurontab.measure.rotation import rotation
from neurontab.run import Run
from neurontab.suite.recipe import RECIPE
from neurontab.suite.train import new_model
from neurontab.tables.schemas import MEASURED

KEYS = ["model", "layer", "neuron"]
CPU = torch.device("cpu")


def best(run: Run, model: str, other: str) -> pl.DataFrame:
    """Best matches of one model in another, sorted by neuron."""
    return (
        run.scan("matches")
        .filter(pl.col("rank") == 1, pl.col("model") == model, pl.col("other_model") == other)
        .sort("layer", "neuron")
        .collect()
    )


def permuted(made: tiny.Model, order: torch.Tensor) -> tiny.Model:
    """The same function with every layer's hidden units in another order."""

    def shuffle(copy: tiny.Model) -> None:
        for mlp in tiny.mlps(copy):
            mlp.c_fc.weight.copy_(mlp.c_fc.weight[:, order].clone())
            mlp.c_fc.bias.copy_(mlp.c_fc.bias[order].clone())
            mlp.c_proj.weight.copy_(mlp.c_proj.weight[order].clone())

    return tiny.copied(made, shuffle)


def test_permuted_units_are_found_and_only_constant_ones_are_null(built: Built, text: Path) -> None:
    dead = [(0, 3), (1, 17)]

    def kill(copy: tiny.Model) -> None:
        for layer, neuron in dead:
            tiny.mlps(copy)[layer].c_fc.weight[:, neuron] = 0
            tiny.mlps(copy)[layer].c_fc.bias[neuron] = -0.7

    first = tiny.copied(tiny.model(1), kill)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(5))
    run = built(text, a=first, b=permuted(first, order))
    place = order.argsort()  # where each unit of a stands in b

    forward, backward = best(run, "a", "b"), best(run, "b", "a")
    assert (forward["corr"] > 1 - 1e-5).all()
    assert (backward["corr"] > 1 - 1e-5).all()
    assert forward["other_neuron"].to_list() == place[forward["neuron"].to_list()].tolist()
    assert backward["other_neuron"].to_list() == order[backward["neuron"].to_list()].tolist()
    assert (forward["layer"] == forward["other_layer"]).all()
    assert (forward["reverse_rank"] == 1).all()

    null = run.neurons.filter(pl.col("mean_corr").is_null()).select(KEYS).sort(KEYS).collect()
    planted = [("a", *unit) for unit in dead]
    planted += [("b", layer, int(place[neuron])) for layer, neuron in dead]
    assert null.rows() == sorted(planted)
    flagged = run.neurons.filter("low_support").select(KEYS).sort(KEYS).collect()
    assert flagged.rows() == sorted(planted)
    assert run.scan("twins").join(null.lazy(), on=KEYS, how="semi").collect().is_empty()


def whitened(n: int, seed: int = 0) -> tuple[tiny.Model, torch.Tensor]:
    """A lookup model with linear MLPs, and n input directions over which tokens are uncorrelated.

    The directions [d_model, n] have unit variance over the tokens of a uniform corpus.
    """
    made = tiny.lookup(tiny.model(seed, d_mlp=n, d_model=40, n_layers=1, activation="linear"))
    words = made.transformer.wte.weight[2:].double()
    seen = torch.nn.functional.layer_norm(words, (40,))
    spread, axes = torch.linalg.eigh(torch.cov(seen.T, correction=0))
    directions = axes[:, -n:] / spread[-n:].sqrt()
    return made, directions.float()


def uniform_text(path: Path) -> Path:
    """Every word equally often, in whole sequences of 31."""
    random = np.random.default_rng(0)
    words = np.concatenate([random.permutation(tiny.WORDS) for _ in range(31 * 8)])
    path.write_text(" ".join(words.tolist()))
    return path


def reading(made: tiny.Model, w_in: torch.Tensor, bias: float = 0.0) -> tiny.Model:
    """A copy whose neurons read these directions [d_model, neuron]."""

    def write(copy: tiny.Model) -> None:
        tiny.mlps(copy)[0].c_fc.weight.copy_(w_in)
        tiny.mlps(copy)[0].c_fc.bias.fill_(bias)

    return tiny.copied(made, write)


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.0])
def test_noise_of_known_size_gives_the_predicted_correlation(
    built: Built, tmp_path: Path, sigma: float
) -> None:
    made, directions = whitened(16)
    signal, noise = directions[:, :8], directions[:, 8:]
    half = tiny.model(0, d_mlp=8, d_model=40, n_layers=1, activation="linear")
    half.transformer.wte.weight.data = made.transformer.wte.weight.data
    run = built(
        uniform_text(tmp_path / "uniform.txt"),
        a=reading(tiny.lookup(half), signal),
        b=reading(tiny.lookup(half), signal + sigma * noise),
    )
    found = best(run, "a", "b")
    assert found["other_neuron"].to_list() == list(range(8))
    assert found["corr"].to_numpy() == pytest.approx(1 / np.sqrt(1 + sigma**2), abs=3e-3)


def test_a_negated_unit_is_found_by_antimatches_only(built: Built, tmp_path: Path) -> None:
    made, directions = whitened(12)
    negated = directions.clone()
    negated[:, 4] *= -1
    run = built(
        uniform_text(tmp_path / "uniform.txt"),
        a=reading(made, directions),
        b=reading(made, negated),
    )
    matched = best(run, "a", "b")
    assert (matched.filter(pl.col("neuron") != 4)["corr"] > 1 - 1e-5).all()
    assert matched.filter(pl.col("neuron") == 4)["corr"].item() < 0.05
    opposite = run.scan("antimatches").filter(model="a", neuron=4).collect()
    assert opposite.select("other_neuron").item() == 4
    assert opposite["corr"].item() == pytest.approx(-1, abs=1e-5)


def test_a_large_mean_costs_no_digits(built: Built, tmp_path: Path) -> None:
    made, directions = whitened(12)
    plain = reading(made, directions)
    run = built(
        uniform_text(tmp_path / "uniform.txt"), a=plain, b=reading(made, directions, bias=1e3)
    )
    small, large = (
        run.scan("activation_shape").filter(model=name).sort("neuron").collect() for name in "ab"
    )
    assert large["mean"].to_numpy() == pytest.approx(small["mean"].to_numpy() + 1e3, abs=1e-3)
    for column in ("var", "skew", "kurt"):
        assert large[column].to_numpy() == pytest.approx(small[column].to_numpy(), abs=1e-3)
    assert best(run, "a", "b")["corr"].to_numpy() == pytest.approx(1, abs=1e-5)


def test_a_rotated_basis_has_the_same_logits_and_no_universal_neurons(
    built: Built, text: Path
) -> None:
    made = tiny.model(2, d_mlp=64, d_model=64, activation="linear")
    rotation = torch.linalg.qr(torch.randn(64, 64, generator=torch.Generator().manual_seed(1)))[0]

    def rotate(copy: tiny.Model) -> None:
        for mlp in tiny.mlps(copy):
            mlp.c_fc.weight.copy_(mlp.c_fc.weight @ rotation.T)
            mlp.c_fc.bias.copy_(rotation @ mlp.c_fc.bias)
            mlp.c_proj.weight.copy_(rotation @ mlp.c_proj.weight)

    turned = tiny.copied(made, rotate)
    tokens = torch.arange(2, 30)[None]
    assert torch.allclose(made(tokens).logits, turned(tokens).logits, atol=1e-4)

    run = built(text, a=made, b=turned)
    excess = run.scan("universality").collect()
    assert abs(excess["excess_corr"].mean()) < 0.03  # type: ignore[operator, arg-type]
    assert not excess["is_universal"].any()
    same_layer = pl.col("layer") == pl.col("other_layer")
    cka = run.scan("layer_similarity").filter(same_layer).collect()["cka"]
    assert cka.to_numpy() == pytest.approx(1, abs=1e-4)


def test_one_loud_unit_changes_nothing_else(built: Built, text: Path) -> None:
    first, second = tiny.model(3, activation="relu"), tiny.model(4, activation="relu")

    def shout(copy: tiny.Model) -> None:
        mlp = tiny.mlps(copy)[1]
        mlp.c_fc.weight[:, 7] *= 1000
        mlp.c_fc.bias[7] *= 1000
        mlp.c_proj.weight[7] /= 1000

    quiet = built(text, a=first, b=second)
    names = ("matches", "twins", "antimatches", "baselines")
    before = {name: quiet.scan(name).collect() for name in names}
    loud = built(text, a=first, b=tiny.copied(second, shout), fresh=True)
    after = {name: loud.scan(name).collect() for name in names}

    for name in names[:-1]:
        keys = [key.name for key in MEASURED[name].keys]
        same = before[name].join(after[name], on=keys, validate="1:1")
        assert len(same) == len(before[name]) > 0
        assert (same["corr"] - same["corr_right"]).abs().max() < 1e-5  # type: ignore[operator]
    keys = [*KEYS, "other_model", "kind", "draw"]
    drawn = (
        before["baselines"]
        .join(after["baselines"], on=keys, validate="1:1")
        .with_columns(change=(pl.col("corr") - pl.col("corr_right")).abs())
    )
    assert drawn.filter(kind="standardised")["change"].max() < 1e-5  # type: ignore[operator]
    assert drawn.filter(kind="raw", other_model="b")["change"].max() > 1e-3  # type: ignore[operator]


def test_an_untrained_pair_has_no_universal_neuron(tmp_path: Path) -> None:
    """Two models of the suite's shape before training, on the suite's text."""
    folders = []
    for seed in range(2):
        torch.manual_seed(seed)
        folders.append(tmp_path / f"untrained{seed}")
        new_model(0, RECIPE).save_pretrained(folders[-1])
        shutil.copytree(suite.FOLDER / "tokenizer", folders[-1], dirs_exist_ok=True)
    settings = resolve(
        models=list(map(str, folders)),
        corpus=[str(suite.CORPUS)],
        tokens=4_000,
        ablations=0,
        matching={"draws": 1},
    )
    found = build(settings, tmp_path / "run").scan("universality").collect()
    assert not found["is_universal"].any()
    assert (found["excess_corr"].abs() < 0.2).all()


@dataclass(frozen=True)
class Lookup:
    """A run of two models whose activations depend on the token alone, and what they must be."""

    run: Run
    share: np.ndarray  # of counted positions [token]
    pre: dict[str, np.ndarray]  # [token, neuron]
    post: dict[str, np.ndarray]

    def corr(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Correlation of columns [token, i] and [token, j] over counted positions [i, j]."""
        x, y = x - self.share @ x, y - self.share @ y
        spread = np.sqrt(np.outer(self.share @ x**2, self.share @ y**2))
        return np.asarray((x * self.share[:, None]).T @ y / spread)


@pytest.fixture
def lookup(built: Built, text: Path) -> Lookup:
    """Two lookup models of one layer, built."""
    made = {name: tiny.lookup(tiny.model(seed, n_layers=1)) for seed, name in enumerate("ab")}
    run = built(text, **made)
    counts = run.scan("vocabulary").collect()["n"].to_numpy()
    found = {name: activations(model) for name, model in made.items()}
    pre = {name: both[0] for name, both in found.items()}
    post = {name: both[1] for name, both in found.items()}
    return Lookup(run, counts / counts.sum(), pre, post)


def test_a_lookup_model_s_moments_have_a_closed_form(lookup: Lookup) -> None:
    run, share, pre = lookup.run, lookup.share, lookup.pre
    shape = run.scan("activation_shape").filter(model="a").sort("neuron").collect()
    mean = share @ pre["a"]
    deviation = pre["a"] - mean
    variance = share @ deviation**2
    assert shape["mean"].to_numpy() == pytest.approx(mean, abs=1e-5)
    assert shape["var"].to_numpy() == pytest.approx(variance, rel=1e-5)
    assert shape["skew"].to_numpy() == pytest.approx(share @ deviation**3 / variance**1.5, abs=1e-4)
    assert shape["kurt"].to_numpy() == pytest.approx(share @ deviation**4 / variance**2, rel=1e-4)
    assert shape["sparsity"].to_numpy() == pytest.approx(share @ (pre["a"] > 0), abs=1e-6)
    assert shape["bos_activation"].to_numpy() == pytest.approx(pre["a"][0], abs=1e-5)
    bos_z = (pre["a"][0] - mean) / np.sqrt(variance)
    assert shape["bos_z"].to_numpy() == pytest.approx(bos_z, abs=1e-4)

    moments = run.scan("activation_moments").filter(model="b", site="post").sort("neuron").collect()
    post = lookup.post["b"]
    deviation = post - share @ post
    n = moments["n"].to_numpy()
    assert moments["mean"].to_numpy() == pytest.approx(share @ post, abs=1e-5)
    for power in (2, 3, 4):
        expected = share @ deviation**power
        scale = (share @ deviation**2) ** (power / 2)
        assert moments[f"m{power}"].to_numpy() / n / scale == pytest.approx(
            expected / scale, rel=1e-4, abs=1e-4
        )
    seen = post[share > 0]
    assert moments["min"].to_numpy() == pytest.approx(seen.min(axis=0), abs=1e-5)
    assert moments["max"].to_numpy() == pytest.approx(seen.max(axis=0), abs=1e-5)
    assert moments["n_positive"].to_numpy() == pytest.approx(share @ (post > 0) * n, abs=1e-6)


def test_a_lookup_model_s_matches_have_a_closed_form(lookup: Lookup) -> None:
    post = lookup.post
    across, within = lookup.corr(post["a"], post["b"]), lookup.corr(post["a"], post["a"])
    np.fill_diagonal(within, -2)
    for name, corr, kept in (("matches", across, 10), ("twins", within, 5)):
        found = lookup.run.scan(name).filter(model="a").sort("neuron", "rank").collect()
        expected = -np.sort(-corr, axis=1)[:, :kept]
        assert found["corr"].to_numpy().reshape(24, kept) == pytest.approx(expected, abs=1e-5)
        partner = found.filter(rank=1)["other_neuron"].to_numpy()
        assert (partner == corr.argmax(axis=1)).all()
    found = lookup.run.scan("antimatches").filter(model="a").sort("neuron").collect()
    assert found["corr"].to_numpy() == pytest.approx(across.min(axis=1), abs=1e-5)
    assert (found["other_neuron"].to_numpy() == across.argmin(axis=1)).all()


def test_a_lookup_model_s_baselines_and_layers_have_a_closed_form(lookup: Lookup) -> None:
    post, share = lookup.post, lookup.share
    scale = {"raw": np.ones(24), "standardised": 1 / np.sqrt(variance_of(post["b"], share))}
    for draw in range(4):
        matrix = rotation(24, "haar", seed=0, model="b", layer=0, draw=draw, device=CPU).numpy()
        for kind, each in scale.items():
            turned = (post["b"] * each) @ matrix.T.astype(float)
            expected = lookup.corr(post["a"], turned).max(axis=1)
            here = pl.col("model") == "a", pl.col("kind") == kind, pl.col("draw") == draw
            found = lookup.run.scan("baselines").filter(here).sort("neuron").collect()
            assert found["corr"].to_numpy() == pytest.approx(expected, abs=1e-5)
    row = lookup.run.scan("layer_similarity").filter(model="a").collect().row(0, named=True)
    gram = [lookup.corr(post[x], post[y]) for x, y in ("ab", "aa", "bb")]
    norms = [np.square(each).sum() for each in gram]
    assert row["cka_standardised"] == pytest.approx(norms[0] / np.sqrt(norms[1] * norms[2]))
    spread = {name: np.sqrt(variance_of(values, share)) for name, values in post.items()}
    raw = [
        np.square(each * np.outer(spread[x], spread[y])).sum()
        for each, (x, y) in zip(gram, (["a", "b"], ["a", "a"], ["b", "b"]), strict=True)
    ]
    assert row["cka"] == pytest.approx(raw[0] / np.sqrt(raw[1] * raw[2]))
    assert row["mean_max_corr"] == pytest.approx(gram[0].max(axis=1).mean())


def variance_of(values: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Population variance of every column over counted positions."""
    return np.asarray(share @ (values - share @ values) ** 2)


def activations(made: tiny.Model) -> tuple[np.ndarray, np.ndarray]:
    """Pre and post of the only layer for every token [token, neuron], in float64."""
    block = made.transformer.h[0].double()
    embedded = made.transformer.wte.weight.double()
    pre = block.mlp.c_fc(block.ln_2(embedded))
    post = block.mlp.act(pre)
    block.float()
    return pre.detach().numpy(), post.detach().numpy()


def test_a_gated_unit_matches_its_mirror_image_with_a_sign(built: Built, text: Path) -> None:
    """Turning the signs of a unit's up and down vectors changes nothing that a model computes."""
    made = tiny.of_kind("llama")
    turned = [0, 5, 11]
    mirrored = copy.deepcopy(made)
    with torch.no_grad():
        for layer in mirrored.model.layers:
            layer.mlp.up_proj.weight[turned] *= -1
            layer.mlp.down_proj.weight[:, turned] *= -1
    tokens = torch.arange(2, 30)[None]
    assert torch.allclose(made(tokens).logits, mirrored(tokens).logits, atol=1e-5)
    run = built(text, a=made, b=mirrored)
    found = best(run, "a", "b")
    assert (found["corr"] > 1 - 1e-5).all()
    assert found["other_neuron"].to_list() == found["neuron"].to_list()
    expected = [-1 if neuron in turned else 1 for neuron in found["neuron"]]
    assert found["sign"].to_list() == expected
    assert run.scan("antimatches").collect().is_empty()
    assert run.scan("weights").collect()["w_gate_norm"].null_count() == 0


def test_masked_tokens_count_for_no_statistic(tmp_path: Path) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(suite.FOLDER / "tokenizer")
    made = tiny.model(words=len(tokenizer) - 2, context=256)
    made.save_pretrained(tmp_path / "m")
    tokenizer.save_pretrained(tmp_path / "m")
    settings = resolve(
        models=[str(tmp_path / "m")],
        corpus=[str(suite.CORPUS)],
        tokens=2_000,
        mask_newlines=True,
    )
    run = build(settings, tmp_path / "run")
    newline = run.scan("vocabulary").filter(text="\n").collect()
    assert run.manifest.masked_ids == [0, *newline["token_id"]]
    assert newline["n"].to_list() == [0]
    counted = run.manifest.corpus.counted
    assert run.scan("vocabulary").collect()["n"].sum() == counted
    assert run.scan("activation_moments").collect()["n"].unique().to_list() == [counted]
    assert counted < run.manifest.corpus.sequences * 255


def test_an_activation_that_overflows_after_the_function_is_named(built: Built, text: Path) -> None:
    def overflow(copy: tiny.Model) -> None:
        tiny.mlps(copy)[1].c_fc.bias[5] = 1e25

    with pytest.raises(ModelError, match="a: post of layer 1, neuron 5 is inf at token"):
        built(text, a=tiny.copied(tiny.model(0, activation="relu2"), overflow))


def test_a_neuron_of_any_size_keeps_its_shape(built: Built, text: Path) -> None:
    def shout(copy: tiny.Model) -> None:
        tiny.mlps(copy)[1].c_fc.weight[:, 5] *= 1e11
        tiny.mlps(copy)[1].c_fc.bias[5] *= 1e11
        tiny.mlps(copy)[1].c_proj.weight[5] *= 1e-11

    made = tiny.model(0, activation="relu")
    run = built(text, a=made, loud=tiny.copied(made, shout))
    shape = run.scan("activation_shape").filter(layer=1, neuron=5).sort("model").collect()
    for column in ("skew", "kurt", "sparsity", "support"):
        assert shape[column][1] == pytest.approx(shape[column][0], rel=1e-4)
    assert shape["var"][1] == pytest.approx(1e22 * shape["var"][0], rel=1e-4)
