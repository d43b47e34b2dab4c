"""Which pairs of neurons may be among the best matches, by the bounds of their correlations.

Those whose bound reaches what the last kept match is expected to have are measured exactly; when
that is done, the match that comes last among the best must lie above the bounds of all others.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from neurontab.measure.accumulator import State
from neurontab.measure.bounds import Bounds
from neurontab.measure.family import Family
from neurontab.measure.matching import HIGHEST, LOWEST, Ranks
from neurontab.measure.shortlist import Part, Shortlist
from neurontab.measure.sketch_plan import LONGER, OVERFLOWN
from neurontab.measure.tile import Pair, Place

MARGIN = 3.5  # standard deviations, by which a final value may fall short of its estimate

Side = tuple[str, str, str]  # of a model's neurons, the highest or lowest with another's
Units = Int[Tensor, " _"]  # neurons of a model, in order, counted through its layers


@dataclass(frozen=True)
class Chosen:
    """Of some neurons of a model, the pairs to measure with another's, and what the rest is below.

    Rows with more than can be listed are to be measured with all neurons of the other model.
    """

    units: Int[Tensor, " row"]
    index: Int[Tensor, "row listed"]  # of the other model's neurons; -1 where not chosen
    rest: Float[Tensor, " row"]  # what all that is not chosen is below
    rest_sure: Float[Tensor, " row"]  # the same, whatever the signs
    dense: Bool[Tensor, " row"]

    def where(self, rows: Bool[Tensor, " row"]) -> "Chosen":
        """Some of the rows."""
        return Chosen(
            self.units[rows],
            self.index[rows],
            self.rest[rows],
            self.rest_sure[rows],
            self.dense[rows],
        )


class Candidates:
    """Reads from the bounds of tiles which pairs may be among the best."""

    def __init__(
        self,
        family: Family,
        ranks: Ranks,
        listed: int,
        rows: int,
        device: torch.device,
        units: Mapping[Side, Units] | None = None,
    ) -> None:
        """So many pairs are listed at most for a neuron and other model.

        Of all neurons, or some of each side. `rows` are those of a sketch, in all replicates: an
        estimate errs by about 1 / sqrt(rows).
        """
        self._family, self._ranks, self._listed, self._rows = family, ranks, listed, rows
        self._device = device
        every = {name: torch.arange(len(family.eligible(name))) for name in family.layers}
        sides = {side: every[side[0]] for side in _sides(family, ranks)}
        self.units = sides if units is None else dict(units)
        self.state: State = {}
        for (model, other, side), mine in self.units.items():
            kept, columns = ranks.kept(model, other, side), len(every[other])
            nothing = Shortlist.nothing(len(mine), kept, min(listed, columns), device)
            self.state |= {f"{model}/{other}/{side}/{key}": each for key, each in nothing.items()}

    def read(self, pair: Pair, bounds: Bounds) -> None:
        """Takes the bounds of one tile, in both directions."""
        place, other = pair
        for side in (HIGHEST, LOWEST):
            if (place.model, other.model, side) in self.units:
                part = self._part(place, other, side, bounds, self._layer(place))
                self._shortlist((place.model, other.model, side)).add(part)
                if place != other:
                    self._shortlist((other.model, place.model, side)).add(part.T)

    def read_rows(self, place: Place, side: Side, other: Place, bounds: Bounds) -> None:
        """Takes the bounds of the neurons of a side `within` a layer with those of another."""
        part = self._part(place, other, side[2], bounds, self.within(place, side))
        self._shortlist(side).add(part)

    def layers(self) -> list[tuple[Place, Side]]:
        """Layers and sides where some neurons' pairs are listed."""
        return [
            (place, side)
            for side in self.units
            for place in self._family.places(side[0])
            if len(self.within(place, side))
        ]

    def within(self, place: Place, side: Side) -> Units:
        """Of a layer's neurons, counted from its first, those whose pairs are listed."""
        first, width = self._family.first(place), len(self._family.facts(place).eligible)
        units = self.units[side]
        return units[(units >= first) & (units < first + width)] - first

    def longer(self) -> "Candidates":
        """Nothing read yet of the neurons whose lists overflow, with room for longer ones.

        That is where they are few; elsewhere bounds are too wide for any list.
        """
        overflown = {side: self._shortlist(side).overflown.cpu() for side in self.units}
        every = torch.cat(list(overflown.values()))
        few = OVERFLOWN * int(every.sum()) <= len(every)
        found = {side: units[overflown[side] & few] for side, units in self.units.items()}
        return Candidates(
            self._family, self._ranks, LONGER * self._listed, self._rows, self._device, found
        )

    def chosen(self, side: Side) -> Chosen:
        """What is to be measured of a model's neurons with another's."""
        listed = self._shortlist(side)
        index = torch.where(listed.chosen, listed.index, -1)
        found = index, listed.rest, listed.rest_sure, listed.overflown
        return Chosen(self.units[side], *(each.cpu() for each in found))

    def _part(self, place: Place, other: Place, side: str, bounds: Bounds, mine: Units) -> Part:
        """Bounds of some neurons of a layer, counted from its first."""
        if self._family.two_sided:
            bounds = bounds.absolute
        units = self.units[place.model, other.model, side]
        return Part(
            bounds.corr,
            bounds.above if side == HIGHEST else bounds.below,
            bounds.sure_above if side == HIGHEST else bounds.sure_below,
            self._family.facts(place).eligible[mine],
            self._family.facts(other).eligible,
            (mine if place == other else torch.full_like(mine, -1)).to(self._device),
            int((units < self._family.first(place)).sum()),
            self._family.first(other),
            1 if side == HIGHEST else -1,
        )

    def _layer(self, place: Place) -> Units:
        return torch.arange(len(self._family.facts(place).eligible))

    def _shortlist(self, side: Side) -> Shortlist:
        name = "/".join(side) + "/"
        state = {key[len(name) :]: each for key, each in self.state.items() if key.startswith(name)}
        return Shortlist(state, MARGIN / math.sqrt(self._rows))


def _sides(family: Family, ranks: Ranks) -> list[Side]:
    """Every ordered pair of models, and which side of it is kept."""
    models = product(family.layers, family.layers, (HIGHEST, LOWEST))
    return [side for side in models if ranks.kept(*side)]
