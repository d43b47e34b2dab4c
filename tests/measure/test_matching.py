"""Matches, twins and antimatches from sums against the obvious way in float64."""

import numpy as np
import pytest
from summed import WIDTHS, N, compared, drawn_activations, family_of, obvious, rows
from torch import Tensor

from neurontab.measure.baselines import Draws, baselines
from neurontab.measure.family import Place
from neurontab.measure.matching import twins


@pytest.fixture
def activations() -> dict[Place, Tensor]:
    """Correlated activations of two models."""
    return drawn_activations()


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
    found = compared(family, 10)
    forward, backward = found.matches
    sides = [(forward, "a", "b"), (backward, "b", "a")]
    sides += [(found.antimatches[0], "a", "b"), (found.antimatches[1], "b", "a")]
    for columns, model, other in sides:
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
    best = {key: sorted(corrs)[::-1] for key, corrs in obvious(activations, "b", "b").items()}
    for layer, neuron, rank, at, j, corr in rows(
        found, "layer", "neuron", "rank", "other_layer", "other_neuron", "corr"
    ):
        exact, *place = best[layer, neuron][rank - 1]
        assert (corr, at, j) == (pytest.approx(exact, abs=3e-6), *place)
    assert len(found["rank"]) == 2 * sum(WIDTHS["b"])


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
