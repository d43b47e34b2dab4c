"""`python tests/benchmarks/medium_gpt2.py --json [--device cuda]`: GPT-2 medium's shape on a GPU.

Random weights serve for speed. Measured on one model: tokens a second of the forward pass alone and
of all statistics with it, the parts of matching, the tile engine on two layers of 4,096 neurons.
Put together from these, and named so: hours for five models and 100 million tokens.
"""

import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from figures import show
from parts import MEDIUM, Parts, Shape, parts_of, random_gpt2
from stream import prepared
from tiles import tile_efficiency

from neurontab.device import device_of
from neurontab.measure.models import LanguageModel
from neurontab.measure.precision import rounding_error
from neurontab.measure.sources import parse_source
from neurontab.measure.stream import batches, stream
from neurontab.measure.survey import Survey, begin, measure
from neurontab.prepare import features_of

BATCH, MODELS, TOKENS = 16_384, 5, 100_000_000
LISTED = 55  # pairs of a neuron with another model, as matching.py counts them on the suite
BUCKETS = 3_392  # of five models, they take half of a card of 80 GB
ROOM = 40e9  # bytes that it has for sums of products
KEPT = 20  # matches of a neuron with another model, both directions together
WORDS, DOCUMENT = 5_000, 1_000  # of the text's vocabulary, and of a document
MEASURED = 8 * BATCH


def passes(model: LanguageModel, folder: Path) -> dict[str, float]:
    """Tokens a second of a pass without and with all statistics."""
    text = prepared(model, str(folder / "text"), MEASURED)
    features = features_of(model, text, seed=0)
    survey = Survey.of(text, model.widths, model.facts.d_vocab, features, exported=2_048, seed=0)
    layers = begin(model, survey, BATCH)

    def forward() -> None:
        for batch in batches(text, BATCH):
            stream(model, batch, lambda layer, pre, post: None)

    def whole() -> None:
        for _ in measure(
            model,
            survey,
            layers,
            batch_tokens=BATCH,
            sequences=text.sequences,
            advance=lambda tokens: None,
        ):
            pass

    found = {}
    for name, work in {"forward": forward, "measured": whole}.items():
        work()
        started = time.perf_counter()
        work()
        if model.device.type == "cuda":
            torch.cuda.synchronize(model.device)
        found[name] = text.n_counted / (time.perf_counter() - started)
    return found


def hours(
    cost: Parts, measured: float, tile_seconds: float, shape: Shape = MEDIUM
) -> dict[str, float]:
    """Of five models over 100 million tokens, all of them together."""
    pairs = MODELS * (MODELS - 1) / 2 + MODELS / 2  # of models, and half of one with itself
    tiles = MODELS * shape.n_layers * (MODELS * shape.n_layers + 1) / 2
    statistics = MODELS * TOKENS / measured
    runs = MODELS * TOKENS * cost.run
    turning, listing = MODELS * TOKENS * cost.turning, pairs * TOKENS * cost.listing
    sketched = statistics + 2 * runs + MODELS * TOKENS * cost.sketching + tiles * tile_seconds
    times = math.ceil(8 * tiles * shape.d_mlp**2 / ROOM)  # the products need so many passes
    exact = statistics + (times + 1) * runs + tiles * tile_seconds
    exact += turning + listing * KEPT / LISTED
    seconds = {
        "forward_once": runs,
        "statistics": statistics,
        "by_sketches": sketched + turning + listing,
        "exact_float32": exact + tiles * TOKENS * cost.product,
        "exact_bfloat16": exact + tiles * TOKENS * cost.rounded_product,
    }
    return {name: round(each / 3_600, 2) for name, each in seconds.items()}


def figures(device: torch.device) -> dict[str, Any]:
    """Everything, on one device."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        random_gpt2(folder, MEDIUM)
        drawn = torch.randint(0, WORDS, (MEASURED + BATCH,)).tolist()
        (folder / "text").mkdir()
        for first in range(0, len(drawn), DOCUMENT):
            words = " ".join(f"w{number}" for number in drawn[first : first + DOCUMENT])
            (folder / "text" / f"{first}.txt").write_text(words)
        model = LanguageModel(parse_source(str(folder / "m")), device)
        speed = passes(model, folder)
        cost = parts_of(model, MEDIUM, batch=BATCH, buckets=BUCKETS, listed=LISTED)
    efficiency, tile_seconds = tile_efficiency(MEDIUM.d_mlp, device, BUCKETS)
    x, y = (torch.randn(BATCH, MEDIUM.d_mlp, device=device) for _ in range(2))
    flop = 2 * MEDIUM.d_mlp**2
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "forward_tokens_per_second": round(speed["forward"]),
        "measured_tokens_per_second": round(speed["measured"]),
        "tile_efficiency": round(efficiency, 3),
        "float32_tflop_per_second": round(flop / cost.product / 1e12, 1),
        "bfloat16_tflop_per_second": round(flop / cost.rounded_product / 1e12, 1),
        "float32_error": rounding_error(x, y, "float32"),
        "bfloat16_error": rounding_error(x, y, "bfloat16"),
        "hours_extrapolated": hours(cost, speed["measured"], tile_seconds),
        "parts_microseconds_a_token": {
            name: round(1e6 * seconds, 3) for name, seconds in vars(cost).items()
        },
        "tile_seconds": round(tile_seconds, 4),
    }


def main() -> None:
    """Prints the figures, as JSON when asked for."""
    named = sys.argv[sys.argv.index("--device") + 1] if "--device" in sys.argv else "auto"
    show(figures(device_of(named)))


if __name__ == "__main__":
    main()
