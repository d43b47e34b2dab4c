"""Likeness of layers from sums against centred activations."""

import numpy as np
import pytest
from summed import alike, drawn_activations, obvious, rows, summed
from torch import Tensor

from neurontab.measure.tile import Place

DEAD = frozenset({(Place("a", 1), 2), (Place("b", 0), 4), (Place("b", 0), 1)})


@pytest.fixture
def activations() -> dict[Place, Tensor]:
    """Correlated activations of two models."""
    return drawn_activations()


@pytest.mark.parametrize("dead", [frozenset(), DEAD], ids=["all", "some dead"])
@pytest.mark.parametrize("direction", [("a", "b"), ("b", "a")])
def test_cka_is_that_of_centred_activations(
    activations: dict[Place, Tensor],
    dead: frozenset[tuple[Place, int]],
    direction: tuple[str, str],
) -> None:
    """Units without support count for the plain one only."""
    tiles = summed(activations, dead=dead)
    found = alike(tiles).columns(*direction)
    assert len(found["cka"]) == 6
    columns = ("layer", "other_layer", "cka", "cka_standardised", "n_constant")
    for layer, at, cka, standardised, n_constant in rows(found, *columns):
        places = Place(direction[0], layer), Place(direction[1], at)
        x, y = (
            activations[place].double() - activations[place].double().mean(0) for place in places
        )
        alive = [tiles.family.facts(place).eligible for place in places]
        assert n_constant == (~alive[0]).sum()
        u, v = x[:, alive[0]], y[:, alive[1]]
        for value, one, two in ((cka, x, y), (standardised, u / u.std(0), v / v.std(0))):
            cross, own, other = (
                (p.T @ q).square().sum() for p, q in ((one, two), (one, one), (two, two))
            )
            assert value == pytest.approx((cross / (own * other).sqrt()).item(), abs=3e-6)


@pytest.mark.parametrize("direction", [("a", "b"), ("b", "a")])
def test_the_mean_best_correlation_is_over_the_layers_own_neurons(
    activations: dict[Place, Tensor], direction: tuple[str, str]
) -> None:
    found = alike(summed(activations)).columns(*direction)
    everything = obvious(activations, *direction)
    for layer, at, mean in rows(found, "layer", "other_layer", "mean_max_corr"):
        best = [
            max(corr for corr, other_layer, _ in correlations if other_layer == at)
            for (own_layer, _), correlations in everything.items()
            if own_layer == layer
        ]
        assert mean == pytest.approx(np.mean(best), abs=3e-6)
