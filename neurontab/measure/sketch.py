"""A sketch of a layer: from those of two layers, an estimate of every correlation within tokens.

What varies within tokens is an activation less the mean of its token. Every position has a bucket
and a sign in each of several replicates, the same for all models (`hashing.py`), and every neuron's
activation within tokens, times the sign, is added into the bucket. In a replicate the inner product
of two neurons' buckets is sum_t x_t y_t, plus products of different positions that share a bucket,
whose signs are independent (a count sketch: Charikar et al. 2002; Pham and Pagh 2013). What two
neurons answer to at the same position always meets, so nothing rare is missed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from neurontab.loops.sketch import add_sketch
from neurontab.measure.accumulator import Accumulator, Join
from neurontab.measure.corpus import Corpus
from neurontab.measure.hashing import Hashing
from neurontab.measure.stream import Rows, Runs, batches, stream
from neurontab.measure.tile import Place


class Sketch(Accumulator):
    """Signed sums of one layer's activations within tokens [replicate, bucket, neuron].

    And the sums of their fourth powers [neuron], which tell how rarely an estimate goes astray.
    """

    FIXED: ClassVar[tuple[str, ...]] = ("means",)
    JOINED: ClassVar[dict[str, Join]] = {"sums": torch.add, "fourth": torch.add}

    def __init__(self, replicates: int, buckets: int, means: Float[Tensor, "group neuron"]) -> None:
        """`means` are the mean activations of groups of tokens."""
        self.means = means
        self.sums = torch.zeros(replicates, buckets, means.shape[1], device=means.device)
        self.fourth = torch.zeros(means.shape[1], dtype=torch.float64, device=means.device)

    def add(
        self,
        values: Float[Tensor, "token neuron"],
        rows: Int[Tensor, " member"],
        groups: Int[Tensor, " member"],
        buckets: Int[Tensor, "replicate member"],
        signs: Float[Tensor, "replicate member"],
    ) -> None:
        """Counts some of these rows, each with its group, buckets and signs."""
        if values.device.type == "cpu":
            add_sketch(
                values.numpy(),
                rows.numpy(),
                self.means.numpy(),
                groups.numpy(),
                buckets.numpy(),
                signs.numpy(),
                self.sums.numpy(),
                self.fourth.numpy(),
            )
        else:
            self.add_tensors(values[rows.to(values.device)], groups, buckets, signs)

    def add_tensors(
        self,
        values: Float[Tensor, "member neuron"],
        groups: Int[Tensor, " member"],
        buckets: Int[Tensor, "replicate member"],
        signs: Float[Tensor, "replicate member"],
    ) -> None:
        """The same for all rows, on any device."""
        device = values.device
        within = values - self.means[groups.to(device)]
        self.fourth += within.double().square().square().sum(dim=0)
        for sums, bucket, sign in zip(self.sums, buckets.to(device), signs.to(device), strict=True):
            sums.index_add_(0, bucket, within * sign[:, None])


def sum_sketches(
    models: Sequence[Runs],
    corpus: Corpus,
    sketches: Mapping[Place, Sketch],
    group_of: Int[Tensor, " token"],
    hashing: Hashing,
    *,
    batch_tokens: int,
    sequences: range,
    advance: Callable[[float], None],
) -> Iterator[int]:
    """Adds these sequences to the sketches; yields the number of the next after each batch.

    `group_of` is the group of every token id; `advance` is told of tokens.
    """
    for batch in batches(corpus, batch_tokens, sequences):
        rows = batch.counted_rows
        groups = group_of[batch.tokens.ravel()[rows]]
        buckets, signs = hashing.bucket_and_sign(rows + batch.first_place)
        for model in models:

            def add(layer: int, pre: Rows, post: Rows) -> None:
                sketch = sketches[Place(model.name, layer)]  # noqa: B023 - used at once
                sketch.add(post, rows, groups, buckets, signs)  # noqa: B023

            stream(model, batch, add)
        advance(batch.n_counted)
        yield batch.first + len(batch.tokens)
