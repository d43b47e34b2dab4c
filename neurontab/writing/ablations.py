"""The table of what changes as neurons of the last layer are held at their mean."""

from collections.abc import Callable

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from neurontab.config import BuildConfig
from neurontab.measure.ablation import QUANTITIES, Frequency, Held, ablate
from neurontab.measure.columns import Columns
from neurontab.measure.corpus import Corpus
from neurontab.measure.models import LanguageModel
from neurontab.tables.query import Query
from neurontab.tables.schemas.ablations import ABLATIONS
from neurontab.writing.weights import vocabulary_of
from neurontab.writing.writer import Writer

FEWEST = 20  # random others that candidates are held against; at least as many as there are


def write_ablations(
    model: LanguageModel,
    mean: Float[Tensor, " neuron"],
    corpus: Corpus,
    config: BuildConfig,
    queries: dict[str, Query],
    writer: Writer,
    advance: Callable[[float], None],
) -> None:
    """Table `ablations`, of the candidates of a model's last layer and of as many random others.

    `mean` is what neurons of that layer are held at. Without candidates there are no rows.
    """
    layer = model.facts.n_layers - 1
    candidates = _candidates(model.name, queries, writer)
    rest = np.setdiff1d(np.arange(model.facts.d_mlp), candidates)
    others = np.random.default_rng(config.seed).permutation(rest)
    controls = np.sort(others[: max(FEWEST, len(candidates))])
    neurons = torch.from_numpy(np.concatenate([candidates, controls]))
    if not len(candidates) or not config.ablations:
        writer.write_frame(ABLATIONS, model.name, pl.DataFrame(schema=ABLATIONS.schema))
        return
    vocabulary = vocabulary_of(model, corpus)
    counts = torch.from_numpy(corpus.token_counts(model.facts.d_vocab))
    sums = ablate(
        model,
        corpus,
        Held(neurons, mean[neurons], model.weights(layer).w_out[neurons]),
        Frequency.of(vocabulary.ids, vocabulary.frequency, counts, model.device),
        positions=config.ablations,
        seed=config.seed,
        batch_tokens=config.batch_tokens,
        advance=advance,
    )
    groups = sums.n.nonzero()[:, 0]
    columns: Columns = {
        "neuron": np.repeat(neurons.numpy(), len(groups)),
        "document_group": np.tile(groups.numpy(), len(neurons)),
        "is_control": np.repeat(np.arange(len(neurons)) >= len(candidates), len(groups)),
        "n": np.tile(sums.n[groups].numpy(), len(neurons)),
    }
    found = sums.sums[:, groups].flatten(0, 1).numpy()
    columns |= {name: found[:, number] for number, name in enumerate(QUANTITIES)}
    writer.write(ABLATIONS, model.name, ({"model": model.name, "layer": layer}, columns))


def _candidates(model: str, queries: dict[str, Query], writer: Writer) -> np.ndarray:
    """The neurons of the last layer that may have a role to be shown by ablating them."""
    frames = {name: writer.scan(name) for name in ("models", "weights", "vocab_effect")}
    frames["weight_shape"] = queries["weight_shape"](frames)
    found = queries["role_candidates"](frames).filter(
        pl.col("model") == model,
        pl.col("is_entropy_candidate") | pl.col("is_frequency_candidate"),
    )
    return found.select("neuron").collect()["neuron"].sort().to_numpy().astype(np.int64)
