"""`python tests/benchmarks/stream.py --json`: what measuring costs beside running the model.

Times are taken in turns within one run, batch by batch, and told as ratios of their medians; the
peak is of a process of its own that measures a model of GPT-2 small's shape with random weights.
"""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import torch
from figures import show
from parts import SMALL, random_gpt2
from transformers import GPT2LMHeadModel

from neurontab import suite
from neurontab.config import resolve
from neurontab.measure import corpus
from neurontab.measure.models import LanguageModel
from neurontab.measure.sources import parse_source
from neurontab.measure.stream import Batch, Rows, batches, stream
from neurontab.measure.survey import Survey, begin, measure
from neurontab.prepare import corpus_plan, features_of
from neurontab.progress import Silent

BATCHES = 12
BATCH_TOKENS = 4_096
CPU = torch.device("cpu")


def prepared(model: LanguageModel, text: str, tokens: int) -> corpus.Corpus:
    """Some tokens of a text, in a model's eyes."""
    plan = corpus_plan(resolve(models=["x"], corpus=[text], tokens=tokens), [model])
    return corpus.prepare(plan, model.tokenizer, corpus.digest_of(plan, model.tokenizer), Silent())


def overheads() -> dict[str, float]:
    """Ratios on the first model of the suite."""
    folder = suite.models()[0]
    model = LanguageModel(parse_source(str(folder)), CPU)
    text = prepared(model, str(suite.CORPUS), (BATCHES + 1) * BATCH_TOKENS)
    features = features_of(model, text, seed=0)
    survey = Survey.of(text, model.widths, model.facts.d_vocab, features, exported=2_048, seed=0)
    layers = begin(model, survey, BATCH_TOKENS)
    body = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval().transformer

    def bare(batch: Batch) -> None:
        with torch.inference_mode():
            body(batch.tokens)

    def hooked(batch: Batch) -> None:
        kept: list[Any] = []
        places = [part for block in body.h for part in (block.mlp.c_fc, block.mlp.act)]
        hooks = [
            part.register_forward_hook(lambda module, given, out: kept.append(out))
            for part in places
        ]
        bare(batch)
        for hook in hooks:
            hook.remove()

    def streamed(batch: Batch) -> None:
        stream(model, batch, lambda layer, pre, post: None)

    def measured(batch: Batch) -> None:
        groupings, labelled = survey.groupings(batch), survey.labelled(batch)

        def add(layer: int, pre: Rows, post: Rows) -> None:
            layers[layer].add(batch, groupings, labelled, pre, post)

        stream(model, batch, add)

    ways = {"bare": bare, "hooked": hooked, "streamed": streamed, "measured": measured}
    seconds = timed(ways, list(islice(batches(text, BATCH_TOKENS), BATCHES)))
    return {
        "stream_overhead": round(seconds["measured"] / seconds["bare"], 2),
        "bridge_overhead": round(seconds["streamed"] / seconds["hooked"], 2),
        "statistics_over_stream": round(seconds["measured"] / seconds["streamed"], 2),
        "bare_tokens_per_second": round(BATCH_TOKENS / seconds["bare"]),
    }


def timed(ways: Mapping[str, Callable[[Batch], None]], parts: list[Batch]) -> dict[str, float]:
    """Median seconds of a batch, each way taking its turn at every batch; the first warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for part in parts:
        for name, way in ways.items():
            started = time.perf_counter()
            way(part)
            seconds[name].append(time.perf_counter() - started)
    return {name: median(each[1:]) for name, each in seconds.items()}


def peak_gib() -> float:
    """Peak memory of a process that measures GPT-2 small's shape over all of its vocabulary."""
    done = subprocess.run(
        [sys.executable, __file__, "--gpt2-small"], check=True, capture_output=True, text=True
    )
    return round(float(done.stdout.split()[-1]), 2)


def measure_gpt2_small() -> None:
    """Measures it in this process, and prints the peak."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        random_gpt2(folder, SMALL)
        model = LanguageModel(parse_source(str(folder / "m")), CPU)
        text = prepared(model, str(folder / "text.txt"), 49_000)
        features = features_of(model, text, seed=0)
        survey = Survey.of(
            text, model.widths, model.facts.d_vocab, features, exported=2_048, seed=0
        )
        layers = begin(model, survey, BATCH_TOKENS)
        for _ in measure(
            model,
            survey,
            layers,
            batch_tokens=BATCH_TOKENS,
            sequences=text.sequences,
            advance=lambda tokens: None,
        ):
            pass
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


def main() -> None:
    """Prints the figures, as JSON when asked for."""
    if "--gpt2-small" in sys.argv:
        measure_gpt2_small()
        return
    show(overheads() | {"peak_gib_gpt2_small": peak_gib()})


if __name__ == "__main__":
    main()
