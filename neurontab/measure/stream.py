"""The same tokens through a model: activations at counted positions, batch by batch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from neurontab.errors import ModelError
from neurontab.measure.corpus import Corpus
from neurontab.measure.models import Activations, Consume

CountedActivations = Float[Tensor, "token neuron"]
ConsumeCounted = Callable[[int, CountedActivations, CountedActivations], None]  # layer, pre, post

SHIFT_TOKENS = 4_096  # counted positions from which shifts are fixed


@runtime_checkable
class Runs(Protocol):
    """What streaming needs of a model."""

    @property
    def name(self) -> str:
        """Name in the run."""

    def run(self, tokens: Int[Tensor, "sequence position"], consume: Consume) -> None:
        """Hands over pre and post of every layer."""


@dataclass(frozen=True)
class Batch:
    """Some sequences, and which of their positions count."""

    tokens: Int[Tensor, "sequence position"]
    counted: Bool[Tensor, "sequence position"]

    @property
    def n_counted(self) -> int:
        """Counted positions."""
        return int(self.counted.sum())


def batches(corpus: Corpus, batch_tokens: int) -> Iterator[Batch]:
    """The corpus in order, whole sequences of about `batch_tokens` positions at a time."""
    rows, context = corpus.tokens.shape
    step = max(1, batch_tokens // context)
    for first in range(0, rows, step):
        tokens = corpus.batch(first, first + step)
        yield Batch(tokens, corpus.counted(tokens))


def stream(model: Runs, batch: Batch, consume: ConsumeCounted) -> None:
    """Runs one batch and hands over each layer's activations at the counted positions.

    Raises ModelError where an activation is not a finite number.
    """

    def counted_only(layer: int, pre: Activations, post: Activations) -> None:
        for site, values in (("pre", pre), ("post", post)):
            if not torch.isfinite(values.sum()):
                _refuse_not_finite(model.name, layer, site, values, batch)
        counted = batch.counted.to(post.device)
        consume(layer, pre[counted], post[counted])

    model.run(batch.tokens, counted_only)


def first_means(
    model: Runs, corpus: Corpus, batch_tokens: int
) -> dict[tuple[int, str], Float[Tensor, " neuron"]]:
    """Mean activation by layer and site over the first counted positions, to shift sums by."""
    sums: dict[tuple[int, str], Float[Tensor, " neuron"]] = {}
    seen = 0

    def add(layer: int, pre: CountedActivations, post: CountedActivations) -> None:
        for site, values in (("pre", pre), ("post", post)):
            sums[layer, site] = sums.get((layer, site), 0) + values.double().sum(dim=0)

    for batch in batches(corpus, batch_tokens):
        stream(model, batch, add)
        seen += batch.n_counted
        if seen >= SHIFT_TOKENS:
            break
    return {place: (total / seen).float() for place, total in sums.items()}


def at_bos(model: Runs, bos: int) -> dict[int, Float[Tensor, " neuron"]]:
    """Pre by layer at position 0, which is the same in every sequence."""
    found: dict[int, Float[Tensor, " neuron"]] = {}

    def keep(layer: int, pre: Activations, post: Activations) -> None:
        found[layer] = pre[0, 0].clone()

    model.run(torch.tensor([[bos]]), keep)
    return found


def _refuse_not_finite(name: str, layer: int, site: str, values: Activations, batch: Batch) -> None:
    wrong = (~torch.isfinite(values)).nonzero()
    if not len(wrong):
        return  # Finite values may add up beyond float32.
    sequence, position, neuron = wrong[0].tolist()
    token = int(batch.tokens[sequence, position])
    value = values[sequence, position, neuron].item()
    raise ModelError(
        f"{name}: {site} of layer {layer}, neuron {neuron} is {value} at token {token} "
        f"(position {position}).\nThe model's weights are damaged, or it needs another precision."
    )
