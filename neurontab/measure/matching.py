"""Every neuron's best matches in another model, in its own, and its most negative ones.

All correlations of two layers are one tile; both directions are read from it.
"""

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from neurontab.measure.best import Best, reverse_rank
from neurontab.measure.columns import Columns, stacked
from neurontab.measure.family import Family, Place

NONE = -torch.inf  # ranks behind every correlation


def matches(family: Family, model: str, other: str, k: int) -> tuple[Columns, Columns]:
    """Table `matches` in both directions between two models, without the models' names."""
    forward, backward = best_of_pair(family, model, other, k)
    return (
        _match_columns(family, (model, other), forward, backward),
        _match_columns(family, (other, model), backward, forward),
    )


def antimatches(family: Family, model: str, other: str) -> tuple[Columns, Columns]:
    """Table `antimatches` in both directions; without rows where a unit's sign is arbitrary."""
    forward, backward = best_of_pair(family, model, other, 1, lowest=True)
    return (
        _antimatch_columns(family, (model, other), forward),
        _antimatch_columns(family, (other, model), backward),
    )


def twins(family: Family, model: str, k: int) -> Columns:
    """Table `twins`: the best matches of a model's neurons among its other neurons."""
    best, _ = best_of_pair(family, model, model, k)
    columns, _ = _columns(family, (model, model), best)
    return columns


def best_of_pair(
    family: Family, model: str, other: str, k: int, *, lowest: bool = False
) -> tuple[Best, Best]:
    """The k best (or lowest) of `other` for every unit of `model`, and the other way round."""
    rows: list[Best] = []
    columns: list[list[Best]] = [[] for _ in family.layers[other]]
    first_row = 0
    for place in family.places(model):
        pieces: list[Best] = []
        first_column = 0
        for other_place in family.places(other):
            ranked = _ranked(family, place, other_place, lowest=lowest)
            pieces.append(Best.of(ranked, k, first_column))
            columns[other_place.layer].append(Best.of(ranked.T, k, first_row))
            first_column += ranked.shape[1]
        rows.append(Best.of_all(pieces, k))
        first_row += len(ranked)
    return _end_to_end(rows), _end_to_end([Best.of_all(pieces, k) for pieces in columns])


def _ranked(
    family: Family, place: Place, other: Place, *, lowest: bool
) -> Float[Tensor, "neuron other"]:
    """Correlations as they are ranked; units that may not be matched rank last."""
    corr = family.correlation(place, other)
    ranked = corr.abs() if family.two_sided else -corr if lowest else corr
    ranked[~family.facts(place).eligible] = NONE
    ranked[:, ~family.facts(other).eligible] = NONE
    if place == other:
        ranked.fill_diagonal_(NONE)
    return ranked


def _end_to_end(layers: list[Best]) -> Best:
    return Best(
        torch.cat([best.value for best in layers]), torch.cat([best.index for best in layers])
    )


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
    return columns | {
        "reverse_rank": np.ma.masked_equal(rank, 0),
        "n": np.full(len(rank), family.n),
        "certificate": np.full(len(rank), "exact"),
    }


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
            corr = family.correlation(place, other).cpu().numpy()
            found = corr[columns["neuron"][here], columns["other_neuron"][here]]
            signs[here] = np.where(found < 0, -1, 1)
    return signs


def layer_similarity(family: Family, model: str, other: str) -> Columns:
    """Table `layer_similarity` from `model` to `other`, without the models' names."""
    rows = [
        _similarity(family, place, other_place)
        for place in family.places(model)
        for other_place in family.places(other)
    ]
    return stacked(rows)


def _similarity(family: Family, place: Place, other: Place) -> Columns:
    ranked = _ranked(family, place, other, lowest=False)
    best = ranked.amax(dim=1)
    eligible = family.facts(place).eligible
    columns = {
        "cka": alignment(family, place, other, standardised=False),
        "cka_standardised": alignment(family, place, other, standardised=True),
        "mean_max_corr": best[best > NONE].mean().item(),
    }
    return {
        "layer": np.array([place.layer], np.int32),
        "other_layer": np.array([other.layer], np.int32),
        **{name: np.ma.masked_invalid(np.array([v], np.float32)) for name, v in columns.items()},
        "n_constant": np.array([int((~eligible).sum())]),
    }


def alignment(family: Family, place: Place, other: Place, *, standardised: bool) -> float:
    """Linear CKA from covariances: |C_xy|² / (|C_xx| |C_yy|); NaN where a layer is constant.

    Standardised, over correlations of the units that may be matched (Kornblith et al. 2019, eq. 4).
    """

    def squared(one: Place, two: Place) -> Tensor:
        if not standardised:
            return family.covariance(one, two).square().sum()
        corr = family.correlation(one, two).double()
        return corr[family.facts(one).eligible][:, family.facts(two).eligible].square().sum()

    own = squared(place, place) * squared(other, other)
    return (squared(place, other) / own.sqrt()).item()
