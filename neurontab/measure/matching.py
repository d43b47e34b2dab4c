"""Every neuron's best matches in another model, in its own, and its most negative ones."""

from itertools import product

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from neurontab.measure.accumulator import State
from neurontab.measure.assignment import assign
from neurontab.measure.best import NONE, Best, reverse_rank
from neurontab.measure.columns import Columns
from neurontab.measure.family import Family
from neurontab.measure.tile import Tile, Tiles
from neurontab.measure.token_share import token_share

HIGHEST, LOWEST = "highest", "lowest"


class Matching:
    """Reads the highest and the most negative correlations from tiles, in both directions.

    Matches are by correlation, in gated families by its absolute value; those have no antimatches,
    since there a unit's sign means nothing.
    """

    def __init__(self, family: Family, *, k: int, n_twins: int, device: torch.device) -> None:
        """`k` matches and `n_twins` twins are kept for a neuron."""
        self._family = family
        self.state: State = {}
        for model, other in product(family.layers, repeat=2):
            rows = len(family.eligible(model))
            lowest = 0 if model == other or family.two_sided else 1
            kept = {HIGHEST: n_twins if model == other else k, LOWEST: lowest}
            for side, ranks in kept.items():
                nothing = Best.nothing(rows, ranks, device)
                self.state |= {
                    f"{model}/{other}/{side}/{key}": each for key, each in nothing.items()
                }

    def read(self, tiles: Tiles) -> None:
        """Takes some more tiles."""
        for place, other in tiles.pairs:
            for tile in tiles.tile(place, other).both_ways():
                self._read(tile)

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
                "certificate": np.full(len(rank), "exact"),
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
