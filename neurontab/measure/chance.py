"""What random directions give by chance: how far the best of many lies along some of them."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from scipy.stats import beta, gumbel_r
from torch import Tensor

CHANCE = 0.999  # quantile of the highest: one layer in a thousand has a higher by chance
ROUNDS = 200  # of as many vectors, in which the highest is looked for


def highest_share(vectors: int, along: int, dimensions: int) -> float:
    """The 99.9 % quantile of the highest share of length that random vectors have along directions.

    The squared share of one vector along k of d dimensions is of the distribution
    Beta(k / 2, (d - k) / 2).
    """
    rest = dimensions - along
    if rest <= 0:
        return 1.0
    return float(beta.ppf(CHANCE ** (1 / max(vectors, 1)), along / 2, rest / 2) ** 0.5)


def highest_spread(vectors: int, spectrum: Float[Tensor, " dimension"]) -> float:
    """The 99.9 % quantile of the highest v' M v of random vectors of length 1.

    `spectrum` are the eigenvalues of M.
    """
    most = float(spectrum.max().clamp_min(1e-300))
    shares = spectrum / most
    return most * _highest(
        vectors, len(spectrum), lambda v: v.square() @ shares / v.square().sum(dim=1)
    )


def highest_cosine(
    vectors: int, along: Float[Tensor, " dimension"], spectrum: Float[Tensor, " dimension"]
) -> float:
    """The same of |v . along| over the root of v' M v, in the eigenvectors of M."""
    squared = _highest(
        vectors,
        len(spectrum),
        lambda v: (v @ along).square() / (v.square() @ spectrum).clamp_min(1e-30),
    )
    return math.sqrt(squared)


def _highest(vectors: int, dimensions: int, score: Callable[[Tensor], Tensor]) -> float:
    """Of scores from 0 to 1: the quantile of a Gumbel distribution of their inverse tanh.

    It has the mean and the spread of the highest scores in some rounds.
    """
    random = torch.Generator().manual_seed(0)
    rounds = (torch.randn(vectors, dimensions, generator=random) for _ in range(ROUNDS))
    highest = torch.stack([score(each).max() for each in rounds]).double()
    found = highest.clamp_max(1 - 1e-12).atanh()
    scale = float(found.std()) / gumbel_r.std()
    middle = float(found.mean()) - scale * gumbel_r.mean()
    return math.tanh(gumbel_r.ppf(CHANCE, middle, scale) if scale > 0 else middle)
