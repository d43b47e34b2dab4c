"""Rotated baselines from sums against rotated activations."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from summed import WIDTHS, N, drawn, drawn_activations, summed
from torch import Tensor

from neurontab.measure.baselines import Draws
from neurontab.measure.rotation import rotated_variance, rotation
from neurontab.measure.tile import Place


@pytest.fixture
def activations() -> dict[Place, Tensor]:
    """Correlated activations of two models."""
    return drawn_activations()


@pytest.mark.parametrize("matrix", ["haar", "gaussian-rows"])
@pytest.mark.parametrize("kind", ["raw", "standardised"])
def test_the_baseline_from_sums_is_that_of_rotated_activations(
    activations: dict[Place, Tensor], kind: str, matrix: Any
) -> None:
    draws = Draws(3, matrix, seed=9)
    found = drawn(summed(activations), draws)
    here = found["kind"] == kind
    for draw, layer in product(range(3), range(2)):
        best = np.full(WIDTHS["a"][layer], -np.inf)
        layer_of_best = np.zeros(len(best))
        for at, width in enumerate(WIDTHS["b"]):
            q = rotation(
                width, matrix, seed=9, model="b", layer=at, draw=draw, device=torch.device("cpu")
            )
            y = activations[Place("b", at)].double()
            y = y / y.std(dim=0) if kind == "standardised" else y
            turned = (y @ q.double().T).numpy()
            x = activations[Place("a", layer)].double().numpy()
            corr = np.corrcoef(x.T, turned.T)[: x.shape[1], x.shape[1] :]
            layer_of_best[corr.max(axis=1) > best] = at
            best = np.maximum(best, corr.max(axis=1))
        rows_here = here & (found["draw"] == draw) & (found["layer"] == layer)
        assert found["corr"][rows_here] == pytest.approx(best, abs=2e-6)
        assert (found["other_layer"][rows_here] == layer_of_best).all()


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


def test_the_baseline_of_a_layer_of_copies_is_no_more_than_one() -> None:
    """Where all units are alike, most rotated units are rounding noise."""
    random = torch.Generator().manual_seed(0)
    alike = torch.randn(N, 1, generator=random).repeat(1, 8) * torch.linspace(1, 3, 8)
    activations = {
        Place(model, layer): alike[:, :width] + 1e-7 * torch.randn(N, width, generator=random)
        for model, widths in WIDTHS.items()
        for layer, width in enumerate(widths)
    }
    found = drawn(summed(activations), Draws(20, "haar", 0))
    assert np.abs(found["corr"]).max() <= 1
    assert found["corr"].min() > 0.9


def test_a_unit_without_support_is_left_out_of_the_standardised_rotation(
    activations: dict[Place, Tensor],
) -> None:
    """The same as if it did not vary at all."""
    dead = (Place("b", 1), 3)
    silent = {place: values.clone() for place, values in activations.items()}
    silent[dead[0]][:, dead[1]] = 0.5
    draws = Draws(2, "haar", 0)
    found = drawn(summed(activations, dead=frozenset({dead})), draws)
    expected = drawn(summed(silent, dead=frozenset({dead})), draws)
    here = found["kind"] == "standardised"
    assert found["corr"][here] == pytest.approx(expected["corr"][here], abs=2e-6)


def test_the_baseline_of_gated_units_is_two_sided(activations: dict[Place, Tensor]) -> None:
    draws = Draws(2, "haar", 0)
    flipped = activations | {Place("a", layer): -activations[Place("a", layer)] for layer in (0, 1)}
    plain = drawn(summed(activations, two_sided=True), draws)
    turned = drawn(summed(flipped, two_sided=True), draws)
    assert plain["corr"] == pytest.approx(turned["corr"], abs=2e-6)
    one_sided = drawn(summed(activations), draws)
    more = np.subtract(plain["corr"], one_sided["corr"])
    assert more.min() > -2e-6
    assert more.max() > 1e-3


def test_every_seed_model_layer_and_draw_has_a_rotation_of_its_own() -> None:
    first: dict[str, Any] = {"seed": 1, "model": "m", "layer": 0, "draw": 0}
    changes: list[dict[str, Any]] = [{}, {"seed": 2}, {"model": "n"}, {"layer": 1}, {"draw": 1}]
    cpu = torch.device("cpu")
    matrices = [rotation(6, "haar", device=cpu, **(first | change)) for change in changes]
    for one, other in product(range(5), repeat=2):
        assert torch.equal(matrices[one], matrices[other]) == (one == other)


def test_a_rotated_variance_that_is_rounding_noise_is_none() -> None:
    """A layer of copies varies along one direction; a unit across it does not vary."""
    along = torch.ones(4) / 2
    across = torch.tensor([0.5, -0.5, 0.5, -0.5])
    covariance = torch.outer(along, along).double() + 1e-7
    assert rotated_variance(torch.stack([along, across]), covariance)[0] > 0.9
    assert rotated_variance(torch.stack([along, across + 1e-4]), covariance)[1] == 0
