"""Sums of products for a pair of layers: from them every correlation between their neurons."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from neurontab.measure.accumulator import Accumulator, Join
from neurontab.measure.precision import product

AT_ONCE = 4_096  # neurons: their product takes memory of its own, half of that of their sums


class PairSums(Accumulator):
    """Sum over tokens of x yᵀ, for shifted activations x and y of two layers [neuron, other].

    The product of a block is in float32 (`precision.py`), the sum over blocks in float64.
    """

    JOINED: ClassVar[dict[str, Join]] = {"n": torch.add, "products": torch.add}

    def __init__(self, d_mlp: int, other_d_mlp: int, device: torch.device) -> None:
        self.n = torch.zeros((), dtype=torch.int64)
        self.products = torch.zeros(d_mlp, other_d_mlp, dtype=torch.float64, device=device)

    def add(self, x: Float[Tensor, "token neuron"], y: Float[Tensor, "token other"]) -> None:
        """Counts some more tokens; both sides shifted, the same tokens in the same order."""
        for first in range(0, x.shape[1], AT_ONCE):
            here = slice(first, first + AT_ONCE)
            self.products[here] += product(x[:, here], y)
        self.n += len(x)

    def result(
        self,
        shifted_mean: Float[Tensor, " neuron"],
        other_shifted_mean: Float[Tensor, " other"],
    ) -> Float[Tensor, "neuron other"]:
        """Covariance, in float64: C = S_xy / n - mean(x) mean(y)ᵀ (Gurnee et al. 2024, 3.1)."""
        return self.products / self.n - torch.outer(shifted_mean, other_shifted_mean)


def correlation(
    covariance: Float[Tensor, "neuron other"],
    variance: Float[Tensor, " neuron"],
    other_variance: Float[Tensor, " other"],
) -> Float[Tensor, "neuron other"]:
    """Pearson correlation; 0 where a side does not vary."""
    return covariance * inverse_root(variance)[:, None] * inverse_root(other_variance)


def inverse_root(variance: Float[Tensor, "*part neuron"]) -> Float[Tensor, "*part neuron"]:
    """1 / standard deviation; 0 where there is no variance."""
    return torch.where(variance > 0, variance.clamp_min(1e-300).rsqrt(), 0.0)
