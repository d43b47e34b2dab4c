"""How large sketches are, and what they keep in memory."""

from dataclasses import dataclass
from typing import Literal

from neurontab.measure.precision import Precision

Mode = Literal["auto", "sketch", "exact"]

REPLICATES = 6
FAILURE = 0.01  # probability that anything at all is wrong in the best matches of a family
TOKENS_A_BUCKET = 90  # of one replicate
FEWEST, MOST = 850, 10_880  # buckets of a replicate that are worth it
FEWEST_TOKENS = 250_000  # below, so few buckets leave so much open that all products are cheaper
SKETCHED = 5_120  # tokens at least for any sketch
LISTED = (256, 512)  # pairs of a neuron and other model at most; more where they fit
CHOSEN = 24  # of them that are measured, about, and at least have room; a pair counts once
LONGER = 8  # times as long lists where these overflow, of one in OVERFLOWN neurons at most
OVERFLOWN = 32
PAIR_BYTES, LIST_BYTES = 16, 64  # of a list; a neuron and other model have two


@dataclass(frozen=True)
class SketchPlan:
    """Sizes of sketches and lists, and the probability that anything in the matches is wrong."""

    replicates: int
    buckets: int
    listed: int
    chosen: int  # pairs of a neuron and other model, on average, whose sums have room
    failure: float
    size: int  # bytes of sketches, means, lists and sums
    products: Precision  # in which sketches are multiplied

    @property
    def worth_it(self) -> bool:
        """Whether there are buckets enough for bounds that settle anything."""
        return self.buckets >= FEWEST


def sketch_plan(
    tokens: int,
    neurons: int,
    models: int,
    *,
    groups: int,
    document_groups: int,
    room: int,
    products: Precision,
) -> SketchPlan:
    """The sketches of a family over so many tokens, in so many groups with means of their own.

    They take half of `room` bytes at most, lists a third unless they are the shortest. Sums of
    chosen pairs take the place of sketches.
    """
    once = 2 * neurons * models
    lists = {n: once * (PAIR_BYTES * (n + n * LONGER // OVERFLOWN) + LIST_BYTES) for n in LISTED}
    listed = max((n for n, size in lists.items() if size <= room // 3), default=LISTED[0])
    fitting = room // 2 // (4 * REPLICATES * neurons)
    buckets = max(min(tokens // TOKENS_A_BUCKET, fitting, MOST), 1)
    sums = 4 * neurons * (REPLICATES * buckets + groups + 1)
    by_group = 8 * document_groups * neurons * models
    chosen = max(sums // by_group, CHOSEN)
    size = lists[listed] + max(sums, chosen * by_group)
    return SketchPlan(REPLICATES, buckets, listed, chosen, FAILURE, size, products)
