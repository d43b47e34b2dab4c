"""What is known of a family of models before its neurons are matched."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from neurontab.measure.columns import Columns
from neurontab.measure.pairs import PairSums, correlation
from neurontab.measure.tile import Place, Tile
from neurontab.measure.token_share import TokenMeans


@dataclass(frozen=True)
class LayerFacts:
    """What matching needs to know of a layer's neurons; `eligible` ones may be matched."""

    shift: Float[Tensor, " neuron"]  # what products are of activations less of
    shifted_mean: Float[Tensor, " neuron"]
    variance: Float[Tensor, " neuron"]
    eligible: Bool[Tensor, " neuron"]


@dataclass(frozen=True)
class Family:
    """All neurons of all models.

    `n` is of counted positions. `two_sided` families have gated MLPs: there a unit's sign is
    arbitrary, and matches are by absolute correlation.
    """

    layers: dict[str, list[LayerFacts]]
    token_means: dict[str, TokenMeans]
    n: int
    two_sided: bool

    @property
    def device(self) -> torch.device:
        """Where sums are kept."""
        return next(iter(self.layers.values()))[0].variance.device

    def facts(self, place: Place) -> LayerFacts:
        """One layer's facts."""
        return self.layers[place.model][place.layer]

    def may(self, place: Place, other: Place) -> Bool[Tensor, "neuron other"]:
        """Which pairs of neurons of two layers may be matched."""
        return torch.outer(self.facts(place).eligible, self.facts(other).eligible)

    def means(self, place: Place) -> Float[Tensor, "neuron token"]:
        """The rows of a layer in its model's token means."""
        first = self.first(place)
        values = self.token_means[place.model].values[
            first : first + len(self.facts(place).eligible)
        ]
        return values.to(self.device)

    def tile(self, place: Place, other: Place, sums: PairSums) -> Tile:
        """Correlation of the neurons of two layers, in float64."""
        one, two = self.facts(place), self.facts(other)
        covariance = sums.result(one.shifted_mean, two.shifted_mean)
        return Tile(
            place,
            other,
            correlation(covariance, one.variance, two.variance),
            self.may(place, other),
        )

    def first(self, place: Place) -> int:
        """The number of a layer's first neuron among all of its model, layers end to end."""
        return sum(len(facts.eligible) for facts in self.layers[place.model][: place.layer])

    def places(self, model: str) -> list[Place]:
        """The layers of a model in order."""
        return [Place(model, layer) for layer in range(len(self.layers[model]))]

    def all_places(self) -> list[Place]:
        """The layers of all models, model by model."""
        return [place for model in self.layers for place in self.places(model)]

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
