"""Per neuron: which attention heads it writes for and reads from, by weights alone."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from neurontab.measure.columns import Columns, stacked
from neurontab.measure.weights import HeadWeights, MlpWeights

KEPT = 8  # heads of a neuron
WRITTEN_FOR = ("q_comp", "k_comp", "v_comp")  # by heads that come after the neuron
SCORES = ("bos_score", "k_comp", "q_comp", "v_comp", "o_comp")


def head_scores(
    neurons: Sequence[MlpWeights], heads: Sequence[HeadWeights], *, parallel: bool
) -> Columns:
    """Table `head_scores`: the heads with the highest composition score, causal pairs only.

    A score is |w M| / (|w| |M|) with M the head's query-key or output-value matrix (Elhage et al.
    2021); `bos_score` is w_out W_Q k times the scale of attention scores, mostly 1 / sqrt(d_head),
    with k the head's key at BOS (Gurnee et al. 2024, 5.3). Rotations by position are left out. In
    `parallel` blocks neither attention nor MLP of a layer reads the other.
    """
    return stacked(
        [_layer(layer, own, heads, parallel=parallel) for layer, own in enumerate(neurons)]
    )


def _layer(layer: int, own: MlpWeights, heads: Sequence[HeadWeights], *, parallel: bool) -> Columns:
    scores: dict[str, list[Tensor]] = {name: [] for name in SCORES}
    for head_layer, weights in enumerate(heads):
        after = head_layer > layer
        before = head_layer < layer or (head_layer == layer and not parallel)
        missing = torch.full((len(own.w_in), len(weights.query)), torch.nan)
        found = dict.fromkeys(SCORES, missing)
        if after:
            found |= _read_by(own.w_out, weights)
        elif before:
            found["o_comp"] = _composition(own.w_in, weights.value @ weights.out, from_right=True)
        for name in SCORES:
            scores[name].append(found[name].cpu())
    values = {name: torch.cat(parts, dim=1) for name, parts in scores.items()}
    return _strongest(layer, values, len(heads[0].query))


def _read_by(w_out: Float[Tensor, "neuron d_model"], heads: HeadWeights) -> dict[str, Tensor]:
    """Scores of what neurons write, for heads that come after them."""
    attention = heads.query @ heads.key.transpose(1, 2)  # [head, d_model, d_model]
    return {
        "q_comp": _composition(w_out, attention, from_right=False),
        "k_comp": _composition(w_out, attention, from_right=True),
        "v_comp": _composition(w_out, heads.value @ heads.out, from_right=False),
        "bos_score": torch.einsum("nd,hde,he->nh", w_out, heads.query, heads.key_at_bos)
        * heads.scale,
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
    """The heads of a layer's neurons with the highest composition of any kind."""
    comps = torch.stack([values[name] for name in SCORES if name != "bos_score"])
    strength = comps.nan_to_num(nan=-torch.inf).amax(dim=0)
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
