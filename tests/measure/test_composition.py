"""Neighbours and heads, against the obvious computation pair by pair."""

from collections import defaultdict

import numpy as np
import pytest
import torch

from neurontab.measure.columns import Columns, stacked
from neurontab.measure.heads import KEPT, head_scores
from neurontab.measure.neighbours import KEPT as NEIGHBOURS
from neurontab.measure.neighbours import neighbours
from neurontab.measure.weights import HeadWeights, MlpWeights

D_MODEL, D_HEAD, HEADS, WIDTH = 12, 3, 3, 7
RANDOM = torch.Generator().manual_seed(0)


def drawn(*shape: int) -> torch.Tensor:
    """Random numbers."""
    return torch.randn(*shape, generator=RANDOM, dtype=torch.float64)


LAYERS = [
    MlpWeights(drawn(WIDTH, D_MODEL), drawn(WIDTH, D_MODEL), drawn(WIDTH), None) for _ in range(3)
]
ATTENTION = [
    HeadWeights(
        query=drawn(HEADS, D_MODEL, D_HEAD),
        key=drawn(HEADS, D_MODEL, D_HEAD),
        value=drawn(HEADS, D_MODEL, D_HEAD),
        out=drawn(HEADS, D_HEAD, D_MODEL),
        key_at_bos=drawn(HEADS, D_HEAD),
        scale=D_HEAD**-0.5 / (layer + 1),
    )
    for layer in range(3)
]


def test_neighbours_are_the_ends_of_the_sorted_cosines() -> None:
    vectors = {
        "in": torch.cat([each.w_in for each in LAYERS]).numpy(),
        "out": torch.cat([each.w_out for each in LAYERS]).numpy(),
    }
    unit = {name: each / np.linalg.norm(each, axis=1)[:, None] for name, each in vectors.items()}
    seen = set()
    layers: dict[tuple[str, str], list[Columns]] = defaultdict(list)
    for rows in neighbours(LAYERS):
        for relation, side, columns in rows:
            layers[relation, side].append(columns)
    for (relation, side), parts in layers.items():
        found = stacked(parts)
        own, other = relation.split("_")
        cosine = unit[own] @ unit[other].T
        np.fill_diagonal(cosine, np.nan)
        ordered = np.sort(cosine if side == "bottom" else -cosine, axis=1)[:, :NEIGHBOURS]
        expected = ordered if side == "bottom" else -ordered
        assert found["cosine"].reshape(-1, NEIGHBOURS) == pytest.approx(expected, abs=1e-6)
        mine = np.add(WIDTH * found["layer"].astype(int), found["neuron"])
        theirs = np.add(WIDTH * found["other_layer"].astype(int), found["other_neuron"])
        assert found["cosine"] == pytest.approx(cosine[mine, theirs], abs=1e-6)
        seen.add((relation, side))
    assert len(seen) == 8


def score(vector: torch.Tensor, matrix: torch.Tensor) -> float:
    """|v M| / (|v| |M|) of one vector and one matrix."""
    return float((vector @ matrix).norm() / vector.norm() / matrix.norm())


@pytest.mark.parametrize("parallel", [False, True])
def test_head_scores_are_those_of_each_pair_in_causal_order(parallel: bool) -> None:
    found = head_scores(LAYERS, ATTENTION, parallel=parallel, dimensions=D_MODEL)
    kept = {name: np.ma.filled(found[name].astype(float), np.nan) for name in found}
    names = ("bos_score", "k_comp", "q_comp", "v_comp", "o_comp")
    for row in range(len(kept["layer"])):
        layer, neuron, head_layer, head = (
            int(kept[name][row]) for name in ("layer", "neuron", "head_layer", "head")
        )
        own, heads = LAYERS[layer], ATTENTION[head_layer]
        attention = heads.query[head] @ heads.key[head].T
        moved = heads.value[head] @ heads.out[head]
        expected = dict.fromkeys(names, np.nan)
        if head_layer > layer:
            at_bos = own.w_out[neuron] @ heads.query[head] @ heads.key_at_bos[head]
            expected["bos_score"] = float(at_bos) * heads.scale
            expected["q_comp"] = score(own.w_out[neuron], attention)
            expected["k_comp"] = score(own.w_out[neuron], attention.T)
            expected["v_comp"] = score(own.w_out[neuron], moved)
        else:
            assert head_layer < layer or not parallel
            expected["o_comp"] = score(own.w_in[neuron], moved.T)
        for name in names:
            assert kept[name][row] == pytest.approx(expected[name], nan_ok=True, abs=1e-9)
    pairs = set(zip(kept["layer"], kept["neuron"], kept["head_layer"], kept["head"], strict=True))
    assert len(pairs) == len(kept["layer"])
    causal = [HEADS * (3 if not parallel else 2) for _ in range(3)]
    assert len(pairs) == WIDTH * sum(min(KEPT, n) for n in causal)


def test_the_head_whose_attention_to_bos_moves_most_is_among_the_heads() -> None:
    """And random vectors move none beyond chance but in one layer of a thousand."""
    random = torch.Generator().manual_seed(1)
    dimensions, width, rounds = 40, 30, 150
    heads = [
        HeadWeights(
            query=torch.randn(20, dimensions, 3, generator=random).double(),
            key=torch.randn(20, dimensions, 3, generator=random).double(),
            value=torch.randn(20, dimensions, 3, generator=random).double(),
            out=torch.randn(20, 3, dimensions, generator=random).double(),
            key_at_bos=torch.randn(20, 3, generator=random).double(),
            scale=0.5,
        )
        for _ in range(2)
    ]
    most_moved = []
    for _ in range(rounds):
        w_out = torch.randn(width, dimensions, generator=random).double()
        own = MlpWeights(w_out, w_out, torch.zeros(width).double(), None)
        found = head_scores([own, own], heads, parallel=False, dimensions=dimensions)
        ratio = np.abs(found["bos_score"]) / found["bos_score_chance"]
        most_moved.append(ratio[found["layer"] == 0].max())
    assert sum(each > 1 for each in most_moved) <= 1
    assert max(most_moved) > 0.8
    direction = torch.einsum("hde,he->hd", heads[1].query, heads[1].key_at_bos) * 0.5
    length = w_out.norm(dim=1)[:, None] * direction.norm(dim=1)
    most = ((w_out @ direction.T).abs() / length).argmax(dim=1)
    for neuron in range(width):
        rows = (found["layer"] == 0) & (found["neuron"] == neuron) & (found["head_layer"] == 1)
        assert int(most[neuron]) in found["head"][rows]
