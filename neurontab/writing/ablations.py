"""The table of what changes as neurons of the last layer are held at their mean."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from neurontab.config import BuildConfig
from neurontab.measure.ablation import QUANTITIES, Ablation, AblationSums, Frequency, Held
from neurontab.measure.columns import Columns
from neurontab.measure.corpus import Corpus
from neurontab.measure.models import LanguageModel
from neurontab.tables.query import Query
from neurontab.tables.schemas.ablations import ABLATIONS
from neurontab.writing.weights import vocabulary_of
from neurontab.writing.writer import Writer

FEWEST = 20  # random others that candidates are held against; at least as many as there are
MOST = 50  # candidates of a kind that are ablated, the most extreme ones


@dataclass(frozen=True)
class Ablated:
    """Which neurons of a model's last layer are ablated, and what changes as they are."""

    ablation: Ablation
    candidates: int  # the first of them; the rest are random others
    sums: AblationSums


def ablated(
    model: LanguageModel,
    corpus: Corpus,
    config: BuildConfig,
    queries: dict[str, Query],
    writer: Writer,
) -> Ablated | None:
    """The candidates of a model's last layer and as many random others; None without any.

    Of very many candidates the most extreme are taken.
    """
    candidates = _candidates(model.name, queries, writer)
    if not len(candidates) or not config.ablations:
        return None
    layer = model.facts.n_layers - 1
    rest = np.setdiff1d(np.arange(model.facts.d_mlp), candidates)
    others = np.random.default_rng(config.seed).permutation(rest)
    controls = np.sort(others[: max(FEWEST, len(candidates))])
    neurons = torch.from_numpy(np.concatenate([candidates, controls]))
    vocabulary, readout = vocabulary_of(model, corpus), model.readout()
    counts = torch.from_numpy(corpus.token_counts(model.facts.d_vocab))
    ablation = Ablation.of(
        model,
        readout,
        corpus,
        Held.of(neurons, _mean(model, layer, writer), model.weights(layer).w_out, readout),
        Frequency.of(vocabulary.ids, vocabulary.frequency, counts, model.device),
        positions=config.ablations,
        seed=config.seed,
    )
    return Ablated(ablation, len(candidates), ablation.sums())


def role_candidates(queries: dict[str, Query], writer: Writer) -> pl.LazyFrame:
    """Query `role_candidates` over what is written of weights, beside `vocab_effect`."""
    frames = {name: writer.scan(name) for name in ("models", "weights", "vocab_effect")}
    frames["weight_shape"] = queries["weight_shape"](frames)
    keys = ["model", "layer", "neuron"]
    return queries["role_candidates"](frames).join(frames["vocab_effect"], on=keys)


def write_ablations(model: LanguageModel, found: Ablated | None, writer: Writer) -> None:
    """Table `ablations` of a model; of no rows where nothing was ablated."""
    if found is None:
        writer.write_frames(ABLATIONS, model.name, [pl.DataFrame(schema=ABLATIONS.schema)])
        return
    sums = found.sums
    groups, neurons = sums.n.nonzero()[:, 0], found.ablation.held.neurons.cpu()
    columns: Columns = {
        "neuron": np.repeat(neurons.numpy(), len(groups)),
        "document_group": np.tile(groups.numpy(), len(neurons)),
        "is_control": np.repeat(np.arange(len(neurons)) >= found.candidates, len(groups)),
        "n": np.tile(sums.n[groups].numpy(), len(neurons)),
    }
    changes = sums.sums[:, groups].flatten(0, 1).numpy()
    columns |= {name: changes[:, number] for number, name in enumerate(QUANTITIES)}
    here = {"model": model.name, "layer": model.facts.n_layers - 1}
    writer.write(ABLATIONS, model.name, (here, columns))


def _mean(model: LanguageModel, layer: int, writer: Writer) -> Float[Tensor, " neuron"]:
    """Of post, which neurons are held at."""
    where = {"model": model.name, "layer": layer, "site": "post"}
    rows = writer.scan("activation_moments").filter(**where).sort("neuron").collect()
    return torch.from_numpy(rows["mean"].to_numpy().copy())


def _candidates(model: str, queries: dict[str, Query], writer: Writer) -> npt.NDArray[np.int64]:
    """The neurons of the last layer that may have a role to be shown by ablating them."""
    here = role_candidates(queries, writer).filter(pl.col("model") == model)
    found = [
        here.filter(candidate).sort(pl.col(strength).abs(), descending=True).head(MOST)
        for candidate, strength in (
            ("is_entropy_candidate", "null_fraction"),
            ("is_frequency_candidate", "frequency_cos"),
        )
    ]
    neurons = pl.concat(found).select(pl.col("neuron").unique().sort()).collect()["neuron"]
    return neurons.to_numpy().astype(np.int64)
