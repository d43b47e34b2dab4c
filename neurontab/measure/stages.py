"""What matching costs, stage by stage: FLOP, and the seconds that they take at some speed."""

from dataclasses import dataclass

from neurontab.measure.left_open import LeftOpen
from neurontab.measure.precision import Precision
from neurontab.measure.sketch_plan import SketchPlan

ASSIGN_SECONDS = 1e-7  # a pair of neurons of two models, to find the one-to-one pairs
SCATTERED = 4  # times as long for products of a few rows of each layer
CHOOSE_SECONDS = 2.5e-6  # a listed pair, to be chosen before and ranked after it is measured


@dataclass(frozen=True)
class Extent:
    """How much there is of what takes time, over a whole family."""

    tokens: int  # counted
    neurons: int
    models: int
    products: float  # pairs of neurons in all tiles
    rotations: float  # FLOP of turning all tiles once
    groups: int  # of tokens, with means of their own
    draws: int
    kept: int  # matches of a neuron and other model
    run_flop: float  # of all models over all tokens
    mlp_flop: float  # of that, what makes neurons of what MLPs read
    assigned: float  # pairs of neurons of different models
    ablated: float  # logits that change as neurons of the last layers are held at their mean


@dataclass(frozen=True)
class Costs:
    """What takes as long as what is measured before a build."""

    statistics: float  # runs of a model: measuring it alone
    adding: float  # FLOP of a matrix product: one addition to a sketch
    bounded: float  # FLOP of a matrix product: the bounds of one pair, beside its estimate
    listed: float  # FLOP of a matrix product: one listed pair at one token
    ablated: float  # FLOP of a matrix product: one logit that changes


COSTS = {
    "cpu": Costs(1.8, 60.0, 12_000.0, 8.0, 600.0),  # tests/benchmarks/{stream,modes}.py
    # Of an H100, medium_gpt2.py; bounded (from tiles' efficiency) and ablated by arithmetic.
    "cuda": Costs(4.4, 630.0, 23_000.0, 61.0, 1_000.0),
}


@dataclass(frozen=True)
class Speed:
    """FLOP a second, and what else takes how long beside."""

    product: float  # of a float32 matrix product
    quickest: Precision  # the numbers that the device multiplies fastest
    quick_product: float  # of a matrix product of those
    run: float  # of a model over a batch
    costs: Costs


@dataclass(frozen=True)
class Stage:
    """One part of a build."""

    flop: float
    seconds: float


Stages = dict[str, Stage]


def total_seconds(stages: Stages) -> float:
    """All of them, one after the other."""
    return sum(stage.seconds for stage in stages.values())


def alone(extent: Extent, speed: Speed) -> Stages:
    """Every model measured alone, in one pass."""
    seconds = speed.costs.statistics * extent.run_flop / speed.run
    ablated = speed.costs.ablated * extent.ablated
    return {
        "activations": Stage(extent.run_flop, seconds),
        "ablations": Stage(ablated, ablated / speed.product),
    }


def exactly(extent: Extent, passes: int, speed: Speed, kept: float) -> Stages:
    """All products in so many passes, then kept matches by group of documents in one more.

    Of a share of the tokens, `kept`, the inputs of MLPs are.
    """
    flop = 2 * extent.products * extent.tokens
    runs = passes * _run_again(extent, kept)
    return {
        "products": Stage(runs + flop, runs / speed.run + flop / speed.product),
        "baselines": _baselines(extent, speed),
        "by document": _listed(extent, float(extent.kept), speed, kept),
        "one-to-one": Stage(0.0, ASSIGN_SECONDS * extent.assigned),
    }


def by_sketches(
    extent: Extent, sketch: SketchPlan, left_open: LeftOpen, speed: Speed, kept: float
) -> Stages:
    """Sketches in one pass, estimates of all tiles from them, then what these leave open.

    Of a share of the tokens, `kept`, the inputs of MLPs are.
    """
    rows = sketch.replicates * sketch.buckets + extent.groups
    additions = sketch.replicates * extent.neurons * extent.tokens
    estimates = 2 * extent.products * rows
    bounded = (estimates + speed.costs.bounded * extent.products) / speed.quick_product
    again = 2 * left_open.longer  # both directions of what was read once for both
    longer = Stage(again * estimates, SCATTERED * again * bounded)
    run = _run_again(extent, kept)
    seconds = run / speed.run + speed.costs.adding * additions / speed.product
    return {
        "sketches": Stage(run + 2 * additions, seconds),
        "estimates": Stage(estimates, bounded),
        **({"longer lists": longer} if again else {}),
        "baselines": _baselines(extent, speed),
        "finals": _listed(extent, left_open.listed, speed, kept),
        **(_whole_rows(extent, left_open, speed, kept) if left_open.whole else {}),
        "one-to-one": Stage(0.0, ASSIGN_SECONDS * extent.assigned),
    }


def _whole_rows(extent: Extent, left_open: LeftOpen, speed: Speed, kept: float) -> Stages:
    """Rows with all neurons, beside listed pairs and in further passes; then the best of them."""
    flop = 2 * left_open.whole * extent.neurons**2 * extent.tokens
    runs = left_open.further * _run_again(extent, kept)
    return {
        "whole rows": Stage(runs + flop, runs / speed.run + flop / speed.product),
        "by document": _listed(extent, left_open.whole * extent.kept, speed, kept),
    }


def _baselines(extent: Extent, speed: Speed) -> Stage:
    flop = extent.draws * extent.rotations
    return Stage(flop, flop / speed.product)


def _listed(extent: Extent, listed: float, speed: Speed, kept: float) -> Stage:
    """The models once more, and products of so many pairs for a neuron and other model."""
    pairs = listed * extent.neurons * extent.models
    products = pairs * extent.tokens
    run = _run_again(extent, kept)
    measured = run / speed.run + speed.costs.listed * products / speed.product
    return Stage(run + 2 * products, measured + CHOOSE_SECONDS * pairs)


def _run_again(extent: Extent, kept: float) -> float:
    """FLOP of one more run of all models: of a share of the tokens only their MLPs run."""
    return extent.run_flop - kept * (extent.run_flop - extent.mlp_flop)
