"""What random directions give by chance: how far the best of many lies along some of them."""

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
    random = torch.Generator().manual_seed(0)
    highest = []
    for _ in range(ROUNDS):
        squares = torch.randn(vectors, len(spectrum), generator=random).square()
        highest.append(((squares @ spectrum.float().cpu()) / squares.sum(dim=1)).max())
    return float(torch.stack(highest).quantile(CHANCE))
