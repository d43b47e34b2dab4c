"""The table of what changes as neurons of the last layer are held at their mean."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
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
MOST = 50  # candidates of a kind that are ablated, the most extreme ones


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

    `mean` is what neurons of that layer are held at. Of very many candidates the most extreme are
    taken; without any there are no rows.
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
    vocabulary, readout = vocabulary_of(model, corpus), model.readout()
    counts = torch.from_numpy(corpus.token_counts(model.facts.d_vocab))
    sums = ablate(
        model,
        readout,
        corpus,
        Held.of(neurons, mean, model.weights(layer).w_out, readout),
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


def _candidates(model: str, queries: dict[str, Query], writer: Writer) -> npt.NDArray[np.int64]:
    """The neurons of the last layer that may have a role to be shown by ablating them."""
    frames = {name: writer.scan(name) for name in ("models", "weights", "vocab_effect")}
    frames["weight_shape"] = queries["weight_shape"](frames)
    keys = ["model", "layer", "neuron"]
    known = queries["role_candidates"](frames).join(frames["vocab_effect"], on=keys)
    here = known.filter(pl.col("model") == model)
    found = [
        here.filter(candidate).sort(pl.col(strength).abs(), descending=True).head(MOST)
        for candidate, strength in (
            ("is_entropy_candidate", "null_fraction"),
            ("is_frequency_candidate", "frequency_cos"),
        )
    ]
    neurons = pl.concat(found).select(pl.col("neuron").unique().sort()).collect()["neuron"]
    return neurons.to_numpy().astype(np.int64)
