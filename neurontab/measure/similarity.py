"""How alike two layers are as wholes: centred kernel alignment from sums, and best matches."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from neurontab.measure.best import NONE
from neurontab.measure.columns import Columns
from neurontab.measure.family import Family, Place


@dataclass(frozen=True)
class Norms:
    """Squared Frobenius norms of a tile: of covariances, and of correlations of eligible units."""

    raw: float
    standardised: float

    @classmethod
    def of(
        cls,
        covariance: Float[Tensor, "neuron other"],
        corr: Float[Tensor, "neuron other"],
        may: Bool[Tensor, "neuron other"],
    ) -> "Norms":
        """The norms of a tile; `may` are the pairs of eligible neurons."""
        eligible = torch.where(may, corr, 0.0)
        return cls(covariance.square().sum().item(), eligible.square().sum().item())


def own_norms(family: Family) -> dict[Place, Norms]:
    """The norms of every layer with itself."""
    norms: dict[Place, Norms] = {}
    for place in [place for model in family.layers for place in family.places(model)]:
        covariance, corr = family.tile(place, place)
        norms[place] = Norms.of(covariance, corr, family.may_match(place, place))
    return norms


def similarity(
    family: Family,
    pair: tuple[Place, Place],
    own: dict[Place, Norms],
    cross: Norms,
    ranked: Float[Tensor, "neuron other"],
) -> Columns:
    """One row of table `layer_similarity`, without the models' names.

    Linear CKA is |C_xy|² / (|C_xx| |C_yy|) (Kornblith et al. 2019, eq. 4).
    """
    place, other = pair
    best = ranked.amax(dim=1)
    values = {
        "cka": _ratio(cross.raw, own[place].raw * own[other].raw),
        "cka_standardised": _ratio(
            cross.standardised, own[place].standardised * own[other].standardised
        ),
        "mean_max_corr": best[best > NONE].mean().item(),
    }
    return {
        "layer": np.array([place.layer], np.int32),
        "other_layer": np.array([other.layer], np.int32),
        **{name: np.ma.masked_invalid(np.array([v], np.float32)) for name, v in values.items()},
        "n_constant": np.array([int((~family.facts(place).eligible).sum())]),
    }


def _ratio(cross: float, own: float) -> float:
    return cross / own**0.5 if own > 0 else float("nan")
