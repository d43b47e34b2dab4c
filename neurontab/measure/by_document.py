"""What is known of matches group by group of documents: with each left out, and by source."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from neurontab.measure.columns import Columns
from neurontab.measure.document_groups import DocumentGroups
from neurontab.measure.family import Family
from neurontab.measure.finals import Finals, GroupMoments, ListedSums
from neurontab.measure.matching import Matching
from neurontab.measure.pairs import inverse_root

Units = Int[Tensor, " pair"]
FEWEST = 2  # groups without which there is no spread
ROUNDING = 1e-9  # of a squared mean, below which a variance is what rounding left


@dataclass(frozen=True)
class Divided:
    """Pearson correlations of pairs over parts of the documents, in float64.

    NaN where a neuron does not vary in a part.
    """

    whole: Float[Tensor, " pair"]
    left_out: Float[Tensor, "pair group"]  # without each group of documents
    by_source: Float[Tensor, "pair source"]
    halves: Float[Tensor, "pair half"]  # in every second group of documents, and in the others


@dataclass(frozen=True)
class ByDocument:
    """Sums by group of documents, of the pairs that some passes have listed."""

    family: Family
    documents: DocumentGroups
    names: list[str]  # of sources
    passes: Sequence[Finals]

    def tables(
        self, model: str, other: str, matching: Matching
    ) -> tuple[Columns, Columns, Columns]:
        """Of the matches from one model to another, without the models' names: columns `corr_se`
        and `min_source_corr` of `matches`; `match_sources`; `jackknife`.
        """
        unit, other_unit = matching.pairs(model, other)
        rank = matching.ranks_of(model, other)
        found = self.divided(model, other, unit, other_unit, matching.signs(model, other))
        least = torch.where(found.by_source.isnan(), torch.inf, found.by_source).amin(dim=1)
        error = standard_error(found.whole, found.left_out, torch.from_numpy(self.documents.n))
        best = torch.from_numpy(rank == 1)
        some = len(self.documents) if len(self.documents) >= FEWEST else 0
        return (
            {
                "corr_se": _known(error),
                "min_source_corr": _known(torch.where(least < torch.inf, least, torch.nan)),
            },
            {
                **self.family.located(model, unit.repeat_interleave(len(self.names))),
                "rank": np.repeat(rank, len(self.names)),
                "source": np.tile(np.array(self.names), len(unit)),
                "corr": _known(found.by_source.ravel()),
                "n": np.tile(self._n_of_sources(), len(unit)),
            },
            {
                **self.family.located(model, unit[best]),
                "left_out": _all_known(found.left_out[best, :some]),
                "held_out_corr": _known(held_out(unit, found.halves)),
            },
        )

    def groups(self) -> Columns:
        """Table `document_groups`."""
        return {
            "document_group": np.arange(len(self.documents), dtype=np.int32),
            "source": np.array(self.names)[self.documents.source_of],
            "n": self.documents.n,
            "n_documents": self.documents.n_documents,
        }

    def divided(
        self,
        model: str,
        other: str,
        unit: Units,
        other_unit: Units,
        sign: Float[Tensor, " pair"],
    ) -> Divided:
        """Correlations of pairs of two models, times a sign, over parts of the documents."""
        groups = len(self.documents)
        second = (torch.arange(groups) % 2).double()
        of_source = torch.nn.functional.one_hot(
            torch.from_numpy(self.documents.source_of), len(self.names)
        )
        parts = [
            torch.ones(1, groups, dtype=torch.float64),
            1 - torch.eye(groups, dtype=torch.float64),
            of_source.T.double(),
            torch.stack([1 - second, second]),
        ]
        corr = self._corr(model, other, unit, other_unit, torch.cat(parts)) * sign[:, None]
        whole, left_out, by_source, halves = corr.split(list(map(len, parts)), dim=1)
        return Divided(whole[:, 0], left_out, by_source, halves)

    def _corr(
        self,
        model: str,
        other: str,
        unit: Units,
        other_unit: Units,
        parts: Float[Tensor, "part group"],
    ) -> Float[Tensor, "pair part"]:
        """Over parts of the documents, each the sum of some groups."""
        if not len(unit):
            return torch.zeros(0, len(parts), dtype=torch.float64)
        names = list(self.family.layers)
        if names.index(model) > names.index(other):
            model, other, unit, other_unit = other, model, other_unit, unit
        products = torch.full((len(self.documents), len(unit)), torch.nan, dtype=torch.float64)
        for finals in self.passes:
            if (model, other) in finals.listed:
                found, place = self._places(finals.listed[model, other], other, unit, other_unit)
                products[:, found] = finals.listed[model, other].products.cpu()[:, place]
        n = (parts @ self._moments(model).n.double())[:, None]
        (mean, variance), (other_mean, other_variance) = (
            _moments(parts, self._moments(name), n) for name in (model, other)
        )
        covariance = parts @ products / n - mean[:, unit] * other_mean[:, other_unit]
        scale = inverse_root(variance)[:, unit] * inverse_root(other_variance)[:, other_unit]
        return torch.where(scale > 0, covariance * scale, torch.nan).clamp(-1, 1).T

    def _n_of_sources(self) -> npt.NDArray[np.int64]:
        n = np.zeros(len(self.names), np.int64)
        np.add.at(n, self.documents.source_of, self.documents.n)
        return n

    def _places(
        self, sums: ListedSums, other: str, unit: Units, other_unit: Units
    ) -> tuple[Units, Units]:
        """Which pairs are among the listed, and where."""
        width = len(self.family.eligible(other))
        listed = sums.unit * width + sums.other_unit
        key = unit * width + other_unit
        place = torch.searchsorted(listed, key).clamp_max(len(listed) - 1)
        found = (listed[place] == key).nonzero()[:, 0]
        return found, place[found]

    def _moments(self, model: str) -> GroupMoments:
        return next(each.moments[model] for each in self.passes if model in each.moments)


def standard_error(
    whole: Float[Tensor, " pair"],
    left_out: Float[Tensor, "pair group"],
    n: Int[Tensor, " group"],
) -> Float[Tensor, " pair"]:
    """Of values over all documents, from those without each group; NaN with fewer than two groups.

    The jackknife that leaves out groups of unequal size (Busing et al. 1999, eq. 8 and 10): with
    h_g = n / n_g, pseudo-values p_g = h_g θ - (h_g - 1) θ_(g) and their weighted mean
    θ_J = Σ_g (θ - (1 - 1/h_g) θ_(g)), the variance is 1/G Σ_g (p_g - θ_J)² / (h_g - 1).
    """
    known = n > 0
    n, left_out = n[known].double(), left_out[:, known]
    if len(n) < FEWEST:
        return torch.full_like(whole, torch.nan)
    h = n.sum() / n
    pseudo = h * whole[:, None] - (h - 1) * left_out
    centre = (pseudo / h).sum(dim=1, keepdim=True)
    return ((pseudo - centre).square() / (h - 1)).mean(dim=1).sqrt()


def held_out(unit: Units, halves: Float[Tensor, "pair half"]) -> Float[Tensor, " row"]:
    """Of each unit, the pair that is best in one half, measured in the other; mean of both ways.

    NaN where a pair of the unit has no correlation in a half.
    """
    halves = halves.nan_to_num(nan=-2)
    rows, row = unit.unique(return_inverse=True)
    found = torch.zeros(len(rows), dtype=torch.float64)
    for chosen, measured in (halves.T, halves.T.flip(0)):
        best = torch.full((len(rows),), -torch.inf, dtype=torch.float64)
        best.scatter_reduce_(0, row, chosen, "amax")
        first = torch.full((len(rows),), len(row))
        is_best = (chosen == best[row]).nonzero()[:, 0]
        first.scatter_reduce_(0, row[is_best], is_best, "amin")
        found += measured[first] / 2
    empty = torch.zeros(len(rows)).index_add_(0, row, (halves < -1).any(dim=1).float())
    return torch.where(empty > 0, torch.nan, found)


def _known(values: Float[Tensor, " row"]) -> npt.NDArray[np.generic]:
    return np.ma.masked_invalid(values.float().numpy())


def _all_known(values: Float[Tensor, "row group"]) -> npt.NDArray[np.generic]:
    """Nothing of the rows in which one is not known."""
    found = values.float().numpy()
    unknown = np.isnan(found).any(axis=1, keepdims=True)
    return np.ma.masked_array(found, np.broadcast_to(unknown, found.shape))


def _moments(
    parts: Float[Tensor, "part group"], sums: GroupMoments, n: Float[Tensor, "part 1"]
) -> tuple[Float[Tensor, "part unit"], Float[Tensor, "part unit"]]:
    """Shifted mean and variance over parts of the documents."""
    mean = parts @ sums.sums.cpu() / n
    variance = parts @ sums.squares.cpu() / n - mean.square()
    return mean, torch.where(variance > ROUNDING * mean.square(), variance, 0.0)
