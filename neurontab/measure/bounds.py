"""What a sketch says of correlations, and between which bounds they lie.

For two neurons let x and y be their activations within tokens, scaled to length 1, r = x.y what is
sought, and m_1 ... m_R the estimates of R replicates with B buckets each. An estimate is r + Z with
E Z = 0 over random buckets and signs, and

    Var Z = (1 + r^2 - 2 sum_t x_t^2 y_t^2) / B <= v = (1 + r^2) / B,

whatever the tails of x and y. Cantelli's inequality gives P(Z <= -u) <= v / (v + u^2); replicates
are independent, so P(max m < r - u) <= (v / (v + u^2))^R, which is exp(-t) for
u^2 = v (exp(t / R) - 1). With c^2 = (exp(t / R) - 1) / B this is r - c sqrt(1 + r^2) <= max m, but
with probability exp(-t). The left side grows with r where c < 1, so r lies below the root w of
w - c sqrt(1 + w^2) = max m. In the same way it lies above that of w + c sqrt(1 + w^2) = min m.

The estimate itself is the cosine of the two sketches: what an estimate is too large by, it is for
both neurons of a pair that is alike.

The bound is over buckets and signs, which we draw; it supposes nothing of the activations. `nats`
is t: log(statements / the probability that any of them is wrong).
"""

import math
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from neurontab.measure.pairs import inverse_root

ROUNDING = 2e-5  # of a correlation, by products in float32
AT_ONCE = 2**20  # correlations whose bounds stay in a processor's cache
LITTLE = 1e-3  # of a neuron's variance, below which what is within tokens is bounded by its size


@dataclass(frozen=True)
class Bounds:
    """Estimates of correlations, and what they are below and above.

    `sure` bounds hold whatever the signs: |x.y| <= |x| |y| for what is within tokens.
    """

    corr: Float[Tensor, "neuron other"]
    below: Float[Tensor, "neuron other"]
    above: Float[Tensor, "neuron other"]
    between: Float[Tensor, "neuron other"]  # what tokens make of it, exactly
    size: Float[Tensor, "neuron other"]  # what is within tokens can make of it at most

    @property
    def sure_below(self) -> Float[Tensor, "neuron other"]:
        """The least that it can be."""
        return self.between - (self.size + ROUNDING)

    @property
    def sure_above(self) -> Float[Tensor, "neuron other"]:
        """The most that it can be."""
        return self.between + (self.size + ROUNDING)

    @property
    def absolute(self) -> "Bounds":
        """Of absolute values."""
        return Bounds(
            self.corr.abs(),
            torch.maximum(self.below, -self.above).clamp_min(0),
            torch.maximum(self.above, -self.below),
            self.between.abs(),
            self.size,
        )


@dataclass(frozen=True)
class Sketched:
    """One layer: its sketch with neurons scaled to length 1, and its standardised token means."""

    sketch: Float[Tensor, "replicate bucket neuron"]
    token_means: Float[Tensor, "neuron token"]
    within: Float[Tensor, " neuron"]  # share of the variance that is within tokens
    length: Float[Tensor, " neuron"]  # of all replicates as one, about the root of their number

    @classmethod
    def of(
        cls,
        sums: Float[Tensor, "replicate bucket neuron"],
        token_means: Float[Tensor, "neuron token"],
        variance: Float[Tensor, " neuron"],
        n: int,
    ) -> "Sketched":
        """Scales the sums over n positions in place: they are too large to be there twice."""
        within = 1 - token_means.double().square().sum(dim=1)
        length = torch.where(within > LITTLE, n * variance * within, 0.0)
        scaled = sums.mul_(inverse_root(length).float())
        squares = torch.stack([replicate.square().sum(dim=0) for replicate in scaled])
        return cls(scaled, token_means, within.clamp_min(0), squares.sum(dim=0).sqrt())

    def rows(self, here: slice) -> "Sketched":
        """Some of the neurons."""
        return Sketched(
            self.sketch[:, :, here], self.token_means[here], self.within[here], self.length[here]
        )


def bounds(one: Sketched, other: Sketched, nats: float) -> Bounds:
    """Bounds of all correlations of two layers, each wrong with probability exp(-nats) at most."""
    shape = len(one.within), len(other.within)
    rows = max(AT_ONCE // shape[1], 1) if one.sketch.device.type == "cpu" else shape[0]
    found = Bounds(*(torch.empty(shape, device=one.sketch.device) for _ in fields(Bounds)))
    for first in range(0, shape[0], rows):
        here = slice(first, first + rows)
        part = _bounds(one.rows(here), other, nats)
        for field in fields(Bounds):
            getattr(found, field.name)[here] = getattr(part, field.name)
    return found


def reach(nats: float, replicates: int, buckets: int) -> float:
    """The c of the above: how far a correlation of 0 may lie above the highest estimate."""
    return math.sqrt(math.expm1(nats / replicates) / buckets)


def _bounds(one: Sketched, other: Sketched, nats: float) -> Bounds:
    replicates, buckets, _ = one.sketch.shape
    slack = reach(nats, replicates, buckets) ** 2
    between = one.token_means @ other.token_means.T
    size = torch.outer(one.within.sqrt(), other.within.sqrt()).float()
    least = torch.full_like(size, torch.inf)
    most = torch.full_like(size, -torch.inf)
    total = torch.zeros_like(size)
    for x, y in zip(one.sketch, other.sketch, strict=True):
        found = x.T @ y
        torch.minimum(least, found, out=least)
        torch.maximum(most, found, out=most)
        total += found
    length = torch.outer(one.length, other.length)
    middle = torch.where(length > 0, total / length, 0.0).clamp(-1, 1)
    known = torch.outer(_known(one), _known(other))
    above = torch.where(known, _root(most, slack), 1.0)
    below = torch.where(known, -_root(-least, slack), -1.0)
    return Bounds(
        between + size * middle,
        between + size * below - ROUNDING,
        between + size * above + ROUNDING,
        between,
        size,
    )


def _known(layer: Sketched) -> Bool[Tensor, " neuron"]:
    return layer.within > LITTLE


def _root(most: Float[Tensor, "neuron other"], slack: float) -> Float[Tensor, "neuron other"]:
    """The w for which w - c sqrt(1 + w^2) is `most`, 1 at most; `slack` is c^2."""
    if slack >= 1:
        return torch.ones_like(most)
    root = (slack * (1 - slack + most.square())).sqrt()
    return ((most + root) / (1 - slack)).clamp(-1, 1)
