"""Bounds of correlations from sketches: what they promise, over many hashings."""

import math

import pytest
import torch
from torch import Tensor

from neurontab.measure.bounds import Bounds, Sketched, bounds
from neurontab.measure.hashing import Hashing
from neurontab.measure.sketch import Sketch

N, TOKENS, REPLICATES, BUCKETS = 4_000, 30, 6, 128
RANDOM = torch.Generator().manual_seed(5)
TOKEN = torch.randint(0, TOKENS, (N,), generator=RANDOM)
COUNTS = torch.bincount(TOKEN, minlength=TOKENS).double()


def neurons() -> Tensor:
    """Activations of every kind: even, heavy-tailed, of one token, of a few positions, alike."""
    noise = torch.randn(N, 6, generator=RANDOM)
    rare = torch.zeros(N, 2)
    rare[[5, 999, 3_998]] = 30.0
    by_token = torch.randn(TOKENS, 4, generator=RANDOM)[TOKEN]
    kinds = [noise, noise**5, by_token, by_token + noise[:, :4], rare + 0.1 * noise[:, :2]]
    return torch.cat([*kinds, noise[:, :3] + 0.5 * noise[:, 3:]], dim=1)


VALUES = neurons()
EXACT = torch.corrcoef(VALUES.double().T)


def sketched(seed: int) -> Sketched:
    """The layer's sketch."""
    hashing = Hashing(REPLICATES, BUCKETS, seed)
    means = torch.zeros(TOKENS, VALUES.shape[1]).index_add_(0, TOKEN, VALUES) / COUNTS[:, None]
    sketch = Sketch(REPLICATES, BUCKETS, means.float())
    rows = torch.arange(N)
    sketch.add(VALUES, rows, TOKEN, *hashing.bucket_and_sign(rows))
    exact = VALUES.double()
    variance = exact.var(dim=0, correction=0)
    deviation = (means - exact.mean(dim=0)) / variance.sqrt()
    return Sketched.of(
        sketch.sums, (deviation * (COUNTS / N).sqrt()[:, None]).T.float(), variance, N
    )


def wrong(found: Bounds) -> Tensor:
    """Which correlations lie outside their bounds."""
    return (found.above < EXACT) | (found.below > EXACT)


def bounded(seed: int, nats: float) -> Bounds:
    """The bounds of the layer with itself."""
    layer = sketched(seed)
    return bounds(layer, layer, nats)


@pytest.mark.parametrize("nats", [1.0, 2.0, 3.0])
def test_a_bound_is_wrong_as_rarely_as_it_says(nats: float) -> None:
    """Of both sides of every pair, over many hashings."""
    share = torch.stack([wrong(bounded(seed, nats)) for seed in range(40)]).double().mean(dim=0)
    sure = sketched(0).within < 1e-3
    assert share.max() < 2 * math.exp(-nats) + 0.1
    assert share[sure][:, sure].max() == 0


def test_bounds_without_a_promise_are_wrong() -> None:
    """So the test above can fail: at no nats at all, the highest estimate itself is the bound."""
    assert torch.stack([wrong(bounded(seed, 0.0)) for seed in range(20)]).double().mean() > 0.01


def test_sure_bounds_and_many_nats_are_never_wrong() -> None:
    for seed in range(20):
        found = bounded(seed, 20.0)
        assert not wrong(found).any()
        assert ((found.sure_below < EXACT) & (found.sure_above > EXACT)).all()
        assert (found.below <= found.corr).all()
        assert (found.above >= found.corr).all()


def test_estimates_come_near_and_more_buckets_nearer() -> None:
    found = torch.stack([bounded(seed, 1.0).corr for seed in range(20)])
    size = sketched(0).within.sqrt()
    expected = torch.outer(size, size) * (2 / (REPLICATES * BUCKETS)) ** 0.5
    spread = (found - EXACT).square().mean(dim=0).sqrt()
    assert (spread <= 1.6 * expected + 1e-4).all()
