"""The published procedure, written plainly from its description, to be timed beside ours.

For every unordered pair of models, and again with the second model rotated, both models are run
over all tokens; activations are kept in float16, products of layer pairs are taken in float32 and
added in float64, the dense matrix of correlations is made, and its maxima are read (Gurnee et al.
2024, section 3.1 and its code as described in the reference).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from neurontab.measure.corpus import Corpus
from neurontab.measure.models import LanguageModel
from neurontab.measure.stream import batches, stream


@dataclass(frozen=True)
class Cost:
    """Seconds of one pair of models and kind: so many each, and so many a token."""

    fixed: float
    per_token: float

    def of(self, tokens: int, runs: int) -> float:
        """Seconds of so many runs over so many tokens."""
        return runs * (self.fixed + self.per_token * tokens)


def published_cost(
    models: Sequence[LanguageModel], corpus: Corpus, batch_tokens: int, n_batches: tuple[int, int]
) -> Cost:
    """Fitted to two lengths of text, with and without rotation."""
    lengths, seconds = [], []
    for n in n_batches:
        for rotated in (False, True):
            started = time.perf_counter()
            lengths.append(float(best_correlations(models, corpus, batch_tokens, n, rotated)[1]))
            seconds.append(time.perf_counter() - started)
    x, y = torch.tensor(lengths), torch.tensor(seconds)
    slope = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
    return Cost(max((y.mean() - slope * x.mean()).item(), 0.0), slope.item())


def best_correlations(
    models: Sequence[LanguageModel],
    corpus: Corpus,
    batch_tokens: int,
    n_batches: int,
    rotated: bool,
) -> tuple[Tensor, int]:
    """Each neuron's highest correlation with any neuron of the second model; tokens read."""
    one, other = models
    rotations = [
        torch.nn.functional.normalize(torch.randn(width, width), dim=1) for width in other.widths
    ]
    n_one, n_other = sum(one.widths), sum(other.widths)
    products = torch.zeros(n_one, n_other, dtype=torch.float64)
    sums = [torch.zeros(n, dtype=torch.float64) for n in (n_one, n_other)]
    squares = [torch.zeros(n, dtype=torch.float64) for n in (n_one, n_other)]
    tokens = 0
    for batch in islice(batches(corpus, batch_tokens), n_batches):
        layers: list[list[Tensor]] = [[], []]
        for side, model in enumerate((one, other)):

            def keep(layer: int, pre: Tensor, post: Tensor) -> None:
                rows = post[batch.counted_rows]  # noqa: B023 - used at once
                if side and rotated:  # noqa: B023
                    rows = rows @ rotations[layer].T
                layers[side].append(rows.half())  # noqa: B023

            stream(model, batch, keep)
            whole = torch.cat(layers[side], dim=1).float()
            sums[side] += whole.sum(dim=0)
            squares[side] += whole.square().sum(dim=0)
        first = 0
        for x in layers[0]:
            second = 0
            for y in layers[1]:
                here = (
                    slice(first, first + x.shape[1]),
                    slice(second, second + y.shape[1]),
                )
                products[here] += (x.float().T @ y.float()).double()
                second += y.shape[1]
            first += x.shape[1]
        tokens += batch.n_counted
    covariance = products - torch.outer(*sums) / tokens
    spread = [
        (square - total**2 / tokens).sqrt() for square, total in zip(squares, sums, strict=True)
    ]
    corr = (covariance / torch.outer(*spread)).nan_to_num().half()
    return corr.amax(dim=1), tokens
