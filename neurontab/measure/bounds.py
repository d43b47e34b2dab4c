"""What a sketch says of correlations, and between which bounds they lie.

For two neurons let x and y be their activations within tokens, scaled to length 1, r = x.y what is
sought, and m_1 ... m_R the estimates of R replicates with B buckets each. An estimate is r + Z
with

    Z = sum over positions s < t in one bucket of a_st e_s e_t,   a_st = x_s y_t + x_t y_s,

where e are the random signs. A product of terms of Z has a mean only where every sign occurs an
even number of times: never in one; in two that are the same; in three in a ring; and in four that
are the same, twice two, or in a ring. Let p = sum x^4 and q = sum y^4, so that sum a_st^4 is at
most 8 p q. The matrix |x| |y|^T + |y| |x|^T, which is nowhere below |a|, has the eigenvalues d + 1
and d - 1 with d = |x|.|y| <= 1; the sums of their third and fourth powers are at most 8 and 16. So

    E Z^2 = (1 + r^2 - 2 sum_t x_t^2 y_t^2) / B <= v = (1 + r^2) / B,
    |E Z^3| <= 8 / B^2,
    E Z^4 <= 8 p q / B + 3 (E Z^2)^2 + 3 * 16 / B^3.

P(Z <= -u) <= E g(Z)^2 / g(-u)^2 for any g that only falls up to -u, and is positive there.
Straight lines give Cantelli's inequality, whatever the tails: with w = u^2 / v, P(Z <= -u) <= 1 /
(1 + w). Quadratics give, with k = 2 + 8 B p q + 48 / B and w > 1,

    P(Z <= -u) <= (1 + 4 sqrt(2 / B)) / (1 + w + (w - 1)^2 / k).

That is of the g = 1 - sqrt(w) z + (w - 1) / k (z^2 - 1), z = Z / sqrt(v), which is best where E
z^2 = 1, E z^3 = 0 and E z^4 = 1 + k; since v >= 1 / B, this k does for every r. What E g^2 is at
most is convex in E Z^2, and at v it is more than at 0; E z^3 adds 8 / sqrt(k B) of it at most.

Replicates are independent, so that P(max m < r - u) <= exp(-t) where w is so large that one of the
two is exp(-t / R). With c^2 = w / B this is r - c sqrt(1 + r^2) <= max m, but with probability
exp(-t). The left side grows with r where c < 1, so r lies below the root z of z - c sqrt(1 + z^2)
= max m. In the same way it lies above that of z + c sqrt(1 + z^2) = min m.

The estimate itself is the cosine of the two sketches rather than their product: where two neurons
are alike, their sketches are too long or too short by the same.

The bound is over buckets and signs, which we draw; p and q are summed over all activations. `nats`
is t: log(statements / the probability that any of them is wrong). Sketches may be rounded to
bfloat16 before they are multiplied: an estimate is then wrong by |X - X'| |Y| + |X'| |Y - Y'| at
most, where X' is the rounded X, and by what rounding the product does. Sums in float32 are allowed
for by many times what they usually err by (`ROUNDING`).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int
from torch import Tensor

from neurontab.loops.bounds import bound
from neurontab.measure.pairs import inverse_root
from neurontab.measure.precision import DTYPES, Precision, quick_product
from neurontab.measure.sketch import Sketch

ROUNDING = 2e-5  # of a correlation, by products in float32
# Correlations bounded together: with fewer products are slower, with more what follows them.
AT_ONCE = {"cpu": 2**22, "cuda": 2**25}
BFLOAT16 = 2**-8  # of a number, by rounding it
UNKNOWN = 2**-22  # of a neuron's variance, by token means in float32
LITTLE = 1e-3  # of a neuron's variance, below which what is within tokens is bounded by its size


@dataclass(frozen=True)
class Bounds:
    """Estimates of correlations, and what they are below and above.

    `sure` bounds hold whatever the signs: |x.y| <= |x| |y| for what is within tokens.
    """

    corr: Float[Tensor, "neuron other"]
    below: Float[Tensor, "neuron other"]
    above: Float[Tensor, "neuron other"]
    sure_below: Float[Tensor, "neuron other"]
    sure_above: Float[Tensor, "neuron other"]

    @property
    def absolute(self) -> "Bounds":
        """Of absolute values."""
        return Bounds(
            self.corr.abs(),
            torch.maximum(self.below, -self.above).clamp_min(0),
            torch.maximum(self.above, -self.below),
            torch.maximum(self.sure_below, -self.sure_above),
            torch.maximum(self.sure_above, -self.sure_below),
        )


@dataclass(frozen=True)
class Sketched:
    """One layer: its sketch with neurons scaled to length 1, and its standardised token means."""

    sketch: Float[Tensor, "replicate bucket neuron"]
    token_means: Float[Tensor, "neuron token"]
    within: Float[Tensor, " neuron"]  # share of the variance that is within tokens
    length: Float[Tensor, " neuron"]  # of all replicates as one, about the root of their number
    fourth: Float[Tensor, " neuron"]  # sum of the fourth powers of what is within tokens
    longest: float  # length of a neuron in any replicate, at most
    rounded: float  # length of what rounding has done to it, at most

    @classmethod
    def of(
        cls,
        summed: Sketch,
        token_means: Float[Tensor, "neuron token"],
        variance: Float[Tensor, " neuron"],
        n: int,
        products: Precision = "float32",
    ) -> "Sketched":
        """Scales the sums over n positions in place, and rounds them to what is multiplied."""
        within = 1 - token_means.double().square().sum(dim=1)
        length = torch.where(within > LITTLE, n * variance * within, 0.0)
        scaled = summed.sums.mul_(inverse_root(length).float())
        sketch = scaled.to(DTYPES[products])
        exact = _lengths(scaled)
        lengths, rounded = exact, 0.0
        if sketch is not scaled:
            lengths = _lengths(sketch)
            errors = (x - whole for x, whole in zip(sketch, scaled, strict=True))
            rounded = _lengths(errors).max().item()
        return cls(
            sketch,
            token_means,
            within.clamp_min(0) + UNKNOWN,
            lengths.norm(dim=0),
            (summed.fourth * inverse_root(length) ** 4).float(),
            longest=torch.maximum(exact, lengths).max().item(),
            rounded=rounded,
        )

    @property
    def facts(self) -> Float[Tensor, "fact neuron"]:
        """What a bound is of, beside products: the root of `within`, lengths, fourth powers."""
        return torch.stack([self.within.sqrt().float(), self.length, self.fourth])

    def rows(self, here: slice | Int[Tensor, " _"]) -> "Sketched":
        """Some of the neurons."""
        return Sketched(
            self.sketch[:, :, here],
            self.token_means[here],
            self.within[here],
            self.length[here],
            self.fourth[here],
            self.longest,
            self.rounded,
        )


def bounds(one: Sketched, other: Sketched, nats: float) -> Bounds:
    """Bounds of all correlations of two layers, each wrong with probability exp(-nats) at most.

    That is each upper and each lower bound.
    """
    shape, device = (len(one.within), len(other.within)), one.sketch.device
    # Each has its own memory: estimates are kept when bounds are forgotten.
    found = Bounds(*(torch.empty(shape, device=device) for _ in fields(Bounds)))
    if device.type == "cpu":
        _find(one, other, nats, found)
    else:
        find_with_tensors(one, other, nats, found)
    return found


def slack(
    nats: float, replicates: int, buckets: int, fourth: Float[Tensor, "*pair"]
) -> Float[Tensor, "*pair"]:
    """The c^2 of the above, of pairs whose p q is `fourth`."""
    most = math.exp(nats / replicates)
    k = 2 + 8 * buckets * fourth + 48 / buckets
    of_quadratics = most * (1 + 4 * math.sqrt(2 / buckets))
    half = k / 2 - 1
    beyond = (k * (of_quadratics - 1) - 1).clamp_min(0)
    w = beyond / ((half.square() + beyond).sqrt() + half)
    return w.clamp(min=1).clamp(max=most - 1) / buckets


def find_with_tensors(one: Sketched, other: Sketched, nats: float, found: Bounds) -> None:
    """Fills in what is found, on any device."""
    for here in _parts(found):
        part = _bounds(one.rows(here), other, nats)
        for field in fields(Bounds):
            getattr(found, field.name)[here] = getattr(part, field.name)
        del part  # before there is another


def _bounds(one: Sketched, other: Sketched, nats: float) -> Bounds:
    replicates, buckets, _ = one.sketch.shape
    far = slack(nats, replicates, buckets, torch.outer(one.fourth, other.fourth))
    between = one.token_means @ other.token_means.T
    size = torch.outer(one.within.sqrt(), other.within.sqrt()).float()
    least = torch.full_like(size, torch.inf)
    most = torch.full_like(size, -torch.inf)
    total = torch.zeros_like(size)
    for x, y in zip(one.sketch, other.sketch, strict=True):
        product = quick_product(x, y)
        torch.minimum(least, product, out=least)
        torch.maximum(most, product, out=most)
        total += product
    rounded, share = _product_error(one, other)
    most += rounded + share * most.abs()
    least -= rounded + share * least.abs()
    length = torch.outer(one.length, other.length)
    middle = torch.where(length > 0, total / length, 0.0).clamp(-1, 1)
    above = torch.where(length > 0, _root(most, far), 1.0)
    below = torch.where(length > 0, -_root(-least, far), -1.0)
    return Bounds(
        between + size * middle,
        between + size * below - ROUNDING,
        between + size * above + ROUNDING,
        between - (size + ROUNDING),
        between + (size + ROUNDING),
    )


def _find(one: Sketched, other: Sketched, nats: float, found: Bounds) -> None:
    """The same on a CPU, all that follows the products in one loop."""
    replicates, buckets, _ = one.sketch.shape
    parts = _parts(found)
    products = torch.empty(replicates, parts[0].stop, len(other.within))
    for here in parts:
        some = one.rows(here)
        for x, y, into in zip(some.sketch, other.sketch, products, strict=True):
            into[: len(some.within)] = quick_product(x, y)
        bound(
            products.numpy(),
            (some.token_means @ other.token_means.T).numpy(),
            some.facts.numpy(),
            other.facts.numpy(),
            buckets,
            math.exp(nats / replicates),
            *_product_error(some, other),
            ROUNDING,
            here.start,
            *(getattr(found, field.name).numpy() for field in fields(Bounds)),
        )


def _parts(found: Bounds) -> list[slice]:
    """Neurons that are bounded together: about as many each time, as products like."""
    neurons, others = found.corr.shape
    rows = math.ceil(neurons / math.ceil(neurons * others / AT_ONCE[found.corr.device.type]))
    return [slice(first, min(first + rows, neurons)) for first in range(0, neurons, rows)]


def _product_error(one: Sketched, other: Sketched) -> tuple[float, float]:
    """By what rounding makes products of sketches wrong: as they are, and as a share of them."""
    rounded = one.rounded * other.longest + one.longest * other.rounded
    return rounded, BFLOAT16 if one.sketch.dtype == torch.bfloat16 else 0.0


def _lengths(
    replicates: Iterable[Float[Tensor, "bucket neuron"]],
) -> Float[Tensor, "replicate neuron"]:
    """Of every neuron, replicate by replicate (torch's norms take three times as long)."""
    return torch.stack([each.float().square().sum(dim=0).sqrt() for each in replicates])


def _root(
    most: Float[Tensor, "neuron other"], far: Float[Tensor, "neuron other"]
) -> Float[Tensor, "neuron other"]:
    """The z for which z - c sqrt(1 + z^2) is `most`, 1 at most; `far` is c^2."""
    root = (far * (1 - far + most.square())).clamp_min(0).sqrt()
    return torch.where(far < 1, ((most + root) / (1 - far)).clamp(-1, 1), 1.0)
