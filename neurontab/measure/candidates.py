"""Which pairs of neurons may be among the best matches, by the bounds of their correlations.

A neuron's pairs are kept in the order of their upper bounds. Those whose bound reaches what the
last kept match is expected to have are measured exactly; when that is done, the match that comes
last among the best must lie above the bounds of all others.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from neurontab.measure.accumulator import State
from neurontab.measure.best import NONE, Best
from neurontab.measure.bounds import Bounds
from neurontab.measure.family import Family
from neurontab.measure.matching import HIGHEST, LOWEST, Ranks
from neurontab.measure.sketch_plan import FEW
from neurontab.measure.tile import Pair, Place

LIKELY, SURE = "likely", "sure"
AT_ONCE = 2_048  # rows whose lists are compared together
MARGIN = 0.35  # of the reach of bounds, by which a final value may fall short of its estimate


@dataclass(frozen=True)
class Chosen:
    """Of one model's neurons, the pairs to measure with another's, and what the rest is below.

    Rows with more than can be listed are to be measured with all neurons of the other model.
    """

    index: Int[Tensor, "row listed"]  # of the other model's neurons; -1 beyond the chosen
    rest: Float[Tensor, " row"]  # what all that is not listed is below
    dense: Bool[Tensor, " row"]


class Candidates:
    """Reads from the bounds of tiles which pairs may be among the best."""

    def __init__(
        self, family: Family, ranks: Ranks, listed: int, reach: float, device: torch.device
    ) -> None:
        """So many pairs are listed at most for a neuron and other model; `reach` is of bounds."""
        self._family, self._ranks, self._short = family, ranks, MARGIN * reach
        self.state: State = {}
        for model, other, side in self.sides():
            rows, columns = len(family.eligible(model)), len(family.eligible(other))
            most = {LIKELY: listed} | ({SURE: FEW} if side == HIGHEST else {})
            for kind, kept in most.items():
                nothing = Best.nothing(rows, min(kept, columns) + 1, device)
                name = f"{model}/{other}/{side}/{kind}"
                self.state |= {f"{name}/{key}": each for key, each in nothing.items()}

    def sides(self) -> Iterator[tuple[str, str, str]]:
        """Every ordered pair of models, and which side of it is kept."""
        for model, other in product(self._family.layers, repeat=2):
            for side in (HIGHEST, LOWEST):
                if self._ranks.kept(model, other, side):
                    yield model, other, side

    def read(self, pair: Pair, bounds: Bounds) -> None:
        """Takes the bounds of one tile, in both directions."""
        place, other = pair
        self._read(place, other, bounds)
        if place != other:
            self._read(other, place, bounds.T)

    def chosen(self, model: str, other: str, side: str) -> Chosen:
        """What is to be measured of a model's neurons with another's."""
        likely = self._best(model, other, side, LIKELY)
        ranks = self._ranks.kept(model, other, side)
        expected = likely.corr.where(likely.value > NONE, NONE)
        order = expected.argsort(dim=1, descending=True, stable=True)
        last = order[:, min(ranks, order.shape[1]) - 1, None]
        estimate = expected.gather(1, last)
        chosen = (likely.value >= estimate - self._short) & (likely.value > NONE)
        rest = torch.where(chosen, NONE, likely.value).amax(dim=1)
        index = torch.where(chosen, likely.index, -1)
        return Chosen(index.cpu(), rest.cpu(), chosen[:, -1].cpu())

    def is_sure(
        self,
        model: str,
        other: str,
        chosen: Chosen,
        rows: Int[Tensor, " row"],
        least: Float[Tensor, " row"],
    ) -> Bool[Tensor, " row"]:
        """Whether in some rows all that is not chosen is below `least` whatever the signs."""
        sure = self._best(model, other, HIGHEST, SURE)
        value, index = sure.value.cpu()[rows], sure.index.cpu()[rows]
        parts = zip(index.split(AT_ONCE), chosen.index[rows].split(AT_ONCE), strict=True)
        found = [(one[:, :, None] == listed[:, None, :]).any(dim=2) for one, listed in parts]
        others = torch.where(torch.cat(found), NONE, value).amax(dim=1)
        return torch.maximum(others, value[:, -1]) < least

    def _read(self, place: Place, other: Place, bounds: Bounds) -> None:
        may = self._family.may(place, other)
        if place == other:
            may.fill_diagonal_(False)
        first = self._family.first(place), self._family.first(other)
        for side, kind, corr, above in self._ranked(bounds):
            if self._ranks.kept(place.model, other.model, side):
                ranked = torch.where(may, above, NONE)
                self._best(place.model, other.model, side, kind).add(ranked, corr, *first)

    def _ranked(self, bounds: Bounds) -> Sequence[tuple[str, str, Tensor, Tensor]]:
        """By side and kind, the estimates and bounds of what is ranked."""
        corr = bounds.corr
        if self._family.two_sided:
            above = torch.maximum(bounds.above, -bounds.below)
            sure = torch.maximum(bounds.sure_above, -bounds.sure_below)
            return [(HIGHEST, LIKELY, corr.abs(), above), (HIGHEST, SURE, corr, sure)]
        return [
            (HIGHEST, LIKELY, corr, bounds.above),
            (HIGHEST, SURE, corr, bounds.sure_above),
            (LOWEST, LIKELY, -corr, -bounds.below),
        ]

    def _best(self, model: str, other: str, side: str, kind: str) -> Best:
        name = f"{model}/{other}/{side}/{kind}"
        return Best({key: self.state[f"{name}/{key}"] for key in ("value", "index", "corr")})
