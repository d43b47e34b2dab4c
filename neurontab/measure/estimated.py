"""Tiles whose correlations are estimates from sketches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from neurontab.measure.family import Family
from neurontab.measure.tile import Pair, Place, Tile


@dataclass(frozen=True)
class Estimated:
    """Estimates of some tiles; a neuron's correlation with itself is 1."""

    family: Family
    correlations: Mapping[Pair, Float[Tensor, "neuron other"]]

    @property
    def pairs(self) -> Sequence[Pair]:
        """Which there are."""
        return list(self.correlations)

    def tile(self, place: Place, other: Place) -> Tile:
        """One of them."""
        corr = self.correlations[place, other]
        if place == other:
            itself = (self.family.facts(place).variance > 0).to(corr.dtype)
            corr = corr.clone()
            corr.diagonal().copy_(itself)
        return Tile(place, other, corr, self.family.may(place, other))
