"""When sketches are cheaper than all products, and how large they are."""

from dataclasses import dataclass
from typing import Literal

from neurontab.measure.document_groups import GROUPS

Mode = Literal["auto", "sketch", "exact"]

REPLICATES = 10
FAILURE = 0.01  # probability that anything at all is wrong in the best matches of a family
TOKENS_A_BUCKET = 300  # of one replicate
FEWEST, MOST = 512, 8_192  # buckets of a replicate that are worth it
LISTED = 256  # pairs that are listed for a neuron and other model, at most
CHOSEN = 30  # of them that are measured, about
FEW = 32  # of them where it is only asked whether bounds are sure
CANDIDATE_BYTES = 16 * (2 * (LISTED + 1) + FEW + 1)  # a neuron and other model: three lists

ADD_FLOP = 30  # of a matrix product take as long as one addition to a sketch
LISTED_FLOP = 8  # as one of a listed pair


@dataclass(frozen=True)
class SketchPlan:
    """Sizes of sketches and lists, and the probability that anything in the matches is wrong."""

    replicates: int
    buckets: int
    listed: int
    failure: float
    size: int  # bytes of sketches, means and lists
    flop: float  # of a matrix product that take as long as sketches, tiles and chosen pairs


@dataclass(frozen=True)
class Extent:
    """What decides about sketches: `products` of neurons in all tiles, `types` of tokens."""

    tokens: int
    neurons: int
    models: int
    products: float
    types: int


def sketch_plan(mode: Mode, extent: Extent, room: int, exact_flop: float) -> SketchPlan | None:
    """The sketches that take less time than so many FLOP of exact products; None without any.

    They take half of `room` bytes at most. Mode `sketch` asks for them in any case.
    """
    if mode == "exact":
        return None
    fitting = room // 2 // (4 * REPLICATES * extent.neurons)
    buckets = min(extent.tokens // TOKENS_A_BUCKET, fitting, MOST)
    lists = CANDIDATE_BYTES * extent.neurons * extent.models
    sums = 4 * extent.neurons * (REPLICATES * max(buckets, 1) + extent.types + 1)
    adding = ADD_FLOP * REPLICATES * extent.neurons * extent.tokens
    tiles = 2 * extent.products * (REPLICATES * buckets + extent.types)
    by_group = 8 * GROUPS * CHOSEN * extent.neurons * extent.models // 2
    listed = LISTED_FLOP * CHOSEN * extent.neurons * extent.models * extent.tokens
    flop = adding + tiles + listed
    if mode == "auto" and (buckets < FEWEST or flop > exact_flop):
        return None
    return SketchPlan(REPLICATES, max(buckets, 1), LISTED, FAILURE, lists + sums + by_group, flop)
