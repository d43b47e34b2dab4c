"""The tile engine on two layers: bounds and lists of pairs, likeness of layers, baselines."""

import time
from itertools import product
from statistics import median

import torch
from torch import Tensor

from neurontab.measure.baselines import Baselines, Draws
from neurontab.measure.bounds import Sketched, bounds
from neurontab.measure.candidates import Candidates
from neurontab.measure.estimated import Estimated
from neurontab.measure.family import Family, LayerFacts
from neurontab.measure.matching import Ranks
from neurontab.measure.precision import quick_product, quickest
from neurontab.measure.similarity import Similarity
from neurontab.measure.sketch import Sketch
from neurontab.measure.sketch_plan import LISTED, REPLICATES
from neurontab.measure.token_share import TokenMeans

LAYERS = {"a": 2, "b": 3}  # of two models
NATS = 25.0  # of bounds; a family of the suite's size takes 24, of GPT-2 small's 30


def tile_efficiency(
    d_mlp: int, device: torch.device, buckets: int, replicates: int = REPLICATES
) -> tuple[float, float]:
    """Products and rotations alone over the tile engine's time, and that time.

    Two layers against three others, each in turn with its products, as machines drift; medians of
    five tiles.
    """
    random = torch.Generator(device).manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random, device=device)

    n, draws, types = 1_000_000, 4, 512
    numbers = quickest(device)
    ones = torch.ones(d_mlp, dtype=torch.float64, device=device)
    facts = LayerFacts(ones.float() * 0, ones * 0, ones, ones > 0)
    scale, size = (0.6 / types) ** 0.5, (n / buckets) ** 0.5
    means = {name: drawn(layers * d_mlp, types) * scale for name, layers in LAYERS.items()}
    family = Family(
        {name: [facts] * layers for name, layers in LAYERS.items()},
        {model: TokenMeans(values) for model, values in means.items()},
        n,
        two_sided=False,
    )
    sketched = {}
    for place in family.all_places():
        sketch = Sketch(replicates, buckets, torch.zeros(1, d_mlp, device=device))
        sketch.sums, sketch.fourth = drawn(replicates, buckets, d_mlp) * size, 3 * n * ones
        sketched[place] = Sketched.of(sketch, family.means(place), ones, n, numbers)
    ranks = Ranks(10, 5, two_sided=False)
    candidates = Candidates(family, ranks, LISTED[-1], replicates * buckets, device)
    similarity = Similarity(family, device)
    baselines = Baselines(family, Draws(draws, "haar", 0), device)
    matrices = [torch.linalg.qr(drawn(d_mlp, d_mlp))[0] for _ in range(draws)]
    for name, values in baselines.state.items():
        if name.endswith("/variance"):
            values.fill_(1.0)
    # Once a layer, as its draws are the same for all others; not in the time of a tile.
    rotated = {place: baselines.rotated(place, matrices) for place in sketched}

    def elapsed(started: float) -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - started

    engine, ratio = [], []
    for place, other in product(family.places("a"), family.places("b")):
        started = time.perf_counter()
        found = bounds(sketched[place], sketched[other], NATS)
        candidates.read((place, other), found)
        tiles = Estimated(family, {(place, other): found.corr})
        similarity.read(tiles)
        for tile in tiles.tile(place, other).both_ways():
            baselines.read_rotated(tile, rotated[tile.other])
        engine.append(elapsed(started))
        started = time.perf_counter()
        for x, y in zip(sketched[place].sketch, sketched[other].sketch, strict=True):
            quick_product(x, y)
        family.means(place) @ family.means(other).T
        for matrix in (*matrices, *matrices) * 2:
            found.corr @ matrix.T
        ratio.append(elapsed(started) / engine[-1])
    return median(ratio[1:]), median(engine[1:])
