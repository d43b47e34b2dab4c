"""All models over the same tokens, block by block: products for every pair of layers."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from neurontab.measure.corpus import Corpus
from neurontab.measure.family import Place, place_pairs
from neurontab.measure.pairs import PairSums
from neurontab.measure.stream import Batch, Rows, Runs, batches, stream
from neurontab.measure.survey import Member

Shifts = Mapping[Place, Float[Tensor, " _"]]
Products = dict[tuple[Place, Place], PairSums]


def nothing_yet(models: Sequence[Member], device: torch.device) -> Products:
    """Empty sums for every pair of layers of a family."""
    widths = {Place(m.name, layer): n for m in models for layer, n in enumerate(m.widths)}
    pairs = place_pairs({model.name: len(model.widths) for model in models})
    return {(p, o): PairSums(widths[p], widths[o], device) for p, o in pairs}


def sum_products(
    models: Sequence[Member],
    corpus: Corpus,
    shifts: Shifts,
    products: Products,
    *,
    batch_tokens: int,
    block_tokens: int,
    first: int,
    advance: Callable[[float], None],
) -> Iterator[int]:
    """Adds the corpus to the products from a sequence on; yields the next after each block.

    A block's post-activations of all models are in memory together; `advance` is told of tokens.
    """
    for block in _blocks(corpus, batch_tokens, block_tokens, first):
        shifted: dict[Place, Rows] = {}
        for model in models:
            shifted |= _run_block(model, block, shifts)
        share = sum(batch.n_counted for batch in block) / len(products)
        for (place, other), pair in products.items():
            pair.add(shifted[place], shifted[other])
            advance(share)
        yield block[-1].first + len(block[-1].tokens)


def _blocks(
    corpus: Corpus, batch_tokens: int, block_tokens: int, first: int
) -> Iterator[list[Batch]]:
    block: list[Batch] = []
    for batch in batches(corpus, batch_tokens, first):
        block.append(batch)
        if sum(batch.n_counted for batch in block) >= block_tokens:
            yield block
            block = []
    if block:
        yield block


def _run_block(model: Runs, block: list[Batch], shifts: Shifts) -> dict[Place, Rows]:
    """A model's post-activations at the counted positions of a block, less their shift."""
    parts: dict[Place, list[Rows]] = {}
    for batch in block:

        def add(layer: int, pre: Rows, post: Rows) -> None:
            place = Place(model.name, layer)
            rows = post[batch.counted_rows.to(post.device)]  # noqa: B023 - used at once
            parts.setdefault(place, []).append(rows - shifts[place])

        stream(model, batch, add)
    return {place: torch.cat(values) for place, values in parts.items()}
