"""Per neuron: which neurons of the same model read and write along the same directions."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from neurontab.measure.columns import Columns, stacked
from neurontab.measure.weights import MlpWeights

KEPT = 5  # neighbours of a neuron, relation and side
RELATIONS = ("in_in", "in_out", "out_in", "out_out")  # own vector, the other's vector


def neighbours(layers: Sequence[MlpWeights]) -> Iterator[tuple[str, str, Columns]]:
    """Relation, side and the neurons with the highest and lowest cosines.

    As in the code of Gurnee et al. 2024. A neuron is no neighbour of itself.
    """
    vectors = {
        "in": [_unit(each.w_in) for each in layers],
        "out": [_unit(each.w_out) for each in layers],
    }
    for relation in RELATIONS:
        own, others = relation.split("_")
        everyone = torch.cat(vectors[others])
        for side, sign in (("top", 1), ("bottom", -1)):
            parts, first = [], 0
            for layer, mine in enumerate(vectors[own]):
                parts.append(_best(mine, everyone, sign, layer, first))
                first += len(mine)
            yield relation, side, stacked(parts)


def _best(
    mine: Float[Tensor, "neuron d_model"],
    everyone: Float[Tensor, "other d_model"],
    sign: int,
    layer: int,
    first: int,
) -> Columns:
    cosines = sign * mine @ everyone.T
    rows = torch.arange(len(mine), device=mine.device)
    cosines[rows, first + rows] = -torch.inf
    value, place = cosines.topk(min(KEPT, cosines.shape[1] - 1), dim=1)
    neuron, rank = torch.ones_like(place).nonzero(as_tuple=True)
    width = len(mine)  # all layers of a model are equally wide
    return {
        "layer": torch.full_like(neuron, layer).int().cpu().numpy(),
        "neuron": neuron.int().cpu().numpy(),
        "rank": (rank + 1).int().cpu().numpy(),
        "other_layer": (place.ravel() // width).int().cpu().numpy(),
        "other_neuron": (place.ravel() % width).int().cpu().numpy(),
        "cosine": (sign * value).ravel().cpu().numpy(),
    }


def _unit(vectors: Float[Tensor, "neuron d_model"]) -> Float[Tensor, "neuron d_model"]:
    return torch.nn.functional.normalize(vectors, dim=1).float()
