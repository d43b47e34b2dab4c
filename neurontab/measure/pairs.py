"""Sums of products for a pair of layers: from them every correlation between their neurons."""

import torch
from jaxtyping import Float
from torch import Tensor

State = dict[str, Tensor]


class PairSums:
    """Sum over tokens of x yᵀ, for shifted activations x and y of two layers [neuron, other].

    The product of a block is in the compute dtype, the sum over blocks in float64.
    """

    def __init__(self, d_mlp: int, other_d_mlp: int, device: torch.device) -> None:
        self._products = torch.zeros(d_mlp, other_d_mlp, dtype=torch.float64, device=device)
        self.n = 0

    def add(self, x: Float[Tensor, "token neuron"], y: Float[Tensor, "token other"]) -> None:
        """Counts some more tokens; both sides shifted, the same tokens in the same order."""
        self._products += x.T @ y
        self.n += len(x)

    def merge(self, other: "PairSums") -> None:
        """Counts what another over other tokens has counted."""
        self._products += other._products
        self.n += other.n

    def state(self) -> State:
        """Everything that `load` needs to go on."""
        return {"products": self._products, "n": torch.tensor(self.n)}

    @classmethod
    def load(cls, state: State) -> "PairSums":
        """The object whose state this is."""
        products = state["products"]
        sums = cls(products.shape[0], products.shape[1], products.device)
        sums._products = products.clone()
        sums.n = int(state["n"])
        return sums

    def result(
        self,
        shifted_mean: Float[Tensor, " neuron"],
        other_shifted_mean: Float[Tensor, " other"],
    ) -> Float[Tensor, "neuron other"]:
        """Covariance, in float64: C = S_xy / n - mean(x) mean(y)ᵀ (Gurnee et al. 2024, 3.1)."""
        return self._products / self.n - torch.outer(shifted_mean, other_shifted_mean)


def correlation(
    covariance: Float[Tensor, "neuron other"],
    variance: Float[Tensor, " neuron"],
    other_variance: Float[Tensor, " other"],
) -> Float[Tensor, "neuron other"]:
    """Pearson correlation; 0 where a side does not vary."""
    return covariance * inverse_root(variance)[:, None] * inverse_root(other_variance)


def inverse_root(variance: Float[Tensor, " neuron"]) -> Float[Tensor, " neuron"]:
    """1 / standard deviation; 0 where there is no variance."""
    return torch.where(variance > 0, variance.clamp_min(1e-300).rsqrt(), 0.0)
