"""What features explain, through the whole build, against direct sums in float64."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
import tiny
import torch
from test_planted import activations

from neurontab.building import build
from neurontab.config import resolve
from neurontab.measure.document_groups import DocumentGroups
from neurontab.prepare import prepare
from neurontab.progress import Silent
from neurontab.run import Run

WORDS = (
    *("the", "The", "THE", "a", "A", "of", "and", "but", "in", "to", "is", "was", "not", "he"),
    *("Running", "running", "walked", "nation", "un", "under", "1", "12", "1999", "31", "x", "y"),
    *(".", ",", "(", ")", "{", "$", "'", "May", "monday", "Texas", "TX", "seven", "year", "Z"),
)
OFFSETS = {"current": 0, "previous": -1, "next": 1}
WIDTH, PLANTED = 24, 5


@dataclass(frozen=True)
class Known:
    """A run whose activations are a function of the token, and what each position holds."""

    run: Run
    token: np.ndarray  # [sequence, position], BOS left out
    held_out: np.ndarray  # [sequence, position]
    post: np.ndarray  # [token, neuron]

    def there(self, offset: str) -> tuple[np.ndarray, np.ndarray]:
        """The positions that have a token there, and those tokens; none beyond a sequence."""
        by = OFFSETS[offset]
        present = np.ones_like(self.token, dtype=bool)
        if by:
            present[:, -1 if by > 0 else 0] = False
        return present, np.roll(self.token, -by, axis=1)

    def true(self, feature: str) -> np.ndarray:
        """The tokens that have a feature."""
        rows = self.run.scan("token_features").filter(feature=feature).collect()
        return rows["token_id"].to_numpy()


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    """Built once, from thirty documents."""
    folder = tmp_path_factory.mktemp("known")
    for number in range(30):
        tiny.write_text(folder / "text" / f"{number:02}.txt", 301, number, WORDS)
    made = planted(tiny.lookup(tiny.model(0, n_layers=1, d_model=64, words=len(WORDS))))
    source = tiny.save(made, folder / "a", WORDS)
    settings = resolve(models=[str(source)], corpus=[str(folder / "text")], tokens="all")
    text = prepare(settings, Silent()).corpus
    half = DocumentGroups.of(text).group_of.numpy() % 2
    run = build(settings, folder / "run")
    _, post = activations(made)
    return Known(run, text.tokens[:, 1:].astype(int), half[text.document[:, 1:]] == 1, post)


def planted(made: tiny.Model) -> tiny.Model:
    """One neuron is as active as can be on tokens with a digit, and as little on others."""
    digits = torch.tensor([any(letter.isdigit() for letter in word) for word in WORDS])

    def write(copy: tiny.Model) -> None:
        seen = torch.nn.functional.layer_norm(copy.transformer.wte.weight[2:], (64,))
        wanted = torch.where(digits, 5.0, -5.0)[:, None]
        mlp = tiny.mlps(copy)[0]
        mlp.c_fc.weight[:, PLANTED] = torch.linalg.lstsq(seen, wanted).solution[:, 0]
        mlp.c_fc.bias[PLANTED] = 0

    return tiny.copied(made, write)


def variance_reduction(values: np.ndarray, label: np.ndarray) -> float:
    """What of the variance a label takes away, in float64."""
    inside, outside = values[label], values[~label]
    left = (inside.var() * len(inside) + outside.var() * len(outside)) / len(values)
    return float(1 - left / values.var())


@pytest.mark.parametrize("offset", OFFSETS)
def test_explained_variance_is_that_of_direct_sums(known: Known, offset: str) -> None:
    found = known.run.scan("explanations").filter(offset=offset).collect()
    assert found["neuron"].n_unique() == WIDTH
    present, there = known.there(offset)
    post = known.post.astype(np.float64)
    for row in found.iter_rows(named=True):
        label = np.isin(there, known.true(row["feature"]))
        values = post[known.token, row["neuron"]]
        every, held_out = present, present & known.held_out
        direct = variance_reduction(values[every], label[every])
        assert row["explained"] == pytest.approx(direct, abs=1e-5)
        direct = variance_reduction(values[held_out], label[held_out])
        assert row["explained_held_out"] == pytest.approx(direct, abs=1e-5)
        assert row["mean_true"] == pytest.approx(values[every & label].mean(), abs=1e-5)
        assert row["mean_false"] == pytest.approx(values[every & ~label].mean(), abs=1e-5)
        assert row["n_true"] == (every & label).sum()


def test_the_kept_features_are_the_best_of_the_other_half(known: Known) -> None:
    present, there = known.there("previous")
    names = known.run.scan("token_features").select("feature").unique().collect()["feature"]
    chosen = present & ~known.held_out
    for neuron in (0, 7):
        values = known.post.astype(np.float64)[known.token, neuron]
        reduced = {}
        for name in names:
            label = np.isin(there, known.true(name))[chosen]
            if 0 < label.sum() < len(label):
                reduced[name] = variance_reduction(values[chosen], label)
        best = sorted(reduced.values(), reverse=True)[:20]
        kept = known.run.scan("feature_groups").filter(neuron=neuron, offset="previous")
        mine = [reduced[name] for name in kept.sort("rank").collect()["feature"]]
        assert mine == pytest.approx(best, abs=1e-7)


def test_support_is_counted_over_positions_and_documents(known: Known) -> None:
    support = known.run.scan("feature_support").filter(offset="next").collect()
    present, there = known.there("next")
    rows = dict(zip(support["feature"], support["n_true"], strict=True))
    for name in ("all_caps", "is_year", "contains_period", "end_w_ing"):
        assert rows[name] == np.isin(there[present], known.true(name)).sum()
    documents = dict(zip(support["feature"], support["n_documents"], strict=True))
    assert documents["starts_w_consonant"] == 30
    assert (support["n_documents"] <= 30).all()


def test_a_function_of_the_token_has_all_of_it_as_ceiling(known: Known) -> None:
    found = known.run.scan("explanations").filter(offset="current").collect()
    assert found["ceiling"].to_numpy() == pytest.approx(1, abs=1e-4)
    assert found["ceiling_share"].to_numpy() == pytest.approx(
        found["explained"].to_numpy(), rel=1e-3
    )
    assert (found["explained"] <= found["ceiling"] + 1e-4).all()


def test_features_true_of_every_token_or_none_explain_nothing(known: Known) -> None:
    kept = known.run.scan("feature_groups").collect()
    assert (kept["n_true"] > 0).all()
    assert (kept["n_true"] < kept["n"]).all()


def test_a_planted_feature_is_told_from_chance_and_noise_is_not(known: Known) -> None:
    best = (
        known.run.scan("explanations")
        .filter(offset="current")
        .sort("explained", descending=True)
        .group_by("neuron", maintain_order=True)
        .agg(pl.all().first())
        .sort("neuron")
        .collect()
    )
    planted, others = best.row(PLANTED, named=True), best.filter(pl.col("neuron") != PLANTED)
    assert planted["feature"] in ("all_numeric", "contains_digit", "starts_w_digit")  # all the same
    assert planted["explained"] == pytest.approx(1, abs=1e-3)
    assert planted["explained_held_out"] == pytest.approx(1, abs=1e-3)
    assert planted["explained_chance"] < 0.6
    ratio = (others["explained"] / others["explained_chance"]).to_numpy()
    assert np.median(ratio) == pytest.approx(1, abs=0.3)
