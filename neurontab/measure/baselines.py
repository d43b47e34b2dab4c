"""What a random basis of another model would match: the best correlation with rotated layers."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from neurontab.measure.columns import Columns, stacked
from neurontab.measure.family import Family, LayerFacts, Place
from neurontab.measure.pairs import inverse_root
from neurontab.measure.rotation import Shape, rotated_correlation, rotated_variance, rotation

KINDS = ("raw", "standardised")


@dataclass(frozen=True)
class Draws:
    """Which random matrices are drawn."""

    number: int
    shape: Shape
    seed: int


def baselines(family: Family, other: str, draws: Draws) -> dict[str, Columns]:
    """Table `baselines` of every other model against `other` rotated, by model, without names.

    Each layer of `other` is rotated within itself, once for each draw, the same for all models.
    """
    models = [model for model in family.layers if model != other]
    if not models:
        return {}
    best: dict[tuple[str, str, int], list[Tensor]] = defaultdict(list)
    for other_place in family.places(other):
        matrices = [_drawn(family, other_place, draws, draw) for draw in range(draws.number)]
        for kind, scale in _scales(family.facts(other_place)).items():
            spread = family.covariance(other_place, other_place) * scale[:, None] * scale
            variances = [rotated_variance(matrix, spread) for matrix in matrices]
            for model in models:
                scaled = _scaled(family, model, other_place) * scale.float()
                for draw, matrix in enumerate(matrices):
                    corr = rotated_correlation(scaled, matrix, variances[draw])
                    ranked = corr.abs() if family.two_sided else corr
                    best[model, kind, draw].append(ranked.amax(dim=1))
    return {model: _columns(family, model, best, draws.number) for model in models}


def _scales(facts: LayerFacts) -> dict[str, Float[Tensor, " neuron"]]:
    """What each neuron is multiplied with before the rotation, by kind."""
    return {
        "raw": torch.ones_like(facts.variance),
        "standardised": inverse_root(facts.variance) * facts.eligible,
    }


def _scaled(family: Family, model: str, other: Place) -> Float[Tensor, "row neuron"]:
    """cov(x, y) / sd(x) of all neurons x of a model, layers end to end."""
    rows = [
        family.covariance(place, other) * inverse_root(family.facts(place).variance)[:, None]
        for place in family.places(model)
    ]
    return torch.cat(rows).float()


def _drawn(
    family: Family, place: Place, draws: Draws, draw: int
) -> Float[Tensor, "rotated neuron"]:
    variance = family.facts(place).variance
    return rotation(
        len(variance),
        draws.shape,
        seed=draws.seed,
        model=place.model,
        layer=place.layer,
        draw=draw,
        device=variance.device,
    )


def _columns(
    family: Family, model: str, best: dict[tuple[str, str, int], list[Tensor]], number: int
) -> Columns:
    eligible = family.eligible(model)
    unit = eligible.nonzero()[:, 0]
    parts: list[Columns] = []
    for kind in KINDS:
        for draw in range(number):
            corr, layer = torch.stack(best[model, kind, draw]).max(dim=0)
            parts.append(
                {
                    **family.located(model, unit),
                    "kind": np.full(len(unit), kind),
                    "draw": np.full(len(unit), draw, dtype=np.int32),
                    "corr": corr[eligible].cpu().numpy(),
                    "other_layer": layer[eligible].int().cpu().numpy(),
                }
            )
    return stacked(parts)
