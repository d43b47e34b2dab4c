"""A family of two models as streaming would have summed it, and the obvious way in float64."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurontab.measure.baselines import Baselines, Draws
from neurontab.measure.columns import Columns
from neurontab.measure.family import Family, LayerFacts
from neurontab.measure.matching import Matching, Ranks
from neurontab.measure.pairs import PairSums
from neurontab.measure.similarity import Similarity
from neurontab.measure.sums import Summed
from neurontab.measure.tile import Place, place_pairs
from neurontab.measure.token_share import TokenMeans

N = 4_000
BLOCK = 500  # tokens: products of few neurons are summed one after the other on some processors
CPU = torch.device("cpu")
WIDTHS = {"a": [5, 7], "b": [6, 8, 4]}


def drawn_activations() -> dict[Place, Tensor]:
    """Correlated activations of two models with layers of different widths [token, neuron]."""
    random = torch.Generator().manual_seed(3)
    common = torch.randn(N, 6, generator=random)
    found = {}
    for model, widths in WIDTHS.items():
        for layer, width in enumerate(widths):
            mix = torch.randn(6, width, generator=random)
            noise = torch.randn(N, width, generator=random)
            found[Place(model, layer)] = (common @ mix + noise).relu() + 3
    return found


def summed(
    activations: dict[Place, Tensor],
    *,
    dead: frozenset[tuple[Place, int]] = frozenset(),
    two_sided: bool = False,
) -> Summed:
    """The sums that streaming would have made."""
    shift = {place: values[:100].mean(dim=0) for place, values in activations.items()}
    widths: dict[str, list[int]] = {}
    for place, values in activations.items():
        widths.setdefault(place.model, []).append(values.shape[1])
    sums = {}
    for place, other in place_pairs({model: len(each) for model, each in widths.items()}):
        x, y = activations[place] - shift[place], activations[other] - shift[other]
        sums[place, other] = PairSums(x.shape[1], y.shape[1], CPU)
        for block, other_block in zip(x.split(BLOCK), y.split(BLOCK), strict=True):
            sums[place, other].add(block, other_block)
    layers: dict[str, list[LayerFacts]] = {model: [] for model in widths}
    for place, values in activations.items():
        exact = values.double()
        eligible = torch.tensor([(place, unit) not in dead for unit in range(values.shape[1])])
        mean, variance = exact.mean(dim=0), exact.var(dim=0, correction=0)
        layers[place.model].append(
            LayerFacts(shift[place], mean - shift[place].double(), variance, eligible)
        )
    means = {model: TokenMeans(torch.zeros(sum(each), 1)) for model, each in widths.items()}
    n = len(next(iter(activations.values())))
    return Summed(Family(layers, means, n, two_sided=two_sided), sums)


def matched(tiles: Summed, k: int = 3, n_twins: int = 3) -> Matching:
    """What the matching reads from all tiles."""
    ranks = Ranks(k, n_twins, tiles.family.two_sided)
    matching = Matching(tiles.family, ranks, CPU)
    matching.read(tiles)
    return matching


def alike(tiles: Summed) -> Similarity:
    """What is read of the layers' likeness."""
    similarity = Similarity(tiles.family, CPU)
    similarity.read(tiles)
    return similarity


def drawn(tiles: Summed, draws: Draws) -> Columns:
    """The baselines of a against b."""
    baselines = Baselines(tiles.family, draws, CPU)
    baselines.read(tiles)
    return baselines.columns("a", "b")


def obvious(activations: dict[Place, Tensor], model: str, other: str) -> dict[Any, list[Any]]:
    """For each neuron of a model every correlation with the other's, (corr, layer, neuron)."""
    units = {
        name: [(layer, unit) for layer, width in enumerate(widths) for unit in range(width)]
        for name, widths in WIDTHS.items()
    }
    found = {}
    for layer, unit in units[model]:
        x = activations[Place(model, layer)][:, unit].double().numpy()
        found[layer, unit] = [
            (np.corrcoef(x, activations[Place(other, at)][:, j].double().numpy())[0, 1], at, j)
            for at, j in units[other]
            if (model, layer, unit) != (other, at, j)
        ]
    return found


def rows(columns: Columns, *names: str) -> list[Any]:
    """Rows of the named columns."""
    return list(zip(*(columns[name].tolist() for name in names), strict=True))
