"""Matches, twins and antimatches from sums against the obvious way in float64."""

import numpy as np
import pytest
from summed import WIDTHS, N, drawn, drawn_activations, matched, obvious, rows, summed
from torch import Tensor

from neurontab.measure.baselines import Draws
from neurontab.measure.tile import Place

PAIRS = [("a", "b"), ("b", "a")]


@pytest.fixture
def activations() -> dict[Place, Tensor]:
    """Correlated activations of two models."""
    return drawn_activations()


@pytest.mark.parametrize("direction", PAIRS)
def test_matches_are_the_highest_correlations_in_both_directions(
    activations: dict[Place, Tensor], direction: tuple[str, str]
) -> None:
    found = matched(summed(activations)).matches(*direction)
    expected = []
    for (layer, neuron), correlations in sorted(obvious(activations, *direction).items()):
        for rank, (corr, at, j) in enumerate(sorted(correlations, reverse=True)[:3], start=1):
            expected.append((layer, neuron, rank, at, j, pytest.approx(corr, abs=3e-6)))
    names = ("layer", "neuron", "rank", "other_layer", "other_neuron", "corr")
    assert sorted(rows(found, *names)) == expected
    assert set(found["n"].tolist()) == {N}


def test_the_reverse_rank_is_the_rank_seen_from_the_other_side(
    activations: dict[Place, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurontab.measure.best.AT_ONCE", 2)
    matching = matched(summed(activations))
    forward, backward = matching.matches("a", "b"), matching.matches("b", "a")
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
    tiles = summed(activations, dead=dead)
    matching = matched(tiles, 10)
    sides = [
        (of(*pair), *pair) for pair in PAIRS for of in (matching.matches, matching.antimatches)
    ]
    for columns, model, other in sides:
        own = {(Place(model, layer), j) for layer, j in rows(columns, "layer", "neuron")}
        partners = {
            (Place(other, layer), j) for layer, j in rows(columns, "other_layer", "other_neuron")
        }
        assert not (own | partners) & dead
    assert len(set(rows(matching.matches("a", "b"), "layer", "neuron"))) == sum(WIDTHS["a"]) - 1
    assert (1, 2) not in rows(matching.twins("a"), "layer", "neuron")
    assert (1, 2) not in rows(drawn(tiles, Draws(1, "haar", 0)), "layer", "neuron")


def test_twins_are_the_best_in_the_same_model_but_itself(activations: dict[Place, Tensor]) -> None:
    found = matched(summed(activations), n_twins=2).twins("b")
    best = {key: sorted(corrs)[::-1] for key, corrs in obvious(activations, "b", "b").items()}
    for layer, neuron, rank, at, j, corr in rows(
        found, "layer", "neuron", "rank", "other_layer", "other_neuron", "corr"
    ):
        exact, *place = best[layer, neuron][rank - 1]
        assert (corr, at, j) == (pytest.approx(exact, abs=3e-6), *place)
    assert len(found["rank"]) == 2 * sum(WIDTHS["b"])


def test_antimatches_are_the_lowest_correlations(activations: dict[Place, Tensor]) -> None:
    matching = matched(summed(activations))
    for model, other in PAIRS:
        columns = matching.antimatches(model, other)
        lowest = {key: min(corrs) for key, corrs in obvious(activations, model, other).items()}
        found = {
            row[:2]: row[2:]
            for row in rows(columns, "layer", "neuron", "corr", "other_layer", "other_neuron")
        }
        assert found == {
            key: (pytest.approx(c, abs=3e-6), at, j) for key, (c, at, j) in lowest.items()
        }


def test_assignments_pair_kept_matches_one_to_one_the_same_from_both_sides(
    activations: dict[Place, Tensor],
) -> None:
    matching = matched(summed(activations), 3)
    forth, back = matching.assignments("a", "b")
    names = ("layer", "neuron", "other_layer", "other_neuron", "corr")
    pairs = rows(forth, *names)
    assert sorted((c, d, a, b, r) for a, b, c, d, r in pairs) == sorted(rows(back, *names))
    for side in (slice(0, 2), slice(2, 4)):
        assert len({pair[side] for pair in pairs}) == len(pairs)
    kept = {(a, b, c, d) for a, b, c, d, _ in rows(matching.matches("a", "b"), *names)}
    kept |= {(c, d, a, b) for a, b, c, d, _ in rows(matching.matches("b", "a"), *names)}
    assert {pair[:4] for pair in pairs} <= kept
    exact = obvious(activations, "a", "b")
    for layer, neuron, at, j, corr in pairs:
        expected = next(r for r, *place in exact[layer, neuron] if place == [at, j])
        assert corr == pytest.approx(expected, abs=3e-6)


def test_gated_units_match_by_absolute_correlation(activations: dict[Place, Tensor]) -> None:
    flipped = dict(activations)
    flipped[Place("b", 1)] = -activations[Place("b", 1)]
    names = ("layer", "neuron", "rank", "other_layer", "other_neuron")
    gated = matched(summed(activations, two_sided=True), 4)
    plain = gated.matches("a", "b")
    turned = matched(summed(flipped, two_sided=True), 4).matches("a", "b")
    assert rows(plain, *names) == rows(turned, *names)
    assert plain["corr"] == pytest.approx(turned["corr"], abs=3e-6)
    assert plain["corr"].min() > 0
    assert (plain["sign"] == turned["sign"] * np.where(plain["other_layer"] == 1, -1, 1)).all()
    for layer, neuron, rank, at, j, corr, sign in rows(plain, *names, "corr", "sign"):
        values = activations[Place("a", layer)][:, neuron], activations[Place("b", at)][:, j]
        exact = np.corrcoef(values[0].double().numpy(), values[1].double().numpy())[0, 1]
        assert sign * corr == pytest.approx(exact, abs=3e-6), rank
    assert not len(gated.antimatches("a", "b")["corr"])
