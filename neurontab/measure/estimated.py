"""Tiles whose correlations are estimates from sketches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from neurontab.measure.family import Family
from neurontab.measure.tile import Pair, Place, Tile


@dataclass(frozen=True)
class Estimated:
    """Estimates of some tiles; variances are exact."""

    family: Family
    correlations: Mapping[Pair, Float[Tensor, "neuron other"]]

    @property
    def pairs(self) -> Sequence[Pair]:
        """Which there are."""
        return list(self.correlations)

    def tile(self, place: Place, other: Place) -> Tile:
        """One of them."""
        one, two = self.family.facts(place), self.family.facts(other)
        corr = self.correlations[place, other].clone()
        if place == other:
            corr.fill_diagonal_(1.0)
        deviation, other_deviation = one.variance.sqrt(), two.variance.sqrt()
        return Tile(
            place,
            other,
            corr * torch.outer(deviation, other_deviation),
            corr * torch.outer(deviation > 0, other_deviation > 0),
            self.family.may(place, other),
        )
