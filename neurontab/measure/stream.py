"""The same tokens through a model: activations of whole sequences, batch by batch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from neurontab.errors import ModelError
from neurontab.measure.corpus import Corpus
from neurontab.measure.models import Activations, Consume

Rows = Float[Tensor, "token neuron"]  # all positions of a batch, sequence after sequence
ConsumeRows = Callable[[int, Rows, Rows], None]  # layer, pre, post

FIRST_TOKENS = 4_096  # counted positions to which shifts and bins are fitted


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
    """Some sequences, which of their positions count, and whose they are."""

    first: int  # number of the first sequence
    tokens: Int[Tensor, "sequence position"]
    counted: Bool[Tensor, "sequence position"]
    documents: Int[Tensor, "sequence position"]
    sources: Int[Tensor, " sequence"]

    @property
    def n_counted(self) -> int:
        """Counted positions."""
        return len(self.counted_rows)

    @property
    def first_place(self) -> int:
        """The first row's number among all positions of the corpus."""
        return self.first * self.tokens.shape[1]

    @cached_property
    def counted_rows(self) -> Int[Tensor, " member"]:
        """Rows that count, sequence after sequence."""
        return self.counted.ravel().nonzero()[:, 0]


def batches(corpus: Corpus, batch_tokens: int, sequences: range | None = None) -> Iterator[Batch]:
    """These sequences of the corpus, or all, in order: whole ones of about so many positions."""
    size = max(1, batch_tokens // corpus.tokens.shape[1])
    for some in split(corpus.sequences if sequences is None else sequences, size):
        first, last = some.start, some.stop
        tokens = corpus.batch(first, last)
        yield Batch(
            first,
            tokens,
            corpus.counted(tokens),
            torch.from_numpy(corpus.document[first:last]),
            torch.from_numpy(corpus.source[first:last]),
        )


def split(sequences: range, size: int) -> Iterator[range]:
    """Consecutive parts of at most so many."""
    for first in range(sequences.start, sequences.stop, size):
        yield range(first, min(first + size, sequences.stop))


def stream(model: Runs, batch: Batch, consume: ConsumeRows) -> None:
    """Runs one batch and hands over each layer's activations at all positions.

    Raises ModelError where an activation is not a finite number.
    """

    def checked(layer: int, pre: Activations, post: Activations) -> None:
        for site, values in (("pre", pre), ("post", post)):
            if not torch.isfinite(values.sum()):
                _refuse_not_finite(model.name, layer, site, values, batch)
        consume(layer, pre.flatten(0, 1), post.flatten(0, 1))

    model.run(batch.tokens, checked)


@dataclass(frozen=True)
class Range:
    """Mean, lowest and highest activation of a layer's neurons over the first tokens."""

    mean: Float[Tensor, " neuron"]
    low: Float[Tensor, " neuron"]
    high: Float[Tensor, " neuron"]


def first_ranges(model: Runs, corpus: Corpus, batch_tokens: int) -> dict[tuple[int, str], Range]:
    """By layer and site, over the first counted positions.

    Raises ModelError where an activation is not a finite number.
    """
    sums: dict[tuple[int, str], Rows] = {}
    ends: dict[tuple[int, str], list[Rows]] = {}
    seen = 0

    def add(layer: int, pre: Rows, post: Rows) -> None:
        for site, values in (("pre", pre), ("post", post)):
            here = values[batch.counted_rows.to(values.device)]
            sums[layer, site] = sums.get((layer, site), 0) + here.double().sum(dim=0)
            ends.setdefault((layer, site), []).append(torch.stack(here.aminmax(dim=0)))

    for batch in batches(corpus, batch_tokens):
        stream(model, batch, add)
        seen += batch.n_counted
        if seen >= FIRST_TOKENS:
            break
    return {
        place: Range(
            (total / seen).float(),
            torch.stack(ends[place])[:, 0].amin(dim=0),
            torch.stack(ends[place])[:, 1].amax(dim=0),
        )
        for place, total in sums.items()
    }


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
