"""Which pairs of neurons may be among the best matches, by the bounds of their correlations.

Those whose bound reaches what the last kept match is expected to have are measured exactly; when
that is done, the match that comes last among the best must lie above the bounds of all others.
"""

import math
from collections.abc import Iterator
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
from neurontab.measure.tile import Pair, Place

MARGIN = 3.5  # standard deviations, by which a final value may fall short of its estimate


@dataclass(frozen=True)
class Chosen:
    """Of one model's neurons, the pairs to measure with another's, and what the rest is below.

    Rows with more than can be listed are to be measured with all neurons of the other model.
    """

    index: Int[Tensor, "row listed"]  # of the other model's neurons; -1 where not chosen
    rest: Float[Tensor, " row"]  # what all that is not chosen is below
    rest_sure: Float[Tensor, " row"]  # the same, whatever the signs
    dense: Bool[Tensor, " row"]


class Candidates:
    """Reads from the bounds of tiles which pairs may be among the best."""

    def __init__(
        self, family: Family, ranks: Ranks, listed: int, rows: int, device: torch.device
    ) -> None:
        """So many pairs are listed at most for a neuron and other model.

        `rows` are those of a sketch, in all replicates: an estimate errs by about 1 / sqrt(rows).
        """
        self._family, self._ranks, self._shortfall = family, ranks, MARGIN / math.sqrt(rows)
        self.state: State = {}
        for model, other, side in self.sides():
            rows, columns = len(family.eligible(model)), len(family.eligible(other))
            kept = ranks.kept(model, other, side)
            nothing = Shortlist.nothing(rows, kept, min(listed, columns), device)
            self.state |= {f"{model}/{other}/{side}/{key}": each for key, each in nothing.items()}

    def sides(self) -> Iterator[tuple[str, str, str]]:
        """Every ordered pair of models, and which side of it is kept."""
        for model, other in product(self._family.layers, repeat=2):
            for side in (HIGHEST, LOWEST):
                if self._ranks.kept(model, other, side):
                    yield model, other, side

    def read(self, pair: Pair, bounds: Bounds) -> None:
        """Takes the bounds of one tile, in both directions."""
        place, other = pair
        if self._family.two_sided:
            bounds = bounds.absolute
        for side in (HIGHEST, LOWEST):
            if self._ranks.kept(place.model, other.model, side):
                part = self._part(place, other, side, bounds)
                self._shortlist(place.model, other.model, side).add(part)
                if place != other:
                    self._shortlist(other.model, place.model, side).add(part.T)

    def chosen(self, model: str, other: str, side: str) -> Chosen:
        """What is to be measured of a model's neurons with another's."""
        listed = self._shortlist(model, other, side)
        index = torch.where(listed.chosen, listed.index, -1)
        return Chosen(
            index.cpu(), listed.rest.cpu(), listed.rest_sure.cpu(), listed.overflown.cpu()
        )

    def _part(self, place: Place, other: Place, side: str, bounds: Bounds) -> Part:
        return Part(
            bounds.corr if side == HIGHEST else -bounds.corr,
            bounds.above if side == HIGHEST else -bounds.below,
            bounds.sure_above if side == HIGHEST else -bounds.sure_below,
            self._family.facts(place).eligible,
            self._family.facts(other).eligible,
            place == other,
            self._family.first(place),
            self._family.first(other),
        )

    def _shortlist(self, model: str, other: str, side: str) -> Shortlist:
        name = f"{model}/{other}/{side}/"
        state = {key[len(name) :]: each for key, each in self.state.items() if key.startswith(name)}
        return Shortlist(state, self._shortfall)
