"""The tables that are read from one model's weights."""

import numpy as np
import polars as pl
import torch

from neurontab.measure.columns import Columns, with_keys
from neurontab.measure.corpus import Corpus
from neurontab.measure.heads import head_scores
from neurontab.measure.models import LanguageModel
from neurontab.measure.neighbours import neighbours
from neurontab.measure.vocabulary import n_ids
from neurontab.measure.vocabulary_effect import (
    Vocabulary,
    logit_effects,
    vocab_effect,
    vocab_moments,
    vocab_tokens,
)
from neurontab.measure.weights import weight_sums
from neurontab.tables.schemas import models, weights
from neurontab.writing.writer import Keyed, Writer, by_layer


def write_weights(model: LanguageModel, corpus: Corpus, writer: Writer) -> None:
    """The tables that are read from one model's weights.

    Raises ModelError where a weight is not a finite number.
    """
    name, here = model.name, {"model": model.name}
    every = [model.weights(layer) for layer in range(model.facts.n_layers)]
    tokens = vocabulary_of(model, corpus)
    sums = ([(here, with_keys(weight_sums(each), layer))] for layer, each in enumerate(every))
    writer.write_layers(weights.WEIGHTS, name, sums)
    writer.write_layers(
        weights.VOCAB_MOMENTS,
        name,
        (
            [
                (here | {"side": side, "matrix": matrix}, with_keys(columns, layer))
                for side, matrix, columns in vocab_moments(each.w_in, each.w_out, tokens)
            ]
            for layer, each in enumerate(every)
        ),
    )
    effects = (
        [(here, with_keys(vocab_effect(each.w_out, tokens), layer))]
        for layer, each in enumerate(every)
    )
    writer.write_layers(weights.VOCAB_EFFECT, name, effects)
    writer.write_layers(
        weights.VOCAB_TOKENS,
        name,
        by_layer(here, "direction", every, lambda each: vocab_tokens(each.w_out, tokens)),
    )
    writer.write_layers(
        weights.NEIGHBOURS,
        name,
        (
            [
                (here | {"relation": relation, "side": side}, columns)
                for relation, side, columns in found
            ]
            for found in neighbours(every)
        ),
    )
    heads = [model.heads(layer) for layer in range(model.facts.n_layers)]
    scores = head_scores(
        every, heads, parallel=model.parallel, dimensions=model.facts.d_model - int(model.centres)
    )
    writer.write(weights.HEAD_SCORES, name, (here, scores))
    norms: Columns = {
        "token_id": tokens.ids.numpy(),
        "embed_norm": tokens.embed.norm(dim=1).cpu().numpy(),
        "unembed_norm": tokens.unembed.norm(dim=1).cpu().numpy(),
    }
    writer.write(models.TOKEN_NORMS, name, (here, norms))


def write_logit_effects(
    model: LanguageModel, corpus: Corpus, named: pl.DataFrame, writer: Writer
) -> None:
    """Table `logit_effects` for the named neurons of a model (columns layer, neuron)."""
    tokens = vocabulary_of(model, corpus)
    rows: list[Keyed] = []
    for (layer,), each in named.sort("layer", "neuron").partition_by("layer", as_dict=True).items():
        neurons = each["neuron"].to_numpy()
        w_out = model.weights(int(layer)).w_out[torch.from_numpy(neurons.copy())]
        logit, cosine = logit_effects(w_out, tokens)
        columns: Columns = {
            "neuron": np.repeat(neurons, len(tokens.ids)),
            "token_id": np.tile(tokens.ids.numpy(), len(neurons)),
            "logit": logit.ravel().cpu().numpy(),
            "cosine": cosine.ravel().cpu().numpy(),
        }
        rows.append(({"model": model.name, "layer": layer}, columns))
    if rows:
        writer.write(weights.LOGIT_EFFECTS, model.name, *rows)


def vocabulary_of(model: LanguageModel, corpus: Corpus) -> Vocabulary:
    """The tokens that a model's neurons are compared with: no special ones, no padding."""
    ids = torch.arange(n_ids(model.tokenizer))
    kept = ids[~torch.isin(ids, torch.tensor(model.special_ids))]
    counts = torch.from_numpy(corpus.token_counts(model.facts.d_vocab))
    return Vocabulary.of(
        kept, model.embedding(), model.unembedding(), counts, centred=model.centres
    )
