"""What random directions give by chance: how far the best of many lies along some of them."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from scipy.stats import beta
from torch import Tensor

CHANCE = 0.95  # quantile of the highest
ROUNDS = 200  # of as many vectors, in which the highest is looked for


def highest_share(vectors: int, along: int, dimensions: int) -> float:
    """The 95 % quantile of the highest share of length that random vectors have along directions.

    The squared share of one vector along k of d dimensions is of the distribution
    Beta(k / 2, (d - k) / 2).
    """
    rest = dimensions - along
    if rest <= 0:
        return 1.0
    return float(beta.ppf(CHANCE ** (1 / max(vectors, 1)), along / 2, rest / 2) ** 0.5)


def highest_spread(vectors: int, spectrum: Float[Tensor, " dimension"]) -> float:
    """The 95 % quantile of the highest v' M v of random vectors of length 1.

    `spectrum` are the eigenvalues of M. The quantile is of two hundred rounds, always the same.
    """
    return _highest(vectors, len(spectrum), lambda v: v.square() @ spectrum / v.square().sum(dim=1))


def highest_cosine(
    vectors: int, along: Float[Tensor, " dimension"], spectrum: Float[Tensor, " dimension"]
) -> float:
    """The same of |v . along| over the root of v' M v, in the eigenvectors of M."""
    return _highest(
        vectors,
        len(spectrum),
        lambda v: (v @ along).abs() / (v.square() @ spectrum).sqrt().clamp_min(1e-30),
    )


def _highest(vectors: int, dimensions: int, score: Callable[[Tensor], Tensor]) -> float:
    random = torch.Generator().manual_seed(0)
    rounds = (torch.randn(vectors, dimensions, generator=random) for _ in range(ROUNDS))
    return float(torch.stack([score(each).max() for each in rounds]).quantile(CHANCE))
