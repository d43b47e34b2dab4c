"""How much of a correlation is that both neurons answer to the same current token.

A covariance is the covariance between means of the current token, plus what is left within tokens
(the law of total covariance).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from neurontab.measure.columns import Columns
from neurontab.measure.groups import GroupSums
from neurontab.measure.moments import Moments
from neurontab.measure.pairs import inverse_root

AT_ONCE = 2_048  # matches whose token means are in memory together
ROUNDING = 1e-4  # of a neuron's variance, below which nothing is left within tokens


@dataclass(frozen=True)
class TokenMeans:
    """Means by current token of a model's neurons, standardised and weighted [unit, token].

    The inner product of two rows is the correlation between token means, in units of the whole
    standard deviations.
    """

    values: Float[Tensor, "unit token"]

    @cached_property
    def within(self) -> Float[Tensor, " unit"]:
        """Share of each unit's variance that is within tokens."""
        return 1 - self.values.square().sum(dim=1)

    def between(
        self, other: "TokenMeans", unit: Int[Tensor, " pair"], other_unit: Int[Tensor, " pair"]
    ) -> Float[Tensor, " pair"]:
        """That inner product for pairs of units."""
        parts = zip(unit.split(AT_ONCE), other_unit.split(AT_ONCE), strict=True)
        found = [(self.values[i] * other.values[j]).sum(dim=1) for i, j in parts]
        return torch.cat(found) if found else torch.zeros(0)


def mean_activations(
    values: Float[Tensor, "neuron token"],
    counts: Int[Tensor, " token"],
    mean: Float[Tensor, " neuron"],
    variance: Float[Tensor, " neuron"],
) -> Float[Tensor, "token neuron"]:
    """Mean activations by token from the rows of a layer in `TokenMeans`: what these were made of.

    Equal to the mean for a token that never counts, or of which a neuron does not vary.
    """
    weight = (counts.double() / counts.sum().clamp_min(1)).sqrt()
    deviation = values.double() * inverse_root(weight.square()) * variance.sqrt()[:, None]
    return (mean[:, None] + deviation).T.float().contiguous()


def token_means(groups: GroupSums, post: Moments) -> Float[Tensor, "neuron token"]:
    """The rows of one layer in `TokenMeans`."""
    weight = (groups.n / groups.n.sum().clamp_min(1)).sqrt()
    mean = post.shift.double() + post.shifted_mean
    deviation = torch.where(groups.n[:, None] > 0, groups.mean() - mean, 0.0)
    return (deviation * weight[:, None] * inverse_root(post.variance)).T.float().contiguous()


def token_share(
    means: TokenMeans,
    other_means: TokenMeans,
    unit: Int[Tensor, " pair"],
    other_unit: Int[Tensor, " pair"],
    corr: Float[Tensor, " pair"],
) -> Columns:
    """Columns `token_share` and `corr_within_token` of pairs with these signed correlations."""
    between = means.between(other_means, unit, other_unit)
    own, others = means.within[unit], other_means.within[other_unit]
    within = (corr - between) * inverse_root(own * others)
    nothing = (own < ROUNDING) | (others < ROUNDING)
    return {
        "token_share": np.ma.masked_invalid((between / corr).float().cpu().numpy()),
        "corr_within_token": np.ma.masked_where(
            nothing.cpu().numpy(), within.clamp(-1, 1).float().cpu().numpy()
        ),
    }
