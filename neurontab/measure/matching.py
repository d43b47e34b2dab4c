"""Every neuron's best matches in another model, in its own, and its most negative ones.

All correlations of two layers are one tile; everything about both directions is read from it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from neurontab.measure.best import NONE, Best, BothWays, reverse_rank
from neurontab.measure.columns import Columns, stacked
from neurontab.measure.family import Family, Place
from neurontab.measure.similarity import Norms, similarity
from neurontab.measure.token_share import token_share

Directions = tuple[Columns, Columns]  # from the first model to the second, and back


@dataclass(frozen=True)
class Comparison:
    """Three tables about two models in both directions, without the models' names."""

    matches: Directions
    antimatches: Directions
    layer_similarity: Directions


def compare(
    family: Family, model: str, other: str, *, k: int, own: dict[Place, Norms]
) -> Comparison:
    """Reads the k best matches, the most negative ones and layers' likeness from every tile.

    Matches are by correlation, in gated families by its absolute value; those have no antimatches,
    since there a unit's sign means nothing.
    """
    highest, lowest = BothWays(k), BothWays(1)
    alike: tuple[list[Columns], list[Columns]] = ([], [])
    for place, other_place, first_row, first_column in family.tiles(model, other):
        covariance, corr = family.tile(place, other_place)
        cross = Norms.of(covariance, corr, family.may_match(place, other_place))
        ranked = _ranked(family, place, other_place, corr.float())
        highest.add(ranked, first_row, first_column)
        lowest.add(_ranked(family, place, other_place, -corr.float()), first_row, first_column)
        alike[0].append(similarity(family, (place, other_place), own, cross, ranked))
        alike[1].append(similarity(family, (other_place, place), own, cross, ranked.T))
    there, back = (model, other), (other, model)
    rows, columns = highest.rows(), highest.columns()
    return Comparison(
        (
            _match_columns(family, there, rows, columns),
            _match_columns(family, back, columns, rows),
        ),
        (
            _antimatch_columns(family, there, lowest.rows()),
            _antimatch_columns(family, back, lowest.columns()),
        ),
        (stacked(alike[0]), stacked(alike[1])),
    )


def twins(family: Family, model: str, k: int) -> Columns:
    """Table `twins`: the best matches of a model's neurons among its other neurons."""
    highest = BothWays(k)
    for place, other, first_row, first_column in family.tiles(model, model):
        _, corr = family.tile(place, other)
        highest.add(_ranked(family, place, other, corr.float()), first_row, first_column)
    return _columns(family, (model, model), highest.rows())[0]


def _ranked(
    family: Family, place: Place, other: Place, corr: Float[Tensor, "neuron other"]
) -> Float[Tensor, "neuron other"]:
    """Correlations as they are ranked: by size in gated families, elsewhere as they are.

    Last comes what may not be matched, and a neuron with itself.
    """
    may = family.may_match(place, other)
    if place == other:
        may.fill_diagonal_(False)
    return torch.where(may, corr.abs() if family.two_sided else corr, NONE)


def _columns(family: Family, pair: tuple[str, str], best: Best) -> tuple[Columns, Tensor]:
    """Keys, place of the match, correlation and sign of every kept row, and which were kept."""
    model, other = pair
    kept = best.value > NONE
    unit, rank = kept.nonzero(as_tuple=True)
    columns = {
        **family.located(model, unit),
        "rank": (rank + 1).int().cpu().numpy(),
        **family.located(other, best.index[kept], "other_"),
        "corr": best.value[kept].float().cpu().numpy(),
    }
    return columns | {"sign": _signs(family, pair, columns)}, kept


def _match_columns(family: Family, pair: tuple[str, str], best: Best, reverse: Best) -> Columns:
    columns, kept = _columns(family, pair, best)
    rank = reverse_rank(best.index, reverse.index)[kept].int().cpu().numpy()
    model, other = pair
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


def _antimatch_columns(family: Family, pair: tuple[str, str], best: Best) -> Columns:
    columns, _ = _columns(family, pair, best)
    rows = slice(0, 0) if family.two_sided else slice(None)
    names = ("layer", "neuron", "other_layer", "other_neuron")
    return {name: columns[name][rows] for name in names} | {
        "corr": np.negative(columns["corr"][rows]),
        "n": np.full(len(columns["corr"][rows]), family.n),
    }


def _signs(family: Family, pair: tuple[str, str], columns: Columns) -> npt.NDArray[np.int32]:
    """1 where signs mean something; else the sign of the correlation itself."""
    signs = np.ones(len(columns["rank"]), dtype=np.int32)
    if not family.two_sided:
        return signs
    for place in family.places(pair[0]):
        for other in family.places(pair[1]):
            here = (columns["layer"] == place.layer) & (columns["other_layer"] == other.layer)
            corr = family.tile(place, other)[1].cpu().numpy()
            found = corr[columns["neuron"][here], columns["other_neuron"][here]]
            signs[here] = np.where(found < 0, -1, 1)
    return signs
