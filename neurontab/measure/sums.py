"""One pass over the tokens: moments of every neuron, products for every pair of layers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from neurontab.measure.corpus import Corpus
from neurontab.measure.family import Place, place_pairs
from neurontab.measure.moments import Moments
from neurontab.measure.pairs import PairSums
from neurontab.measure.stream import Batch, CountedActivations, Runs, batches, first_means, stream


@runtime_checkable
class Member(Runs, Protocol):
    """A model of a family, to be summed over."""

    @property
    def widths(self) -> list[int]:
        """Neurons of each layer."""


@dataclass(frozen=True)
class Sums:
    """Everything that one pass adds up."""

    pre: dict[Place, Moments]
    post: dict[Place, Moments]
    pairs: dict[tuple[Place, Place], PairSums]

    def places(self, model: str) -> list[Place]:
        """The layers of a model in order."""
        return sorted(place for place in self.post if place.model == model)


def sum_over(
    models: Sequence[Member],
    corpus: Corpus,
    *,
    batch_tokens: int,
    block_tokens: int,
    device: torch.device,
    advance: Callable[[float], None],
) -> Sums:
    """Streams the corpus through all models, block by block, and adds up.

    A block's post-activations of all models are in memory together; `advance` is told of tokens.
    """
    sums = _nothing_yet(models, corpus, batch_tokens, device)
    for block in _blocks(corpus, batch_tokens, block_tokens):
        shifted: dict[Place, Float[Tensor, "token neuron"]] = {}
        for model in models:
            shifted |= _run_block(model, block, sums)
        share = sum(batch.n_counted for batch in block) / len(sums.pairs)
        for (place, other), pair in sums.pairs.items():
            pair.add(shifted[place], shifted[other])
            advance(share)
    return sums


def _nothing_yet(
    models: Sequence[Member], corpus: Corpus, batch_tokens: int, device: torch.device
) -> Sums:
    pre: dict[Place, Moments] = {}
    post: dict[Place, Moments] = {}
    for model in models:
        for (layer, site), mean in first_means(model, corpus, batch_tokens).items():
            (pre if site == "pre" else post)[Place(model.name, layer)] = Moments(mean)
    widths = {Place(m.name, layer): n for m in models for layer, n in enumerate(m.widths)}
    pairs = place_pairs({model.name: len(model.widths) for model in models})
    return Sums(pre, post, {(p, o): PairSums(widths[p], widths[o], device) for p, o in pairs})


def _blocks(corpus: Corpus, batch_tokens: int, block_tokens: int) -> Iterator[list[Batch]]:
    block: list[Batch] = []
    for batch in batches(corpus, batch_tokens):
        block.append(batch)
        if sum(batch.n_counted for batch in block) >= block_tokens:
            yield block
            block = []
    if block:
        yield block


def _run_block(
    model: Runs, block: list[Batch], sums: Sums
) -> dict[Place, Float[Tensor, "token neuron"]]:
    """Adds a block to a model's moments and returns its post-activations less their shift."""
    parts: dict[Place, list[CountedActivations]] = {}

    def add(layer: int, pre: CountedActivations, post: CountedActivations) -> None:
        place = Place(model.name, layer)
        sums.pre[place].add(pre)
        sums.post[place].add(post)
        parts.setdefault(place, []).append(post - sums.post[place].shift)

    for batch in block:
        stream(model, batch, add)
    return {place: torch.cat(values) for place, values in parts.items()}
