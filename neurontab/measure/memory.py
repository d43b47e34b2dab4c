"""What a build keeps in memory at once, and so in how many passes its products are summed."""

from collections.abc import Sequence
from dataclasses import dataclass

import psutil
import torch

from neurontab.loops.extremes import KEPT, WINDOW
from neurontab.measure.features import HALVES
from neurontab.measure.models import ModelFacts
from neurontab.measure.responses import POSITIONS
from neurontab.measure.sums import SUM_BYTES, grouped
from neurontab.measure.survey import BYTES_A_GROUP, OFFSETS, groups_within
from neurontab.measure.tile import place_pairs
from neurontab.measure.turned import filled_up

LEAST_KEPT = 0.05  # of the tokens: what MLPs read of fewer is not worth the memory of whole rows
FREE_SHARE = 0.6  # of what is free is used, unless told otherwise
PROCESS = 1_700 * 2**20  # bytes of the program itself, with torch and what its allocator keeps
KEPT_BYTES = 3 * KEPT * WINDOW * 4 + 800  # a neuron: contexts, histograms, power sums
EXAMPLES_BYTES = 20_000  # a neuron: its rows of `examples`, the largest table over short contexts
POSITION_BYTES = 52  # a neuron and position: a row of `position_groups`, the largest over long ones
RESPONSE_BYTES = 25  # a neuron and group of tokens, while `token_response` is put together
COPIES = 10  # of a layer's rows of a table, while they are put together, sorted, and written
BEST_BYTES = 16  # a kept match: what it is ranked by, its correlation, its place
GROUP_BYTES = 8  # a kept match and group of documents
DRAWN_BYTES = 24  # a neuron, other model and draw: the best correlation of either kind, its layer
ROTATION_BYTES = 12  # of a random matrix, and of it with each kind's scales
TILES_AT_ONCE = 8  # of the widest layers, in float64, while they are read


@dataclass(frozen=True)
class Needs:
    """Sizes that decide about memory; `kept` are rows a neuron and other model."""

    batch_tokens: int
    block_tokens: int
    context: int
    draws: int
    kept: int
    types: int
    features: int  # of tokens, and labels of the text, with sums of their own
    label_bytes: int  # of which labels of the text each position has
    ablations: int  # positions at which neurons of the last layer are ablated
    exported: int  # positions with all activations
    document_groups: int
    sequences: int  # that one process runs
    processes: int = 1  # each keeps states of its own on disk


@dataclass(frozen=True)
class Memory:
    """Bytes: what is needed, what may be used, and what of that is left for products.

    `alone` is needed while one model is measured, `together` without any products; `products` are
    all of them; `places` are parts of these by what they are for.
    """

    needed: int
    alone: int
    together: int
    budget: int
    room: int
    passes: int
    products: int
    largest_pass: int
    places: dict[str, int]


def memory(models: Sequence[ModelFacts], needs: Needs, *, allowed: int | None, free: int) -> Memory:
    """The memory of a build, in bytes; of what is free, all that is `allowed`, or else most."""
    base = _base(models, needs)
    together = _together(models, needs)
    budget = min(allowed, free) if allowed else int(FREE_SHARE * free)
    room = budget - base - together
    d_mlp = {facts.model: facts.d_mlp for facts in models}
    pairs = place_pairs({facts.model: facts.n_layers for facts in models})
    widths = {place: d_mlp[place.model] for pair in pairs for place in pair}
    sizes = [
        sum(SUM_BYTES * widths[place] * widths[other] for place, other in group)
        for group in grouped(pairs, widths, room)
    ]
    alone = _alone(models, needs)
    return Memory(
        needed=base + max(alone, together + max(sizes)),
        alone=base + alone,
        together=base + together,
        budget=budget,
        room=room,
        passes=len(sizes),
        products=sum(sizes),
        largest_pass=max(sizes),
        places={"program and models": base, "one model alone": alone, "blocks and tiles": together},
    )


def free_memory(device: torch.device) -> int:
    """Bytes that may still be had where the sums are kept."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    return int(psutil.virtual_memory().available)


def weights_of(facts: ModelFacts) -> int:
    """Weights of all layers that multiply a token's activations."""
    written = facts.d_model * facts.d_mlp
    return read_by_mlps(facts) + facts.n_layers * (written + 4 * facts.d_model**2)


def read_by_mlps(facts: ModelFacts) -> int:
    """Weights of all layers that make neurons of what the MLPs read."""
    return facts.n_layers * facts.d_model * facts.d_mlp * (2 if facts.gated else 1)


@dataclass(frozen=True)
class KeptInputs:
    """Sequences of which memory holds what all MLPs read, of those that one process runs."""

    sequences: int
    share: float
    size: int  # bytes

    @classmethod
    def of(cls, models: Sequence[ModelFacts], needs: Needs, left: int) -> "KeptInputs":
        """As many as the bytes that are left hold; none where `left` is negative."""
        each = 4 * needs.context * sum(facts.n_layers * facts.d_model for facts in models)
        sequences = min(max(left, 0) // each, needs.sequences)
        return cls(sequences, sequences / max(needs.sequences, 1), sequences * each)

    def unless_few(self) -> "KeptInputs":
        """None, where they are too few to be worth memory that something else can use."""
        return self if self.share >= LEAST_KEPT else KeptInputs(0, 0.0, 0)


def _base(models: Sequence[ModelFacts], needs: Needs) -> int:
    """At all times: the program, all models, one of them twice while it is checked, token means.

    And tables while they are written, of which the rows of one layer are in memory.
    """
    sizes = [weights_of(facts) + facts.d_vocab * facts.d_model for facts in models]
    heads = max(facts.n_layers * facts.n_heads for facts in models)
    groups = groups_within(needs.types, _largest(models)) + 1
    rows = max(EXAMPLES_BYTES, POSITION_BYTES * min(needs.context, POSITIONS))
    return (
        PROCESS
        + needs.label_bytes
        + 4 * (sum(sizes) + max(sizes))
        + 4 * needs.batch_tokens * needs.context * heads
        + 4 * _total(models) * groups
        + max(facts.d_mlp for facts in models) * max(COPIES * rows, RESPONSE_BYTES * groups)
    )


def _alone(models: Sequence[ModelFacts], needs: Needs) -> int:
    """While one model is measured."""
    groups = groups_within(needs.types, _largest(models)) + 1
    sums = BYTES_A_GROUP * (len(OFFSETS) * groups + needs.context)
    labels = 2 * len(OFFSETS) * (needs.features + 1)  # as they are and shuffled; and all tokens
    features = SUM_BYTES * HALVES * labels
    return _largest(models) * (sums + features + 8 * needs.exported + KEPT_BYTES)


def _together(models: Sequence[ModelFacts], needs: Needs) -> int:
    """While products are summed and read: a block, one model's twice; some tiles; what is best."""
    total, widest = _total(models), max(facts.d_mlp for facts in models)
    block = max(needs.block_tokens, needs.batch_tokens)
    kept = (BEST_BYTES + GROUP_BYTES * needs.document_groups) * (needs.kept + 1)
    best = total * len(models) * (kept + DRAWN_BYTES * needs.draws)
    return (
        4 * (filled_up(block, needs.document_groups) * total + block * _largest(models))
        + widest**2 * (8 * TILES_AT_ONCE + ROTATION_BYTES * needs.draws)
        + best
    )


def _total(models: Sequence[ModelFacts]) -> int:
    return sum(facts.n_layers * facts.d_mlp for facts in models)


def _largest(models: Sequence[ModelFacts]) -> int:
    return max(facts.n_layers * facts.d_mlp for facts in models)
