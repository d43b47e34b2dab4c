"""What has been summed over a family of models: layers, their spread, and every pair of layers."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from neurontab.measure.columns import Columns
from neurontab.measure.pairs import PairSums, correlation
from neurontab.measure.token_share import TokenMeans

PairMatrix = Float[Tensor, "neuron other"]


class Place(NamedTuple):
    """One layer of one model."""

    model: str
    layer: int


class Tile(NamedTuple):
    """A pair of layers as a tile of the matrix of all neurons of two models."""

    place: Place
    other: Place
    first_row: int
    first_column: int


def place_pairs(layers: dict[str, int]) -> list[tuple[Place, Place]]:
    """Every unordered pair of layers of a family, each with itself included."""
    places = [Place(model, layer) for model, n in layers.items() for layer in range(n)]
    return list(combinations_with_replacement(places, 2))


@dataclass(frozen=True)
class LayerFacts:
    """What matching needs to know of a layer's neurons; `eligible` ones may be matched."""

    shift: Float[Tensor, " neuron"]  # what products are of activations less of
    shifted_mean: Float[Tensor, " neuron"]
    variance: Float[Tensor, " neuron"]
    eligible: Bool[Tensor, " neuron"]


@dataclass(frozen=True)
class Family:
    """Sums over all tokens for all models.

    `two_sided` families have gated MLPs: there a unit's sign is arbitrary, and matches are by
    absolute correlation.
    """

    layers: dict[str, list[LayerFacts]]
    sums: dict[tuple[Place, Place], PairSums]
    token_means: dict[str, TokenMeans]
    n: int
    two_sided: bool

    def facts(self, place: Place) -> LayerFacts:
        """One layer's facts."""
        return self.layers[place.model][place.layer]

    def covariance(self, place: Place, other: Place) -> Float[Tensor, "neuron other"]:
        """Covariance of the neurons of two layers, in float64."""
        if (place, other) not in self.sums:
            return self.covariance(other, place).T
        mean, other_mean = self.facts(place).shifted_mean, self.facts(other).shifted_mean
        return self.sums[place, other].result(mean, other_mean)

    def tile(self, place: Place, other: Place) -> tuple[PairMatrix, PairMatrix]:
        """Covariance and correlation of the neurons of two layers, in float64."""
        covariance = self.covariance(place, other)
        variance, other_variance = self.facts(place).variance, self.facts(other).variance
        return covariance, correlation(covariance, variance, other_variance)

    def may_match(self, place: Place, other: Place) -> Bool[Tensor, "neuron other"]:
        """Which neurons of two layers may be matched: both are eligible."""
        return torch.outer(self.facts(place).eligible, self.facts(other).eligible)

    def tiles(self, model: str, other: str) -> Iterator[Tile]:
        """Every pair of layers of two models, with where its rows and columns begin."""
        first_row = 0
        for place in self.places(model):
            first_column = 0
            for other_place in self.places(other):
                yield Tile(place, other_place, first_row, first_column)
                first_column += len(self.facts(other_place).eligible)
            first_row += len(self.facts(place).eligible)

    def places(self, model: str) -> list[Place]:
        """The layers of a model in order."""
        return [Place(model, layer) for layer in range(len(self.layers[model]))]

    def eligible(self, model: str) -> Bool[Tensor, " unit"]:
        """Which neurons of a model may be matched, layers end to end."""
        return torch.cat([facts.eligible for facts in self.layers[model]])

    def unit(
        self, model: str, layer: npt.NDArray[np.generic], neuron: npt.NDArray[np.generic]
    ) -> Int[Tensor, " row"]:
        """The number of each neuron among all of its model, layers end to end."""
        widths = [len(facts.eligible) for facts in self.layers[model]]
        first = np.cumsum([0, *widths[:-1]])
        return torch.from_numpy(first[layer.astype(int)] + neuron)

    def located(self, model: str, unit: Int[Tensor, " row"], prefix: str = "") -> Columns:
        """Layer and neuron of units that count through all layers of a model."""
        widths = [len(facts.eligible) for facts in self.layers[model]]
        layer_of = np.repeat(np.arange(len(widths)), widths)
        neuron_of = np.concatenate([np.arange(width) for width in widths])
        rows = unit.cpu().numpy()
        return {
            f"{prefix}layer": layer_of[rows].astype(np.int32),
            f"{prefix}neuron": neuron_of[rows].astype(np.int32),
        }
