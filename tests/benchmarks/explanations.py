"""`python tests/benchmarks/explanations.py --json`: what explaining every neuron costs.

Times are ratios within one run. All neurons of the suite's first model, all features and three
offsets, in the stream, against running the model alone; and against the published way, one group-by
over a table of tokens and activations for each feature and layer, timed on some of them.
"""

from collections.abc import Callable
from itertools import islice
from statistics import median
from typing import Any

import polars as pl
import torch
from figures import show
from parts import seconds_of
from stream import BATCH_TOKENS, CPU, prepared, timed
from torch import Tensor
from transformers import GPT2LMHeadModel

from neurontab import suite
from neurontab.measure.features import Labelled
from neurontab.measure.models import LanguageModel
from neurontab.measure.sources import parse_source
from neurontab.measure.stream import Batch, Rows, batches, stream
from neurontab.measure.survey import OFFSETS, LayerStatistics, Survey, begin
from neurontab.prepare import features_of

BATCHES = 12
GROUPED = 5  # features that the published way is timed on


def figures() -> dict[str, Any]:
    """Both ratios."""
    folder = suite.models()[0]
    model = LanguageModel(parse_source(str(folder)), CPU)
    text = prepared(model, str(suite.CORPUS), (BATCHES + 1) * BATCH_TOKENS)
    features = features_of(model, text, seed=0)
    survey = Survey.of(text, model.widths, model.facts.d_vocab, features, exported=0, seed=0)
    layers = begin(model, survey, BATCH_TOKENS)
    body = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval().transformer
    parts = list(islice(batches(text, BATCH_TOKENS), BATCHES))

    def forward(batch: Batch) -> None:
        with torch.inference_mode():
            body(batch.tokens)

    def explained(batch: Batch) -> None:
        labelled = survey.labelled(batch)
        stream(model, batch, adding(layers, labelled))

    seconds = timed({"forward": forward, "explained": explained}, parts)
    posts = [posts_of(model, batch) for batch in parts]
    labelled = [survey.labelled(batch) for batch in parts]

    def ours() -> None:
        for each, labels in zip(posts, labelled, strict=True):
            for layer, post in enumerate(each):
                adding(layers, labels)(layer, post, post)

    first_layer = torch.cat([each[0] for each in posts])
    ids = torch.cat([batch.tokens.ravel() for batch in parts])
    grouped = median([by_feature(first_layer, features.true[n][ids]) for n in range(GROUPED)])
    published = grouped * len(features.names) * len(OFFSETS) * len(layers)
    return {
        "explain_overhead": round(seconds["explained"] / seconds["forward"], 2),
        "vs_published": round(published / seconds_of(ours, CPU)),
        "features": len(features.names),
        "tokens": len(ids),
    }


def adding(
    layers: list[LayerStatistics], labelled: dict[tuple[str, str], Labelled]
) -> Callable[[int, Rows, Rows], None]:
    """Adds the activations of a layer to the sums of its features."""

    def add(layer: int, pre: Rows, post: Rows) -> None:
        for which, sums in layers[layer].features.items():
            sums.add(post, labelled[which])

    return add


def posts_of(model: LanguageModel, batch: Batch) -> list[Rows]:
    """The post-activations of every layer."""
    found: list[Rows] = []
    stream(model, batch, lambda layer, pre, post: found.append(post))
    return found


def by_feature(post: Rows, true: Tensor) -> float:
    """Seconds of one group-by: mean and variance of all neurons of a layer by one feature."""
    neurons = {f"n{number}": column for number, column in enumerate(post.T.numpy())}
    table = pl.DataFrame({"true": true.numpy(), **neurons})
    columns = pl.col(list(neurons))
    by = [columns.mean().name.suffix("_mean"), columns.var().name.suffix("_var")]
    return seconds_of(lambda: table.group_by("true").agg(pl.len(), *by), CPU)


def main() -> None:
    """Prints the figures, as JSON when asked for."""
    show(figures())


if __name__ == "__main__":
    main()
