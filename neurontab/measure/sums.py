"""Models over the same tokens, block by block: products for pairs of layers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from neurontab.measure.corpus import Corpus
from neurontab.measure.family import Family
from neurontab.measure.pairs import PairSums
from neurontab.measure.precision import DTYPES, Precision, rounding_error
from neurontab.measure.stream import Batch, Rows, Runs, batches, stream
from neurontab.measure.survey import Member
from neurontab.measure.tile import Pair, Place, Tile

SUM_BYTES = 8  # of a sum in float64

Shifts = Mapping[Place, Float[Tensor, " _"]]
Products = dict[Pair, PairSums]


@dataclass(frozen=True)
class Summed:
    """Tiles whose products have been summed over all tokens."""

    family: Family
    products: Products

    @property
    def pairs(self) -> Sequence[Pair]:
        """Which there are."""
        return list(self.products)

    def tile(self, place: Place, other: Place) -> Tile:
        """One of them, in float64."""
        return self.family.tile(place, other, self.products[place, other])


def grouped(pairs: Sequence[Pair], widths: Mapping[Place, int], room: int) -> list[list[Pair]]:
    """Pairs in order, so many at a time as `room` bytes hold the products of; one at least."""
    groups: list[list[Pair]] = []
    left = 0
    for place, other in pairs:
        needed = SUM_BYTES * widths[place] * widths[other]
        if not groups or needed > left:
            groups.append([])
            left = room
        groups[-1].append((place, other))
        left -= needed
    return groups


def nothing_yet(
    pairs: Sequence[Pair], widths: Mapping[Place, int], device: torch.device
) -> Products:
    """Empty sums for pairs of layers."""
    return {(p, o): PairSums(widths[p], widths[o], device) for p, o in pairs}


def sum_products(
    models: Sequence[Member],
    corpus: Corpus,
    shifts: Shifts,
    products: Products,
    *,
    precision: Precision,
    batch_tokens: int,
    block_tokens: int,
    sequences: range,
    advance: Callable[[float], None],
) -> Iterator[int]:
    """Adds these sequences to the products; yields the number of the next after each block.

    Only models that occur in the products are run. A block's post-activations of all of them are
    in memory together; `advance` is told of tokens.
    """
    places = {place for pair in products for place in pair}
    for block in blocks(corpus, batch_tokens, block_tokens, sequences):
        shifted: dict[Place, Rows] = {}
        for model in models:
            wanted = {place: shifts[place] for place in places if place.model == model.name}
            if wanted:
                shifted |= _run_block(model, block, wanted, DTYPES[precision])
        share = sum(batch.n_counted for batch in block) / len(products)
        for (place, other), pair in products.items():
            pair.add(shifted[place], shifted[other])
            advance(share)
        yield block[-1].first + len(block[-1].tokens)


def blocks(
    corpus: Corpus, batch_tokens: int, block_tokens: int, sequences: range
) -> Iterator[list[Batch]]:
    """These sequences of the corpus in blocks of about so many tokens, each of whole batches."""
    block: list[Batch] = []
    for batch in batches(corpus, batch_tokens, sequences):
        if block and sum(each.n_counted for each in (*block, batch)) > block_tokens:
            yield block
            block = []
        block.append(batch)
    if block:
        yield block


def first_rounding_error(
    models: Sequence[Member],
    corpus: Corpus,
    family: Family,
    pair: Pair,
    *,
    precision: Precision,
    batch_tokens: int,
) -> float:
    """What rounding at most does to a correlation of a pair of layers over the first batch."""
    block = [next(batches(corpus, batch_tokens))]
    runs = {model.name: model for model in models}
    x, y = (
        _run_block(runs[place.model], block, {place: family.facts(place).shift}, DTYPES["float32"])[
            place
        ]
        for place in pair
    )
    return rounding_error(x, y, precision)


def _run_block(
    model: Runs, block: list[Batch], shifts: Shifts, dtype: torch.dtype
) -> dict[Place, Rows]:
    """A model's post-activations at the counted positions of a block, less each layer's shift."""
    parts: dict[Place, list[Rows]] = {}
    for batch in block:

        def add(layer: int, pre: Rows, post: Rows) -> None:
            place = Place(model.name, layer)
            if place not in shifts:
                return
            rows = post[batch.counted_rows.to(post.device)]  # noqa: B023 - used at once
            parts.setdefault(place, []).append((rows - shifts[place]).to(dtype))

        stream(model, batch, add)
    return {place: torch.cat(values) for place, values in parts.items()}
