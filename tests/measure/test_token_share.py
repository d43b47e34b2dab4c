"""What of a correlation is token identity, against the law of total covariance in float64."""

import numpy as np
import pytest
import torch

from neurontab.measure.groups import Grouping, TokenSums
from neurontab.measure.moments import Moments
from neurontab.measure.stream import Range
from neurontab.measure.token_share import TokenMeans, token_means, token_share

TOKENS, N = 8, 4_000
RANDOM = torch.Generator().manual_seed(0)
TOKEN = torch.randint(0, TOKENS, (N,), generator=RANDOM)
SHARED = torch.randn(N, generator=RANDOM)  # what neurons have in common within a token
OF_TOKEN = torch.randn(TOKENS, generator=RANDOM)[TOKEN]  # and between tokens


def neurons(*weights: tuple[float, float, float]) -> torch.Tensor:
    """Activations made of token, shared and own parts [token, neuron]."""
    own = torch.randn(N, len(weights), generator=RANDOM)
    columns = [a * OF_TOKEN + b * SHARED + c * own[:, i] for i, (a, b, c) in enumerate(weights)]
    return torch.stack(columns, dim=1)


X = neurons((1, 0, 0), (0, 1, 0), (1, 1, 0.5), (0.5, -1, 1))
Y = neurons((2, 0, 0), (1, 0.5, 0.2), (0, 1, 1), (1, 1, 0))


def means_of(values: torch.Tensor) -> TokenMeans:
    """Token means as a build has them."""
    first = Range(values[:50].mean(dim=0), values[:50].amin(dim=0), values[:50].amax(dim=0))
    moments = Moments(first)
    moments.add(values, torch.arange(N))
    groups = TokenSums(TOKENS + 1, values.shape[1], torch.device("cpu"))
    groups.add(values, Grouping.of(TOKEN))
    return TokenMeans(token_means(groups, moments))


def obvious(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Correlation, share between token means, correlation of what is left."""
    token = TOKEN.numpy()
    mean_x, mean_y = (
        np.array([z[token == t].mean() for t in range(TOKENS)])[token] for z in (x, y)
    )
    share = np.cov(mean_x, mean_y)[0, 1] / np.cov(x, y)[0, 1]
    left_x, left_y = x - mean_x, y - mean_y
    constant = min(left_x.std() / x.std(), left_y.std() / y.std()) < 1e-2
    within = np.nan if constant else np.corrcoef(left_x, left_y)[0, 1]
    return np.corrcoef(x, y)[0, 1], share, within


def test_shares_follow_the_law_of_total_covariance() -> None:
    unit, other = (each.ravel() for each in torch.meshgrid(*[torch.arange(4)] * 2, indexing="ij"))
    pairs = zip(unit.tolist(), other.tolist(), strict=True)
    expected = [obvious(X[:, i].double().numpy(), Y[:, j].double().numpy()) for i, j in pairs]
    corr, share, within = (np.array(column) for column in zip(*expected, strict=True))
    found = token_share(means_of(X), means_of(Y), unit, other, torch.from_numpy(corr).float())
    large = np.abs(corr) > 0.05  # a share of nothing is noise
    assert np.ma.getdata(found["token_share"])[large] == pytest.approx(share[large], abs=2e-3)
    assert (np.ma.getmaskarray(found["corr_within_token"]) == np.isnan(within)).all()
    left = ~np.isnan(within)
    assert np.ma.getdata(found["corr_within_token"])[left] == pytest.approx(within[left], abs=1e-3)
    assert share[0] == pytest.approx(1)
    assert np.isnan(within[0])
