"""What a random basis of another model would match: the best correlation with rotated layers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from neurontab.measure.accumulator import State
from neurontab.measure.columns import Columns, stacked
from neurontab.measure.family import Family
from neurontab.measure.pairs import inverse_root
from neurontab.measure.rotation import Shape, rotated_variance, rotation
from neurontab.measure.tile import Place, Tile, Tiles

KINDS = ("raw", "standardised")

Matrices = list[Float[Tensor, "rotated neuron"]]


@dataclass(frozen=True)
class Draws:
    """Which random matrices are drawn."""

    number: int
    shape: Shape
    seed: int


class Baselines:
    """Reads from tiles the best correlation of every neuron with other models' rotated layers.

    The baseline of Gurnee et al. 2024, 3.1. Each layer is rotated within itself, once for each
    draw, the same for all other models.
    """

    def __init__(self, family: Family, draws: Draws, device: torch.device) -> None:
        self._family, self._draws, self._device = family, draws, device
        self.state: State = {}
        for place, kind in product(family.all_places(), KINDS):
            width = len(family.facts(place).eligible)
            self.state[_name(place, kind)] = torch.zeros(draws.number, width, device=device)
        for (model, other), kind in product(permutations(family.layers, 2), KINDS):
            shape = (draws.number, len(family.eligible(model)))
            self.state[f"{model}/{other}/{kind}/corr"] = torch.full(
                shape, -torch.inf, device=device
            )
            self.state[f"{model}/{other}/{kind}/layer"] = torch.full(shape, -1, device=device)

    def read(self, tiles: Tiles) -> None:
        """Takes some more tiles."""
        for place in self._family.all_places():
            own = [pair for pair in tiles.pairs if pair == (place, place)]
            facing = [
                pair for pair in tiles.pairs if place in pair and pair[0].model != pair[1].model
            ]
            if len(self._family.layers) == 1 or not (own or facing):
                continue
            matrices = [self._drawn(place, draw) for draw in range(self._draws.number)]
            for pair in own:
                self._read_spread(tiles.tile(*pair), matrices)
            rotated = self.rotated(place, matrices)
            for pair in facing:
                for tile in tiles.tile(*pair).both_ways():
                    if tile.other == place:
                        self.read_rotated(tile, rotated)

    def rotated(self, place: Place, matrices: Matrices) -> dict[str, Matrices]:
        """By kind, what a layer's neurons of standard deviation 1 are multiplied with.

        The rotated units have a standard deviation of 1, or are 0 where they do not vary.
        """
        deviation = self._family.facts(place).variance.sqrt()
        return {
            kind: [
                matrix
                * inverse_root(self.state[_name(place, kind)][draw])[:, None]
                * (scale * deviation).float()
                for draw, matrix in enumerate(matrices)
            ]
            for kind, scale in self._scales(place)
        }

    def read_rotated(self, tile: Tile, rotated: Mapping[str, Matrices]) -> None:
        """Takes the correlations of a tile's rows with its columns rotated, by each draw."""
        first, corr = self._family.first(tile.place), tile.corr.float()
        rows = slice(first, first + len(corr))
        for kind, matrices in rotated.items():
            name = f"{tile.place.model}/{tile.other.model}/{kind}"
            for draw, matrix in enumerate(matrices):
                found = corr @ matrix.T
                best = (found.abs() if self._family.two_sided else found).amax(dim=1).clamp(-1, 1)
                kept = self.state[f"{name}/corr"][draw, rows]
                layer = self.state[f"{name}/layer"][draw, rows]
                layer[best > kept] = tile.other.layer
                torch.maximum(kept, best, out=kept)

    def columns(self, model: str, other: str) -> Columns:
        """Table `baselines` of a model against another rotated, without their names."""
        eligible = self._family.eligible(model)
        unit = eligible.nonzero()[:, 0]
        parts: list[Columns] = []
        for kind, draw in product(KINDS, range(self._draws.number)):
            corr = self.state[f"{model}/{other}/{kind}/corr"][draw, eligible]
            layer = self.state[f"{model}/{other}/{kind}/layer"][draw, eligible]
            parts.append(
                {
                    **self._family.located(model, unit),
                    "kind": np.full(len(unit), kind),
                    "draw": np.full(len(unit), draw, dtype=np.int32),
                    "corr": corr.cpu().numpy(),
                    "other_layer": layer.int().cpu().numpy(),
                }
            )
        return stacked(parts)

    def _read_spread(self, tile: Tile, matrices: list[Float[Tensor, "rotated neuron"]]) -> None:
        for kind, scale in self._scales(tile.place):
            scaled = scale * self._family.facts(tile.place).variance.sqrt()
            spread = tile.corr * torch.outer(scaled, scaled)
            variances = [rotated_variance(matrix, spread) for matrix in matrices]
            self.state[_name(tile.place, kind)].copy_(torch.stack(variances))

    def _scales(self, place: Place) -> Iterator[tuple[str, Float[Tensor, " neuron"]]]:
        """What each neuron is multiplied with before the rotation, by kind."""
        facts = self._family.facts(place)
        yield "raw", torch.ones_like(facts.variance)
        yield "standardised", inverse_root(facts.variance) * facts.eligible

    def _drawn(self, place: Place, draw: int) -> Float[Tensor, "rotated neuron"]:
        return rotation(
            len(self._family.facts(place).variance),
            self._draws.shape,
            seed=self._draws.seed,
            model=place.model,
            layer=place.layer,
            draw=draw,
            device=self._device,
        )


def _name(place: Place, kind: str) -> str:
    """Where the variances of a layer's rotated units are kept, all draws."""
    return f"{place.model}/{place.layer}/{kind}/variance"
