"""Matches, twins, antimatches and baselines from sums against the obvious way in float64."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from neurontab.measure.baselines import Draws, baselines
from neurontab.measure.columns import Columns
from neurontab.measure.family import Family, LayerFacts, Place, place_pairs
from neurontab.measure.matching import Comparison, compare, twins
from neurontab.measure.pairs import PairSums
from neurontab.measure.rotation import rotation
from neurontab.measure.similarity import own_norms

N = 4_000
WIDTHS = {"a": [5, 7], "b": [6, 8, 4]}


@pytest.fixture
def activations() -> dict[Place, Tensor]:
    """Correlated activations of two models with layers of different widths [token, neuron]."""
    random = torch.Generator().manual_seed(3)
    common = torch.randn(N, 6, generator=random)
    found = {}
    for model, widths in WIDTHS.items():
        for layer, width in enumerate(widths):
            mix = torch.randn(6, width, generator=random)
            noise = torch.randn(N, width, generator=random)
            found[Place(model, layer)] = (common @ mix + noise).relu() + 3
    return found


def family_of(
    activations: dict[Place, Tensor],
    *,
    dead: frozenset[tuple[Place, int]] = frozenset(),
    two_sided: bool = False,
) -> Family:
    """The sums that streaming would have made."""
    shift = {place: values[:100].mean(dim=0) for place, values in activations.items()}
    sums = {}
    for place, other in place_pairs({model: len(widths) for model, widths in WIDTHS.items()}):
        x, y = activations[place] - shift[place], activations[other] - shift[other]
        sums[place, other] = PairSums(x.shape[1], y.shape[1], torch.device("cpu"))
        sums[place, other].add(x, y)
    layers: dict[str, list[LayerFacts]] = {model: [] for model in WIDTHS}
    for place, values in activations.items():
        exact = values.double()
        eligible = torch.tensor([(place, unit) not in dead for unit in range(values.shape[1])])
        mean, variance = exact.mean(dim=0), exact.var(dim=0, correction=0)
        layers[place.model].append(LayerFacts(mean - shift[place].double(), variance, eligible))
    return Family(layers, sums, N, two_sided=two_sided)


def compared(family: Family, k: int = 3) -> Comparison:
    """The two models compared."""
    return compare(family, "a", "b", k=k, own=own_norms(family))


def obvious(activations: dict[Place, Tensor], model: str, other: str) -> dict[Any, list[Any]]:
    """For each neuron of a model every correlation with the other's, (corr, layer, neuron)."""
    units = {
        name: [(layer, unit) for layer, width in enumerate(widths) for unit in range(width)]
        for name, widths in WIDTHS.items()
    }
    found = {}
    for layer, unit in units[model]:
        x = activations[Place(model, layer)][:, unit].double().numpy()
        found[layer, unit] = [
            (np.corrcoef(x, activations[Place(other, at)][:, j].double().numpy())[0, 1], at, j)
            for at, j in units[other]
            if (model, layer, unit) != (other, at, j)
        ]
    return found


def rows(columns: Columns, *names: str) -> list[Any]:
    """Rows of the named columns."""
    return list(zip(*(columns[name].tolist() for name in names), strict=True))


@pytest.mark.parametrize("direction", [("a", "b"), ("b", "a")])
def test_matches_are_the_highest_correlations_in_both_directions(
    activations: dict[Place, Tensor], direction: tuple[str, str]
) -> None:
    both = compared(family_of(activations)).matches
    found = both[direction == ("b", "a")]
    expected = []
    for (layer, neuron), correlations in sorted(obvious(activations, *direction).items()):
        for rank, (corr, at, j) in enumerate(sorted(correlations, reverse=True)[:3], start=1):
            expected.append((layer, neuron, rank, at, j, pytest.approx(corr, abs=3e-6)))
    names = ("layer", "neuron", "rank", "other_layer", "other_neuron", "corr")
    assert sorted(rows(found, *names)) == expected
    assert set(found["n"].tolist()) == {N}


def test_the_reverse_rank_is_the_rank_seen_from_the_other_side(
    activations: dict[Place, Tensor],
) -> None:
    forward, backward = compared(family_of(activations)).matches
    names = ("layer", "neuron", "other_layer", "other_neuron")
    seen = {
        (c, d, a, b): rank
        for (a, b, c, d), rank in zip(rows(backward, *names), backward["rank"], strict=True)
    }
    found = forward["reverse_rank"].tolist()
    assert found == [seen.get(key) for key in rows(forward, *names)]
    assert any(rank is None for rank in found)
    assert any(rank is not None for rank in found)


def test_units_without_support_are_nobodys_match(activations: dict[Place, Tensor]) -> None:
    dead = frozenset({(Place("a", 1), 2), (Place("b", 0), 4)})
    family = family_of(activations, dead=dead)
    forward, backward = compared(family, 10).matches
    for columns, model, other in ((forward, "a", "b"), (backward, "b", "a")):
        own = {(Place(model, layer), j) for layer, j in rows(columns, "layer", "neuron")}
        partners = {
            (Place(other, layer), j) for layer, j in rows(columns, "other_layer", "other_neuron")
        }
        assert not (own | partners) & dead
    assert len(set(rows(forward, "layer", "neuron"))) == sum(WIDTHS["a"]) - 1
    assert (1, 2) not in rows(twins(family, "a", 3), "layer", "neuron")
    drawn = baselines(family, "b", Draws(1, "haar", 0))["a"]
    assert (1, 2) not in rows(drawn, "layer", "neuron")


def test_twins_are_the_best_in_the_same_model_but_itself(activations: dict[Place, Tensor]) -> None:
    found = twins(family_of(activations), "b", 2)
    best = {(layer, j): max(corrs) for (layer, j), corrs in obvious(activations, "b", "b").items()}
    for layer, neuron, rank, at, j, corr in rows(
        found, "layer", "neuron", "rank", "other_layer", "other_neuron", "corr"
    ):
        if rank == 1:
            assert (corr, at, j) == (
                pytest.approx(best[layer, neuron][0], abs=3e-6),
                *best[layer, neuron][1:],
            )


def test_antimatches_are_the_lowest_correlations(activations: dict[Place, Tensor]) -> None:
    forward, backward = compared(family_of(activations)).antimatches
    for columns, model, other in ((forward, "a", "b"), (backward, "b", "a")):
        lowest = {key: min(corrs) for key, corrs in obvious(activations, model, other).items()}
        found = {
            row[:2]: row[2:]
            for row in rows(columns, "layer", "neuron", "corr", "other_layer", "other_neuron")
        }
        assert found == {
            key: (pytest.approx(c, abs=3e-6), at, j) for key, (c, at, j) in lowest.items()
        }


def test_gated_units_match_by_absolute_correlation(activations: dict[Place, Tensor]) -> None:
    flipped = dict(activations)
    flipped[Place("b", 1)] = -activations[Place("b", 1)]
    names = ("layer", "neuron", "rank", "other_layer", "other_neuron")
    plain, _ = compared(family_of(activations, two_sided=True), 4).matches
    turned, _ = compared(family_of(flipped, two_sided=True), 4).matches
    assert rows(plain, *names) == rows(turned, *names)
    assert plain["corr"] == pytest.approx(turned["corr"], abs=3e-6)
    assert plain["corr"].min() > 0
    assert (plain["sign"] == turned["sign"] * np.where(plain["other_layer"] == 1, -1, 1)).all()
    for layer, neuron, rank, at, j, corr, sign in rows(plain, *names, "corr", "sign"):
        values = activations[Place("a", layer)][:, neuron], activations[Place("b", at)][:, j]
        exact = np.corrcoef(values[0].double().numpy(), values[1].double().numpy())[0, 1]
        assert sign * corr == pytest.approx(exact, abs=3e-6), rank
    assert not len(compared(family_of(activations, two_sided=True)).antimatches[0]["corr"])


@pytest.mark.parametrize("matrix", ["haar", "gaussian-rows"])
@pytest.mark.parametrize("kind", ["raw", "standardised"])
def test_the_baseline_from_sums_is_that_of_rotated_activations(
    activations: dict[Place, Tensor], kind: str, matrix: Any
) -> None:
    draws = Draws(3, matrix, seed=9)
    found = baselines(family_of(activations), "b", draws)["a"]
    here = found["kind"] == kind
    for draw, layer in product(range(3), range(2)):
        best = np.full(WIDTHS["a"][layer], -np.inf)
        for at, width in enumerate(WIDTHS["b"]):
            q = rotation(
                width, matrix, seed=9, model="b", layer=at, draw=draw, device=torch.device("cpu")
            )
            y = activations[Place("b", at)].double()
            y = y / y.std(dim=0) if kind == "standardised" else y
            turned = (y @ q.double().T).numpy()
            x = activations[Place("a", layer)].double().numpy()
            corr = np.corrcoef(x.T, turned.T)[: x.shape[1], x.shape[1] :]
            best = np.maximum(best, corr.max(axis=1))
        rows_here = here & (found["draw"] == draw) & (found["layer"] == layer)
        assert found["corr"][rows_here] == pytest.approx(best, abs=2e-6)


def test_a_rotation_is_orthogonal_seeded_and_uniform() -> None:
    place: dict[str, Any] = {"seed": 1, "model": "m", "layer": 0, "device": torch.device("cpu")}
    q = rotation(50, "haar", draw=0, **place)
    assert torch.allclose(q @ q.T, torch.eye(50), atol=1e-5)
    assert torch.equal(q, rotation(50, "haar", draw=0, **place))
    assert not torch.equal(q, rotation(50, "haar", draw=1, **place))
    draws = torch.stack([rotation(8, "haar", draw=draw, **place) for draw in range(400)])
    # Haar: every entry has mean 0 and variance 1 / width, the first column too (QR alone fails).
    assert draws.mean(dim=0).abs().max() < 5 / (8 * 400) ** 0.5
    assert draws.square().mean(dim=0) == pytest.approx(1 / 8, abs=0.04)
    rows_ = rotation(50, "gaussian-rows", draw=0, **place)
    assert rows_.norm(dim=1) == pytest.approx(1, abs=1e-5)
    assert not torch.allclose(rows_ @ rows_.T, torch.eye(50), atol=1e-2)


def test_cka_is_that_of_centred_gram_matrices(activations: dict[Place, Tensor]) -> None:
    found = compared(family_of(activations)).layer_similarity[0]
    for layer, at, cka, standardised in rows(
        found, "layer", "other_layer", "cka", "cka_standardised"
    ):
        x, y = (activations[p].double() for p in (Place("a", layer), Place("b", at)))
        x, y = x - x.mean(dim=0), y - y.mean(dim=0)
        for value, one, two in ((cka, x, y), (standardised, x / x.std(dim=0), y / y.std(dim=0))):
            cross, own, other = (
                (p.T @ q).square().sum() for p, q in ((one, two), (one, one), (two, two))
            )
            assert value == pytest.approx((cross / (own * other).sqrt()).item(), abs=3e-6)


def test_the_baseline_of_a_layer_of_copies_is_no_more_than_one() -> None:
    """Where all units are alike, most rotated units are rounding noise."""
    random = torch.Generator().manual_seed(0)
    alike = torch.randn(N, 1, generator=random).repeat(1, 8) * torch.linspace(1, 3, 8)
    activations = {
        Place(model, layer): alike[:, :width] + 1e-7 * torch.randn(N, width, generator=random)
        for model, widths in WIDTHS.items()
        for layer, width in enumerate(widths)
    }
    found = baselines(family_of(activations), "b", Draws(20, "haar", 0))["a"]
    assert np.abs(found["corr"]).max() <= 1
    assert found["corr"].min() > 0.9
