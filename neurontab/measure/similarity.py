"""How alike two layers are as wholes: centred kernel alignment from sums, and best matches."""

import numpy as np
import numpy.typing as npt
import torch

from neurontab.measure.accumulator import State
from neurontab.measure.best import NONE
from neurontab.measure.columns import Columns
from neurontab.measure.family import Family
from neurontab.measure.tile import Place, Tile, Tiles


class Similarity:
    """Reads squared Frobenius norms, and the mean best correlation, of every tile."""

    def __init__(self, family: Family, device: torch.device) -> None:
        self._family = family
        places = family.all_places()
        self._number = {place: number for number, place in enumerate(places)}
        shape = (len(places), len(places))
        self.state: State = {
            "raw": torch.zeros(shape, dtype=torch.float64, device=device),
            "standardised": torch.zeros(shape, dtype=torch.float64, device=device),
            "mean_max_corr": torch.zeros(shape, dtype=torch.float64, device=device),
        }

    def read(self, tiles: Tiles) -> None:
        """Takes some more tiles."""
        for place, other in tiles.pairs:
            self._read(tiles.tile(place, other))

    def columns(self, model: str, other: str) -> Columns:
        """Table `layer_similarity` of two models, without their names.

        Linear CKA is |C_xy|² / (|C_xx| |C_yy|) (Kornblith et al. 2019, eq. 4); null where a layer
        does not vary.
        """
        pairs = [(p, o) for p in self._family.places(model) for o in self._family.places(other)]
        constant = [int((~self._family.facts(place).eligible).sum()) for place, _ in pairs]
        return {
            "layer": np.array([place.layer for place, _ in pairs], np.int32),
            "other_layer": np.array([other.layer for _, other in pairs], np.int32),
            "cka": _known([self._alignment("raw", *pair) for pair in pairs]),
            "cka_standardised": _known([self._alignment("standardised", *pair) for pair in pairs]),
            "mean_max_corr": _known([self._at("mean_max_corr", *pair) for pair in pairs]),
            "n_constant": np.array(constant),
        }

    def _read(self, tile: Tile) -> None:
        """Both layers at once: the norms are the same from either side."""
        here = self._number[tile.place], self._number[tile.other]
        one, two = self._family.facts(tile.place), self._family.facts(tile.other)
        squares = tile.corr.square()
        raw = one.variance @ (squares @ two.variance.to(squares.dtype)).double()
        may = two.eligible.to(squares.dtype)
        standardised = (squares @ may).double()[one.eligible].sum()
        ranked = tile.corr.abs() if self._family.two_sided else tile.corr
        may_rank = torch.where(tile.may, ranked, NONE)
        for at, along in ((here, 1), (here[::-1], 0)):
            best = may_rank.amax(dim=along)
            self.state["raw"][at] = raw
            self.state["standardised"][at] = standardised
            self.state["mean_max_corr"][at] = best[best > NONE].mean()

    def _alignment(self, kind: str, place: Place, other: Place) -> float:
        own = self._at(kind, place, place) * self._at(kind, other, other)
        return self._at(kind, place, other) / own**0.5 if own > 0 else float("nan")

    def _at(self, name: str, place: Place, other: Place) -> float:
        return self.state[name][self._number[place], self._number[other]].item()


def _known(values: list[float]) -> npt.NDArray[np.generic]:
    return np.ma.masked_invalid(np.array(values, np.float32))
