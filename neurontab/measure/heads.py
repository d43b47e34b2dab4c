"""Per neuron: which attention heads it writes for and reads from, by weights alone."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from neurontab.measure.chance import highest_share
from neurontab.measure.columns import Columns, stacked
from neurontab.measure.weights import HeadWeights, MlpWeights

KEPT = 8  # heads of a neuron
CHANCE = "bos_score_chance"
WRITTEN_FOR = ("q_comp", "k_comp", "v_comp")  # by heads that come after the neuron
SCORES = ("bos_score", CHANCE, "k_comp", "q_comp", "v_comp", "o_comp")


def head_scores(
    neurons: Sequence[MlpWeights], heads: Sequence[HeadWeights], *, parallel: bool, dimensions: int
) -> Columns:
    """Table `head_scores`: the heads with the highest composition score, causal pairs only.

    Among them is the one whose attention to BOS a neuron moves most, relative to what random
    vectors in so many dimensions do.

    A score is |w M| / (|w| |M|) with M the head's query-key or output-value matrix (Elhage et al.
    2021); `bos_score` is w_out W_Q k times the scale of attention scores, mostly 1 / sqrt(d_head),
    with k the head's key at BOS (Gurnee et al. 2024, 5.3). Rotations by position are left out. In
    `parallel` blocks neither attention nor MLP of a layer reads the other.
    """
    return stacked(
        [
            _layer(layer, own, heads, parallel=parallel, dimensions=dimensions)
            for layer, own in enumerate(neurons)
        ]
    )


def _layer(
    layer: int,
    own: MlpWeights,
    heads: Sequence[HeadWeights],
    *,
    parallel: bool,
    dimensions: int,
) -> Columns:
    scores: dict[str, list[Tensor]] = {name: [] for name in SCORES}
    vectors = len(own.w_out) * sum(len(each.query) for each in heads[layer + 1 :])
    highest = highest_share(vectors, 1, dimensions)
    for head_layer, weights in enumerate(heads):
        after = head_layer > layer
        before = head_layer < layer or (head_layer == layer and not parallel)
        missing = torch.full((len(own.w_in), len(weights.query)), torch.nan)
        found = dict.fromkeys(SCORES, missing)
        if after:
            found |= _read_by(own.w_out, weights, highest)
        elif before:
            found["o_comp"] = _composition(own.w_in, weights.value @ weights.out, from_right=True)
        for name in SCORES:
            scores[name].append(found[name].cpu())
    values = {name: torch.cat(parts, dim=1) for name, parts in scores.items()}
    return _strongest(layer, values, len(heads[0].query))


def _read_by(
    w_out: Float[Tensor, "neuron d_model"], heads: HeadWeights, highest: float
) -> dict[str, Tensor]:
    """Scores of what neurons write, for heads that come after them.

    `highest` is the cosine with a direction that the best of as many random vectors has.
    """
    towards_bos = torch.einsum("hde,he->hd", heads.query, heads.key_at_bos) * heads.scale
    attention = heads.query @ heads.key.transpose(1, 2)  # [head, d_model, d_model]
    return {
        "q_comp": _composition(w_out, attention, from_right=False),
        "k_comp": _composition(w_out, attention, from_right=True),
        "v_comp": _composition(w_out, heads.value @ heads.out, from_right=False),
        "bos_score": w_out @ towards_bos.T,
        CHANCE: highest * torch.outer(w_out.norm(dim=1), towards_bos.norm(dim=1)),
    }


def _composition(
    vectors: Float[Tensor, "neuron d_model"],
    matrices: Float[Tensor, "head d_model d_model"],
    *,
    from_right: bool,
) -> Float[Tensor, "neuron head"]:
    """|v M| / (|v| |M|), or |M v| / (|v| |M|)."""
    unit = torch.nn.functional.normalize(vectors, dim=1)
    turned = matrices.transpose(1, 2) if from_right else matrices
    product = (unit @ turned).norm(dim=2)  # [head, neuron]
    size = matrices.flatten(1).norm(dim=1)[:, None]
    scores: Tensor = (product / size.clamp_min(1e-300)).T
    return scores


def _strongest(layer: int, values: dict[str, Tensor], heads: int) -> Columns:
    """The heads of a layer's neurons with the highest composition of any kind, or effect on BOS."""
    comps = torch.stack([values[name] for name in SCORES if name.endswith("_comp")])
    strength = comps.nan_to_num(nan=-torch.inf).amax(dim=0)
    moved = (values["bos_score"].abs() / values[CHANCE]).nan_to_num(nan=-torch.inf)
    most = moved.argmax(dim=1, keepdim=True)
    first = torch.where(moved.gather(1, most) > 0, torch.inf, strength.gather(1, most))
    strength = strength.scatter(1, most, first)
    best, place = strength.topk(min(KEPT, strength.shape[1]), dim=1)
    neuron, rank = (best > -torch.inf).nonzero(as_tuple=True)
    head = place[neuron, rank]
    return {
        "layer": np.full(len(neuron), layer, np.int32),
        "neuron": neuron.int().numpy(),
        "head_layer": (head // heads).int().numpy(),
        "head": (head % heads).int().numpy(),
        **{name: np.ma.masked_invalid(values[name][neuron, head].numpy()) for name in SCORES},
    }
