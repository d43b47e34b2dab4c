"""Matching five models of GPT-2 small's shape: costs of parts, measured and put together."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from parts import SMALL, parts_of, random_gpt2

from neurontab.measure.models import LanguageModel
from neurontab.measure.sketch_plan import FAILURE, REPLICATES, SketchPlan
from neurontab.measure.sources import parse_source

TOKENS, BATCH, MODELS = 10_000_000, 2_048, 5
BUCKETS = 7_040  # what 80 GiB hold of five models


def chosen_with(buckets: int) -> int:
    """Pairs of a neuron and other model whose sums, by 50 groups, fit where sketches were."""
    return 4 * REPLICATES * buckets // (8 * 50 * MODELS)


def buckets_with_its_reach(neurons: int) -> int:
    """For so many neurons in all, the buckets with bounds as wide as those of its sketches."""

    def width(of: int, buckets: int) -> float:
        return SketchPlan(REPLICATES, buckets, 0, 0, FAILURE, 0, "float32").width(of)

    wide = width(MODELS * SMALL.n_layers * SMALL.d_mlp, BUCKETS)
    return max(buckets for buckets in range(1, BUCKETS) if width(neurons, buckets) >= wide)


def small_gpt2_figures(
    tile_seconds: float, again: float, listed: float, whole: float, device: torch.device
) -> tuple[dict[str, float], dict[str, Any]]:
    """What was published over ours, at 10 million tokens; all of it extrapolated from parts.

    Models run on the device; what was published adds its products up on the host, as published.
    `tile_seconds` are those of the tile engine on two layers, with so many buckets, `again` the
    share of them that longer lists take; `listed` pairs are measured of a neuron with another
    model, and of a share of the rows, `whole`, all.
    """
    with tempfile.TemporaryDirectory() as name:
        random_gpt2(Path(name), SMALL)
        model = LanguageModel(parse_source(str(Path(name) / "m")), device)
        cost = parts_of(model, SMALL, batch=BATCH, buckets=BUCKETS, listed=round(listed))
    pairs = MODELS * (MODELS - 1) / 2
    layers = MODELS * SMALL.n_layers
    tiles = layers * (layers + 1) / 2
    both = 2 * (2 * cost.run + SMALL.n_layers**2 * cost.published_product)  # as is, and rotated
    rotations = pairs * SMALL.n_layers * cost.published_rotation * TOKENS
    published = pairs * both * TOKENS + rotations
    seconds = {
        "ours_runs": 2 * MODELS * cost.run * TOKENS,
        "ours_sketches": MODELS * cost.sketching * TOKENS,
        "ours_tiles": tiles * tile_seconds * (1 + again),
        "ours_listed": ((pairs + MODELS / 2) * cost.listing + MODELS * cost.turning) * TOKENS,
        "ours_whole_rows": whole * layers**2 * cost.product * TOKENS,
    }
    ours = sum(seconds.values())
    hours = {"published": published, "published_rotations": rotations, "ours": ours, **seconds}
    return {"vs_published_gpt2_small": round(published / ours, 1)}, {
        "gpt2_small_hours_extrapolated": {n: round(s / 3_600, 1) for n, s in hours.items()}
    }
