"""Connected parts of a graph of neurons, as a lazy frame.

Queries that use it give themselves a new VERSION when it changes.
"""

import polars as pl

SQUARES, ROUNDS = 2, 32  # members of a part are at most 2**SQUARES * ROUNDS = 128 edges apart
KEYS = ("model", "layer", "neuron")


def connected(neurons: pl.LazyFrame, edges: pl.LazyFrame) -> pl.LazyFrame:
    """Every neuron with its part's first member: `group_model`, `group_layer`, `group_neuron`.

    `edges` lead from model, layer, neuron to other_model, other_layer, other_neuron, in either
    direction; one with an end that is not among the neurons does not count. Every neuron begins
    with its own number and takes the lowest of its neighbours', again and again.
    """
    numbered = neurons.select(KEYS).sort(KEYS).with_row_index("number")
    others = numbered.select("number", *(pl.col(key).alias(f"other_{key}") for key in KEYS))
    forward = (
        edges.join(numbered, on=KEYS)
        .join(others, on=[f"other_{key}" for key in KEYS], suffix="_other")
        .select("number", other="number_other")
    )
    backward = forward.select(number="other", other="number")
    itself = numbered.select("number", other="number")
    near = pl.concat([forward, backward, itself]).unique()
    for _ in range(SQUARES):  # neighbours of neighbours become neighbours
        further = near.select(other="number", beyond="other")
        near = near.join(further, on="other").select("number", other="beyond").unique()
    labels = numbered.select("number", label="number")
    for _ in range(ROUNDS):
        labels = (
            near.join(labels, left_on="other", right_on="number")
            .group_by("number")
            .agg(pl.col("label").min())
        )
    first = numbered.select(
        pl.col("number").alias("label"), *(pl.col(key).alias(f"group_{key}") for key in KEYS)
    )
    return (
        numbered.join(labels, on="number")
        .join(first, on="label")
        .select(*KEYS, *(f"group_{key}" for key in KEYS))
    )
