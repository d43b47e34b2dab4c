"""How large sketches are, what they keep in memory, and what they leave open."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch

from neurontab.measure.bounds import slack
from neurontab.measure.precision import Precision

Mode = Literal["auto", "sketch", "exact"]

REPLICATES = 6
FAILURE = 0.01  # probability that anything at all is wrong in the best matches of a family
TOKENS_A_BUCKET = 90  # of one replicate
MOST = 10_880  # buckets of a replicate that are worth it
SKETCHED = 5_120  # tokens at least for any sketch
LISTED = (256, 512)  # pairs of a neuron and other model at most; more where they fit
CHOSEN = 24  # of them that are measured, about, and at least have room; a pair counts once
LONGER = 8  # times as long lists where these overflow, of one in OVERFLOWN neurons at most
OVERFLOWN = 32
PAIR_BYTES, LIST_BYTES, RANK_BYTES = 16, 24, 4  # of a list; a neuron and other model have two


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

    def nats(self, neurons: int) -> float:
        """Of each bound, so that those on either side of all pairs hold together."""
        return math.log(2 * neurons**2 / self.failure)

    def overflown(self, neurons: int) -> float:
        """About which share of the lists is too short, as tests/benchmarks/modes.py has it.

        The fewer buckets, the wider the bounds, and the more may be among the best.
        """
        return min(math.exp(1.08 - 0.278 / self.width(neurons)), 1.0)

    def expected(self, neurons: int) -> float:
        """About how many pairs of a neuron and model are measured, each once, as it has it."""
        wider = max(self.width(neurons) / 0.031, 1.0)
        return min(CHOSEN * math.pow(wider, 1.4), float(self.listed))

    def width(self, neurons: int) -> float:
        """How far a bound is from an estimate of no correlation, at least."""
        nats, none = self.nats(neurons), torch.zeros(())
        return math.sqrt(float(slack(nats, self.replicates, self.buckets, none)))


def sketch_plan(
    tokens: int,
    neurons: int,
    models: int,
    *,
    groups: int,
    document_groups: int,
    kept: int,
    room: int,
    products: Precision,
) -> SketchPlan:
    """The sketches of a family over so many tokens, in so many groups with means of their own.

    So many matches of a neuron and other model are kept.

    They take half of `room` bytes at most, lists a third unless they are the shortest. Sums of
    chosen pairs take the place of sketches, or as much of a half as they are expected to need.
    """
    once = 2 * neurons * models
    beside = LIST_BYTES + RANK_BYTES * kept
    lists = {n: once * (PAIR_BYTES * (n + n * LONGER // OVERFLOWN) + beside) for n in LISTED}
    listed = max((n for n, size in lists.items() if size <= room // 3), default=LISTED[0])
    fitting = room // 2 // (4 * REPLICATES * neurons)
    buckets = max(min(tokens // TOKENS_A_BUCKET, fitting, MOST), 1)
    sums = 4 * neurons * (REPLICATES * buckets + groups + 1)
    by_group = 8 * document_groups * neurons * models
    plan = SketchPlan(REPLICATES, buckets, listed, CHOSEN, FAILURE, 0, products)
    needed = min(math.ceil(plan.expected(neurons)), room // 2 // by_group)
    chosen = max(sums // by_group, needed, CHOSEN)
    return replace(plan, chosen=chosen, size=lists[listed] + max(sums, chosen * by_group))
