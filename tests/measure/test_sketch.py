"""Sketches of activations against exact products, over many hashings."""

import numpy as np
import pytest
import torch
from torch import Tensor

from neurontab.measure.hashing import Hashing
from neurontab.measure.sketch import Sketch

N, GROUPS, REPLICATES, BUCKETS = 3_000, 20, 2, 64
RANDOM = torch.Generator().manual_seed(0)
GROUP = torch.randint(0, GROUPS, (N,), generator=RANDOM)
PLACES = torch.arange(N) + 12_345


def neurons(count: int) -> Tensor:
    """Activations with a part by token, a heavy tail and a mean [token, neuron]."""
    by_token = torch.randn(GROUPS, count, generator=RANDOM)[GROUP]
    tail = torch.randn(N, count, generator=RANDOM) ** 3
    return 5 + 2 * by_token + tail


X, Y = neurons(3), neurons(4)


def group_means(values: Tensor) -> Tensor:
    """The mean activations of each group."""
    return torch.stack([values[group == GROUP].mean(dim=0) for group in range(GROUPS)])


def sketched(values: Tensor, hashing: Hashing, pieces: int = 1) -> Sketch:
    """The sketch of activations that come in pieces."""
    sketch = Sketch(hashing.replicates, hashing.buckets, group_means(values))
    for rows in torch.arange(N).chunk(pieces):
        sketch.add(values, rows, GROUP[rows], *hashing.bucket_and_sign(PLACES[rows]))
    return sketch


def products(x: Tensor, y: Tensor) -> Tensor:
    """Exact products of activations less the means of their groups."""
    within = [values.double() - group_means(values.double())[GROUP] for values in (x, y)]
    return within[0].T @ within[1]


def test_estimates_are_unbiased_with_the_variance_that_is_promised() -> None:
    exact = products(X, Y)
    estimates = []
    for seed in range(200):
        hashing = Hashing(REPLICATES, BUCKETS, seed)
        one, other = (sketched(values, hashing).sums.double() for values in (X, Y))
        estimates.append(one.transpose(1, 2) @ other)
    found = torch.cat(estimates)
    norms = torch.outer(products(X, X).diagonal(), products(Y, Y).diagonal())
    deviation = ((norms + exact**2) / BUCKETS).sqrt()
    assert ((found.mean(dim=0) - exact).abs() < 4 * deviation / 400**0.5).all()
    assert (found.std(dim=0) < 1.15 * deviation).all()
    assert (found.std(dim=0) > 0.6 * deviation).all()


def test_a_rare_event_that_two_neurons_share_is_never_missed() -> None:
    """Three positions of three thousand hold all that they have in common."""
    x, y = (torch.randn(N, 1, generator=RANDOM) * 1e-2 for _ in range(2))
    for place in (2_970, 2_980, 2_999):
        x[place], y[place] = 10.0, 10.0
    for seed in range(25):
        hashing = Hashing(REPLICATES, BUCKETS, seed)
        one, other = (sketched(values, hashing).sums for values in (x, y))
        for replicate in range(REPLICATES):
            found = (one[replicate].T @ other[replicate]).item()
            assert found == pytest.approx(products(x, y).item(), rel=0.75)


def test_pieces_and_places_decide_nothing() -> None:
    hashing = Hashing(REPLICATES, BUCKETS, 3)
    whole, parts = sketched(X, hashing), sketched(X, hashing, pieces=7)
    assert torch.allclose(whole.sums, parts.sums, atol=1e-4)
    tensors = Sketch(REPLICATES, BUCKETS, whole.means)
    tensors.add_tensors(X, GROUP, *hashing.bucket_and_sign(PLACES))
    assert torch.allclose(whole.sums, tensors.sums, atol=1e-4)


def test_buckets_and_signs_are_even_independent_and_of_the_seed() -> None:
    places = torch.arange(100_000)
    buckets, signs = Hashing(2, 50, 0).bucket_and_sign(places)
    other_bucket, other_sign = (each[0] for each in Hashing(2, 50, 1).bucket_and_sign(places))
    for bucket, sign in zip(buckets, signs, strict=True):
        assert np.bincount(bucket, minlength=50) == pytest.approx(2_000, abs=5 * 2_000**0.5)
        assert abs(sign.mean().item()) < 5 / len(places) ** 0.5
        assert (bucket == other_bucket).float().mean().item() == pytest.approx(1 / 50, abs=3e-3)
    first, second = signs
    for one, two in ((first, other_sign), (first, second), (first[1:], first[:-1])):
        assert abs((one * two).mean().item()) < 5 / len(places) ** 0.5
    assert (buckets[0] == buckets[1]).float().mean().item() == pytest.approx(1 / 50, abs=3e-3)
    first_places = Hashing(8, 10_000, 0).bucket_and_sign(torch.arange(8))[0]
    off_diagonal = ~torch.eye(8, dtype=torch.bool)
    assert (first_places == first_places.T)[off_diagonal].float().mean().item() < 0.1
    some, some_signs = Hashing(2, 50, 0).bucket_and_sign(places[777:999])
    assert torch.equal(some, buckets[:, 777:999])
    assert torch.equal(some_signs, signs[:, 777:999])
