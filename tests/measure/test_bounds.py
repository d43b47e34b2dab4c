"""Bounds of correlations from sketches: what they promise, over many hashings."""

import math
from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from neurontab.measure.bounds import (
    LITTLE,
    ROUNDING,
    UNKNOWN,
    Bounds,
    Sketched,
    bounds,
    find_with_tensors,
    slack,
)
from neurontab.measure.hashing import Hashing
from neurontab.measure.precision import Precision
from neurontab.measure.sketch import Sketch

N, TOKENS, REPLICATES, BUCKETS = 4_000, 30, 6, 128
RANDOM = torch.Generator().manual_seed(5)
TOKEN = torch.randint(0, TOKENS, (N,), generator=RANDOM)
COUNTS = torch.bincount(TOKEN, minlength=TOKENS).double()
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
DEVICES = ["cpu", pytest.param("cuda", marks=GPU)]


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


def sketched(
    seed: int,
    products: Precision = "float32",
    replicates: int = REPLICATES,
    buckets: int = BUCKETS,
    device: str = "cpu",
) -> Sketched:
    """The layer's sketch."""
    hashing = Hashing(replicates, buckets, seed)
    means = torch.zeros(TOKENS, VALUES.shape[1]).index_add_(0, TOKEN, VALUES) / COUNTS[:, None]
    sketch = Sketch(replicates, buckets, means.float().to(device))
    rows = torch.arange(N)
    sketch.add(VALUES.to(device), rows, TOKEN, *hashing.bucket_and_sign(rows))
    exact = VALUES.double()
    variance = exact.var(dim=0, correction=0)
    deviation = (means - exact.mean(dim=0)) / variance.sqrt()
    return Sketched.of(
        sketch,
        (deviation * (COUNTS / N).sqrt()[:, None]).T.float().to(device),
        variance.to(device),
        N,
        products,
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


def one_by_one(buckets: int) -> tuple[Tensor, Tensor, Tensor]:
    """What 400 replicates each are too high by, what they estimate, and the pairs' p q.

    Of neurons with something within tokens, the few that hold it in three positions last.
    """
    layer = sketched(0, replicates=400, buckets=buckets)
    some = torch.tensor([*range(6), *range(6, 12), *range(16, 20), 20, 21])
    x = VALUES[:, some].double()
    means = torch.zeros(TOKENS, len(some), dtype=torch.float64).index_add_(0, TOKEN, x)
    within = x - (means / COUNTS[:, None])[TOKEN]
    unit = within / within.norm(dim=0)
    exact = unit.T @ unit
    found = torch.stack([m.T @ m for m in layer.sketch[:, :, some].double()])
    fourth = unit.pow(4).sum(dim=0)
    assert torch.allclose(layer.fourth[some].double(), fourth, rtol=1e-4)
    return found - exact, exact, torch.outer(fourth, fourth)


@pytest.mark.parametrize("buckets", [64, 512])
def test_moments_of_an_estimate_are_within_what_is_derived(buckets: int) -> None:
    error, exact, fourth = one_by_one(buckets)
    second = (1 + exact.square()) / buckets
    assert (error.square().mean(dim=0) < 1.5 * second).all()
    bound = 8 * fourth / buckets + 3 * second.square() + 48 / buckets**3
    light = fourth < 1 / buckets
    assert light.any()
    assert not light.all()
    found = error.pow(4).mean(dim=0)
    assert (found < 1.2 * bound + 4 * error.pow(4).std(dim=0) / 400**0.5).all()
    assert (found[light] > 0.1 * bound[light]).any()


@pytest.mark.parametrize("nats", [2.0, 3.0, 4.0])
def test_one_replicate_errs_by_more_than_the_slack_as_rarely_as_derived(nats: float) -> None:
    """And that can fail: with a sixth of the slack it errs more often."""
    error, exact, fourth = one_by_one(512)

    def astray(share: float) -> Tensor:
        far = share * slack(nats, 1, 512, fourth.float()).double()
        return (error < -(far * (1 + exact.square())).sqrt()).double().mean(dim=0)

    often = math.exp(-nats)
    assert (astray(1.0) < often + 3 * (often / 400) ** 0.5).all()
    assert astray(1 / 6).max() > often


def test_few_strong_positions_have_the_slack_of_any_tails_and_others_less() -> None:
    nats, replicates, buckets = 24.0, 6, 10_880
    none, some, all_of_it = slack(nats, replicates, buckets, torch.tensor([0.0, 1e-4, 1.0]))
    cantelli = math.expm1(nats / replicates) / buckets
    assert none < 0.4 * cantelli
    assert none < some < cantelli
    assert 0.99 * cantelli < all_of_it <= cantelli * (1 + 1e-6)


def test_next_to_nothing_within_tokens_is_bounded_for_sure() -> None:
    """A neuron of four tokens and some noise, as little as token means in float32 err by."""
    n = 4_096
    for seed in range(10):
        random = torch.Generator().manual_seed(seed)
        token = torch.randint(0, 4, (n,), generator=random)
        noise = torch.randn(n, generator=random)
        values = torch.stack([torch.randn(4, generator=random)[token] + 1.5e-4 * noise, noise], 1)
        exact = values.double()
        counts = torch.bincount(token, minlength=4).double()[:, None]
        means = torch.zeros(4, 2, dtype=torch.float64).index_add_(0, token, exact) / counts
        variance = exact.var(dim=0, correction=0)
        standard = (means - exact.mean(dim=0)) / variance.sqrt() * (counts / n).sqrt()
        sketch = Sketch(2, 64, torch.zeros(4, 2))
        layer = Sketched.of(sketch, standard.T.float().contiguous(), variance, n)
        found, corr = bounds(layer, layer, 5.0), torch.corrcoef(exact.T)[0, 1]
        assert found.sure_below[0, 1] < corr < found.sure_above[0, 1]
        assert found.below[0, 1] < corr < found.above[0, 1]


@pytest.mark.parametrize("within", [LITTLE - UNKNOWN / 2, LITTLE, LITTLE + UNKNOWN])
def test_a_neuron_without_a_sketch_is_bounded_by_its_size(within: float) -> None:
    """On either side of what is sketched: nothing in a sketch says nothing of a correlation."""
    means = torch.tensor([[1 - within], [0.5]], dtype=torch.float64).sqrt().float()
    sketch = Sketch(2, 64, torch.zeros(1, 2))
    layer = Sketched.of(sketch, means, torch.ones(2, dtype=torch.float64), N)
    found = bounds(layer, layer, 0.0)
    between, size = math.sqrt((1 - within) * 0.5), math.sqrt((within + UNKNOWN) * (0.5 + UNKNOWN))
    assert between + size - 1e-6 <= found.above[0, 1] <= between + size + 2 * ROUNDING
    assert between - size - 2 * ROUNDING <= found.below[0, 1] <= between - size + 1e-6


@pytest.mark.parametrize("device", DEVICES)
def test_bounds_of_rounded_sketches_hold_what_exact_ones_do(device: str) -> None:
    numbers: tuple[Precision, ...] = ("float32", "bfloat16")
    for seed in range(10):
        exact, rounded = (
            bounds(layer, layer, 10.0)
            for layer in (sketched(seed, products, device=device) for products in numbers)
        )
        assert (rounded.above >= exact.above).all()
        assert (rounded.below <= exact.below).all()
        assert ((rounded.above - exact.above) < 0.05).all()
        assert torch.allclose(rounded.corr, exact.corr, atol=5e-3)
        assert not torch.equal(rounded.corr, exact.corr)


@pytest.mark.parametrize("nats", [0.0, 1.0, 10.0, 200.0])
@pytest.mark.parametrize("products", ["float32", "bfloat16"])
def test_one_loop_bounds_as_tensors_do(products: Precision, nats: float) -> None:
    """With neurons that have a sketch and some that have none, some bounds and all at the ends."""
    layer = sketched(0, products)
    one = replace(
        layer, length=torch.where(torch.arange(len(layer.length)) % 5 > 0, layer.length, 0)
    )
    other = layer.rows(torch.arange(600) % len(layer.length))
    fast = bounds(one, other, nats)
    plain = Bounds(*(torch.full_like(fast.corr, torch.nan) for _ in fields(Bounds)))
    find_with_tensors(one, other, nats, plain)
    for field in fields(Bounds):
        found, expected = getattr(fast, field.name), getattr(plain, field.name)
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)
        assert found.untyped_storage().nbytes() == found.nbytes  # what is kept keeps no more
    assert (fast.above < fast.sure_above - 1e-5).any() == (nats <= 10)


def test_bounds_are_the_same_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = sketched(0)
    whole = bounds(layer, layer, 10.0)
    at_once = {"cpu": 7 * len(layer.within)}  # seven rows, and fewer in the last part
    monkeypatch.setattr("neurontab.measure.bounds.AT_ONCE", at_once)
    parts = bounds(layer, layer, 10.0)
    assert len(layer.within) % 7
    for field in fields(Bounds):
        torch.testing.assert_close(getattr(parts, field.name), getattr(whole, field.name))


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
