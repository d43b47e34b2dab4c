"""Every neuron's best matches in another model, in its own, and its most negative ones."""

from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from neurontab.measure.accumulator import State
from neurontab.measure.assignment import assign
from neurontab.measure.best import NONE, Best, reverse_rank
from neurontab.measure.columns import Columns
from neurontab.measure.family import Family
from neurontab.measure.tile import Tile, Tiles
from neurontab.measure.token_share import token_share

HIGHEST, LOWEST = "highest", "lowest"
EXACT, BOUND, PROBABLE = "exact", "bound", "probabilistic"
CERTIFICATES = (EXACT, BOUND, PROBABLE)


@dataclass(frozen=True)
class Ranks:
    """How many of a neuron's best are kept: matches, twins, and its most negative correlation."""

    k: int
    n_twins: int
    two_sided: bool

    def kept(self, model: str, other: str, side: str) -> int:
        """Of a neuron of the first model among the second's."""
        if side == LOWEST:
            return 0 if model == other or self.two_sided else 1
        return self.n_twins if model == other else self.k


class Matching:
    """Reads the highest and the most negative correlations from tiles, in both directions.

    Matches are by correlation, in gated families by its absolute value; those have no antimatches,
    since there a unit's sign means nothing.
    """

    def __init__(self, family: Family, ranks: Ranks, device: torch.device) -> None:
        self._family, self.ranks = family, ranks
        self.state: State = {}
        for model, other in product(family.layers, repeat=2):
            rows = len(family.eligible(model))
            self.state[f"{model}/{other}/certificate"] = torch.zeros(
                rows, dtype=torch.uint8, device=device
            )
            for side in (HIGHEST, LOWEST):
                nothing = Best.nothing(rows, ranks.kept(model, other, side), device)
                self.state |= {
                    f"{model}/{other}/{side}/{key}": each for key, each in nothing.items()
                }

    def read(self, tiles: Tiles) -> None:
        """Takes some more tiles."""
        for place, other in tiles.pairs:
            for tile in tiles.tile(place, other).both_ways():
                self._read(tile)

    def settle(
        self,
        model: str,
        other: str,
        side: str,
        rows: Int[Tensor, " row"],
        index: Int[Tensor, "row listed"],
        corr: Float[Tensor, "row listed"],
    ) -> Float[Tensor, " row"]:
        """Takes what has been measured of some rows: correlations with listed units, -1 for none.

        Returns the value of the last that is kept of each row, -inf where there are fewer.
        """
        best = self._best(model, other, side)
        ranked = -corr if side == LOWEST else corr.abs() if self._family.two_sided else corr
        listed = torch.where(index >= 0, ranked.float(), NONE)
        kept = min(best.value.shape[1], listed.shape[1])
        value, place = listed.topk(kept, dim=1)
        for into, found in (
            (best.value, value),
            (best.index, index.gather(1, place)),
            (best.corr, corr.float().gather(1, place)),
        ):
            into[rows.to(into.device), :kept] = found.to(into.device)
        return best.value[rows.to(best.value.device), -1].cpu()

    def certify(self, model: str, other: str, rows: Int[Tensor, " row"], how: str) -> None:
        """Notes how it is known that nothing better than the matches of some rows was missed."""
        codes = self.state[f"{model}/{other}/certificate"]
        codes[rows.to(codes.device)] = CERTIFICATES.index(how)

    def certificates(self) -> dict[str, int]:
        """Of how many neurons, for each other model, it is known in which way."""
        counts = torch.zeros(len(CERTIFICATES), dtype=torch.int64)
        for model, other in permutations(self._family.layers, 2):
            matched = self._best(model, other, HIGHEST).value[:, 0] > NONE
            codes = self.state[f"{model}/{other}/certificate"][matched].cpu()
            counts += torch.bincount(codes, minlength=len(CERTIFICATES))
        return dict(zip(CERTIFICATES, counts.tolist(), strict=True))

    def pairs(self, model: str, other: str) -> tuple[Int[Tensor, " pair"], Int[Tensor, " pair"]]:
        """Units of all matches from one model to another, row by row in order of rank."""
        best = self._best(model, other, HIGHEST)
        kept = best.value > NONE
        return kept.nonzero()[:, 0].cpu(), best.index[kept].cpu()

    def ranks_of(self, model: str, other: str) -> npt.NDArray[np.int32]:
        """The rank of each of these pairs, from 1."""
        kept = self._best(model, other, HIGHEST).value > NONE
        return (kept.nonzero()[:, 1] + 1).int().cpu().numpy()

    def signs(self, model: str, other: str) -> Float[Tensor, " pair"]:
        """-1 where one of these pairs is matched by a negative correlation, else 1."""
        best = self._best(model, other, HIGHEST)
        return torch.from_numpy(self._signs(best.corr[best.value > NONE])).double()

    def matches(self, model: str, other: str) -> Columns:
        """Table `matches` from one model to another, without their names."""
        best, reverse = self._best(model, other, HIGHEST), self._best(other, model, HIGHEST)
        columns = self._columns(model, other, best)
        kept = best.value > NONE
        rank = reverse_rank(best.index, reverse.index)[kept].int().cpu().numpy()
        family = self._family
        share = token_share(
            family.token_means[model],
            family.token_means[other],
            family.unit(model, columns["layer"], columns["neuron"]),
            family.unit(other, columns["other_layer"], columns["other_neuron"]),
            torch.from_numpy(np.multiply(columns["corr"], columns["sign"])),
        )
        return (
            columns
            | share
            | {
                "reverse_rank": np.ma.masked_equal(rank, 0),
                "n": np.full(len(rank), family.n),
                "certificate": self._certificates(model, other, kept),
            }
        )

    def twins(self, model: str) -> Columns:
        """Table `twins`: the best matches of a model's neurons among its other neurons."""
        return self._columns(model, model, self._best(model, model, HIGHEST))

    def antimatches(self, model: str, other: str) -> Columns:
        """Table `antimatches` from one model to another, without their names."""
        columns = self._columns(model, other, self._best(model, other, LOWEST))
        names = ("layer", "neuron", "other_layer", "other_neuron")
        return {name: columns[name] for name in names} | {
            "corr": np.negative(columns["corr"]),
            "n": np.full(len(columns["corr"]), self._family.n),
        }

    def assignments(self, model: str, other: str) -> tuple[Columns, Columns]:
        """Table `assignments` of two models in both directions, without their names.

        Possible are the matches kept in either direction.
        """
        forward, backward = self._best(model, other, HIGHEST), self._best(other, model, HIGHEST)
        row, rank = (forward.value > NONE).nonzero(as_tuple=True)
        column, reverse = (backward.value > NONE).nonzero(as_tuple=True)
        unit = torch.cat([row, backward.index[column, reverse]])
        other_unit = torch.cat([forward.index[row, rank], column])
        value = torch.cat([forward.value[row, rank], backward.value[column, reverse]])
        corr = torch.cat([forward.corr[row, rank], backward.corr[column, reverse]])
        chosen = torch.from_numpy(
            assign(
                unit.cpu().numpy(),
                other_unit.cpu().numpy(),
                value.double().cpu().numpy(),
                (len(forward.value), len(backward.value)),
            )
        ).to(value.device)
        found = {"corr": value[chosen].cpu().numpy(), "sign": self._signs(corr[chosen])}
        located, unit, other_unit = self._family.located, unit[chosen], other_unit[chosen]
        return (
            {**located(model, unit), **located(other, other_unit, "other_"), **found},
            {**located(other, other_unit), **located(model, unit, "other_"), **found},
        )

    def _read(self, tile: Tile) -> None:
        model, other = tile.place.model, tile.other.model
        corr = tile.corr.float()
        may = tile.may.clone()
        if tile.place == tile.other:
            may.fill_diagonal_(False)
        first = self._family.first(tile.place), self._family.first(tile.other)
        highest = torch.where(may, corr.abs() if self._family.two_sided else corr, NONE)
        self._best(model, other, HIGHEST).add(highest, corr, *first)
        lowest = self._best(model, other, LOWEST)
        if lowest.value.shape[1]:
            lowest.add(torch.where(may, -corr, NONE), corr, *first)

    def _certificates(
        self, model: str, other: str, kept: Bool[Tensor, "row rank"]
    ) -> npt.NDArray[np.generic]:
        code = self.state[f"{model}/{other}/certificate"][:, None].expand_as(kept)[kept]
        names: npt.NDArray[np.generic] = np.array(CERTIFICATES)[code.cpu().numpy()]
        return names

    def _best(self, model: str, other: str, side: str) -> Best:
        keys = ("value", "index", "corr")
        return Best({key: self.state[f"{model}/{other}/{side}/{key}"] for key in keys})

    def _columns(self, model: str, other: str, best: Best) -> Columns:
        """Keys, place of the match, what it was ranked by and its sign, of every kept row."""
        kept = best.value > NONE
        unit, rank = kept.nonzero(as_tuple=True)
        return {
            **self._family.located(model, unit),
            "rank": (rank + 1).int().cpu().numpy(),
            **self._family.located(other, best.index[kept], "other_"),
            "corr": best.value[kept].cpu().numpy(),
            "sign": self._signs(best.corr[kept]),
        }

    def _signs(self, corr: Float[Tensor, " row"]) -> npt.NDArray[np.int32]:
        """-1 where a correlation is negative and signs mean nothing; else 1."""
        negative = (corr < 0).cpu().numpy() & self._family.two_sided
        return np.where(negative, -1, 1).astype(np.int32)
