"""Per neuron: which neurons of the same model read and write along the same directions."""

from collections.abc import Iterator, Sequence
from itertools import product

import torch
from jaxtyping import Float, Int
from torch import Tensor

from neurontab.measure.columns import Columns, stacked
from neurontab.measure.weights import MlpWeights

KEPT = 5  # neighbours of a neuron, relation and side
AT_ONCE = 1_024  # neurons whose cosines with all others are in memory together
RELATIONS = tuple(product(("in", "out"), repeat=2))  # own vector, the other's vector


def neighbours(layers: Sequence[MlpWeights]) -> Iterator[list[tuple[str, str, Columns]]]:
    """Layer by layer: relation, side and the neurons with the highest and lowest cosines.

    As in the code of Gurnee et al. 2024. A neuron is no neighbour of itself.
    """
    everyone = {
        "in": torch.cat([_unit(each.w_in) for each in layers]),
        "out": torch.cat([_unit(each.w_out) for each in layers]),
    }
    width = len(everyone["in"]) // len(layers)  # all layers of a model are equally wide
    for first in range(0, width * len(layers), width):
        rows = torch.arange(first, first + width, device=everyone["in"].device)
        yield [
            (f"{own}_{others}", side, _best(everyone[own], everyone[others], sign, rows))
            for own, others in RELATIONS
            for side, sign in (("top", 1), ("bottom", -1))
        ]


def _best(
    own: Float[Tensor, "all d_model"],
    others: Float[Tensor, "all d_model"],
    sign: int,
    rows: Int[Tensor, " row"],
) -> Columns:
    """Of the neurons of one layer, at these rows of all."""
    width, parts = len(rows), []
    for here in rows.split(AT_ONCE):
        cosines = sign * own[here] @ others.T
        cosines[torch.arange(len(here), device=here.device), here] = -torch.inf
        value, place = cosines.topk(min(KEPT, cosines.shape[1] - 1), dim=1)
        row, rank = torch.ones_like(place).nonzero(as_tuple=True)
        columns: Columns = {
            "layer": (here[row] // width).int().cpu().numpy(),
            "neuron": (here[row] % width).int().cpu().numpy(),
            "rank": (rank + 1).int().cpu().numpy(),
            "other_layer": (place.ravel() // width).int().cpu().numpy(),
            "other_neuron": (place.ravel() % width).int().cpu().numpy(),
            "cosine": (sign * value).ravel().cpu().numpy(),
        }
        parts.append(columns)
    return stacked(parts)


def _unit(vectors: Float[Tensor, "neuron d_model"]) -> Float[Tensor, "neuron d_model"]:
    return torch.nn.functional.normalize(vectors, dim=1).float()
