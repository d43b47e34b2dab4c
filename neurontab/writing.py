"""Measured columns become tables: keys are added, parts are written."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from shutil import disk_usage
from typing import TypeVar

import numpy as np
import polars as pl
import pyarrow as pa
import torch

from neurontab.errors import FileError
from neurontab.files import write_whole
from neurontab.measure.baselines import Draws, baselines
from neurontab.measure.chosen import Chosen
from neurontab.measure.columns import Columns, with_keys
from neurontab.measure.contexts import contexts
from neurontab.measure.corpus import Corpus
from neurontab.measure.family import Family
from neurontab.measure.heads import head_scores
from neurontab.measure.matching import compare, twins
from neurontab.measure.models import LanguageModel
from neurontab.measure.neighbours import neighbours
from neurontab.measure.responses import group_rows, token_responses
from neurontab.measure.similarity import own_norms
from neurontab.measure.sources import BETWEEN
from neurontab.measure.stream import at_bos
from neurontab.measure.survey import LayerStatistics, Survey
from neurontab.measure.vocabulary import n_ids, vocabulary
from neurontab.measure.vocabulary_effect import (
    Vocabulary,
    logit_effects,
    vocab_effect,
    vocab_moments,
    vocab_tokens,
)
from neurontab.measure.weights import weight_sums
from neurontab.progress import Stage
from neurontab.tables import store
from neurontab.tables.frames import frame
from neurontab.tables.schemas import activations, matches, models, weights
from neurontab.tables.table import Table

T = TypeVar("T")
COMPRESSED = 4  # a table in memory over its files, at the least
Keyed = tuple[Mapping[str, object], Columns]  # keys that all rows share, and the rest


@dataclass(frozen=True)
class Writer:
    """Writes parts of tables into a run."""

    folder: Path
    run_id: str

    def write(self, table: Table, part: str, *rows: Keyed) -> None:
        """One part, from all rows."""
        found = pl.concat([frame(table, columns, **keys) for keys, columns in rows])
        self.write_frame(table, part, found)

    def write_frame(self, table: Table, part: str, found: pl.DataFrame) -> None:
        """One part, from a frame. Raises FileError when there is clearly no room for it."""
        needed = found.estimated_size() // COMPRESSED
        free = disk_usage(self.folder).free
        if needed > free:
            raise FileError(
                f"Table {table.name!r} needs about {needed / 2**20:,.0f} MiB, "
                f"{free / 2**20:,.0f} MiB are free at {self.folder}.\n"
                "Make room, then run it again to go on."
            )
        store.write_part(self.folder / "tables", table, part, found, run_id=self.run_id)

    def scan(self, name: str) -> pl.LazyFrame:
        """A table written before."""
        return store.scan(self.folder / "tables", name)


def write_models(found: Sequence[LanguageModel], corpus: Corpus, writer: Writer) -> None:
    """Tables `models` and `vocabulary`."""
    facts = [asdict(model.facts) for model in found]
    table = models.MODELS
    writer.write_frame(table, store.FAMILY, pl.DataFrame(facts, table.schema))
    counts = corpus.token_counts(found[0].facts.d_vocab)
    tokens = vocabulary(found[0].tokenizer, found[0].special_ids, counts)
    writer.write(models.VOCABULARY, store.FAMILY, ({}, tokens))


def write_survey(
    model: LanguageModel, layers: Sequence[LayerStatistics], survey: Survey, writer: Writer
) -> None:
    """The tables that come of running one model over the text."""
    name, here = model.name, {"model": model.name}
    at_start = at_bos(model, model.bos)
    moments: list[Keyed] = []
    for layer, each in enumerate(layers):
        pre = each.pre.result() | each.pre.standing_of(at_start[layer], "bos")
        moments.append((here | {"site": "pre"}, with_keys(pre, layer)))
        moments.append((here | {"site": "post"}, with_keys(each.post.result(), layer)))
    writer.write(activations.ACTIVATION_MOMENTS, name, *moments)
    writer.write(
        activations.ACTIVATION_HISTOGRAMS,
        name,
        *(
            (here | {"layer": layer, "site": site}, moments.histogram())
            for layer, each in enumerate(layers)
            for site, moments in (("pre", each.pre), ("post", each.post))
        ),
    )
    writer.write(
        activations.TOKEN_RESPONSE,
        name,
        *_by_layer(here, "offset", layers, lambda each: token_responses(each, survey)),
    )
    writer.write(
        activations.EXAMPLES,
        name,
        *_by_layer(here, "side", layers, lambda each: contexts(each, survey)),
    )
    for table, key in (
        (activations.POSITION_GROUPS, "position"),
        (activations.SOURCE_GROUPS, "source"),
    ):
        rows = [group_rows(each.places[key]) for each in layers]
        for columns in rows:
            group = columns.pop("group")
            names = np.array(survey.corpus.sources, dtype=object)
            columns[key] = group if key == "position" else names[group]
        writer.write(table, name, *((here | {"layer": n}, each) for n, each in enumerate(rows)))
    _write_activations(model, layers, survey, writer.folder / "activations" / name)


def write_weights(model: LanguageModel, corpus: Corpus, writer: Writer) -> None:
    """The tables that are read from one model's weights."""
    name, here = model.name, {"model": model.name}
    every = [model.weights(layer) for layer in range(model.facts.n_layers)]
    tokens = vocabulary_of(model, corpus)
    sums = [with_keys(weight_sums(each), layer) for layer, each in enumerate(every)]
    writer.write(weights.WEIGHTS, name, *((here, columns) for columns in sums))
    writer.write(
        weights.VOCAB_MOMENTS,
        name,
        *(
            (here | {"side": side, "matrix": matrix}, with_keys(columns, layer))
            for layer, each in enumerate(every)
            for side, matrix, columns in vocab_moments(each.w_in, each.w_out, tokens)
        ),
    )
    effects = [with_keys(vocab_effect(each.w_out, tokens), n) for n, each in enumerate(every)]
    writer.write(weights.VOCAB_EFFECT, name, *((here, columns) for columns in effects))
    writer.write(
        weights.VOCAB_TOKENS,
        name,
        *_by_layer(here, "direction", every, lambda each: vocab_tokens(each.w_out, tokens)),
    )
    writer.write(
        weights.NEIGHBOURS,
        name,
        *(
            (here | {"relation": relation, "side": side}, columns)
            for relation, side, columns in neighbours(every)
        ),
    )
    heads = [model.heads(layer) for layer in range(model.facts.n_layers)]
    scores = head_scores(every, heads, parallel=model.parallel)
    writer.write(weights.HEAD_SCORES, name, (here, scores))
    norms: Columns = {
        "token_id": tokens.ids.numpy(),
        "embed_norm": tokens.embed.norm(dim=1).cpu().numpy(),
        "unembed_norm": tokens.unembed.norm(dim=1).cpu().numpy(),
    }
    writer.write(models.TOKEN_NORMS, name, (here, norms))


def vocabulary_of(model: LanguageModel, corpus: Corpus) -> Vocabulary:
    """The tokens that a model's neurons are compared with: no special ones, no padding."""
    ids = torch.arange(n_ids(model.tokenizer))
    kept = ids[~torch.isin(ids, torch.tensor(model.special_ids))]
    counts = torch.from_numpy(corpus.token_counts(model.facts.d_vocab))
    return Vocabulary.of(
        kept, model.embedding(), model.unembedding(), counts, centred=model.centres
    )


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


def write_matches(
    family: Family, writer: Writer, *, k: int, n_twins: int, draws: Draws, stage: Stage
) -> None:
    """Tables `matches`, `antimatches`, `layer_similarity`, `twins` and `baselines`."""
    own = own_norms(family)
    for model, other in combinations(family.layers, 2):
        found = compare(family, model, other, k=k, own=own)
        both = {
            matches.MATCHES: found.matches,
            matches.ANTIMATCHES: found.antimatches,
            matches.LAYER_SIMILARITY: found.layer_similarity,
        }
        for table, (forward, backward) in both.items():
            _write_pair(writer, table, (model, other), forward)
            _write_pair(writer, table, (other, model), backward)
        stage.advance(1)
    for model in family.layers:
        alike = twins(family, model, n_twins)
        writer.write(matches.TWINS, model, ({"model": model}, alike))
        for other, columns in baselines(family, model, draws).items():
            _write_pair(writer, matches.BASELINES, (other, model), columns)
        stage.advance(1)


def match_steps(n_models: int) -> int:
    """How often `write_matches` advances for a family of so many models."""
    return n_models * (n_models - 1) // 2 + n_models


def _write_pair(writer: Writer, table: Table, pair: tuple[str, str], columns: Columns) -> None:
    model, other = pair
    writer.write(
        table, f"{model}{BETWEEN}{other}", ({"model": model, "other_model": other}, columns)
    )


def _by_layer(
    here: Mapping[str, object],
    key: str,
    layers: Iterable[T],
    rows_of: Callable[[T], list[tuple[str, Columns]]],
) -> list[Keyed]:
    """The rows of every layer under its number, each set of them under a word."""
    return [
        ({**here, "layer": layer, key: word}, columns)
        for layer, each in enumerate(layers)
        for word, columns in rows_of(each)
    ]


def _write_activations(
    model: LanguageModel, layers: Sequence[LayerStatistics], survey: Survey, folder: Path
) -> None:
    """Activations of all neurons at the exported places, an Arrow file a site and layer."""
    tokens = survey.corpus.tokens
    for layer, each in enumerate(layers):
        for site, chosen in each.exported.items():
            if len(chosen.places):
                path = folder / f"{site}.{layer}.arrow"
                write_whole(path, partial(_write_arrow, _activation_table(chosen, tokens)))


def _activation_table(chosen: Chosen, tokens: np.ndarray) -> pa.Table:
    sequence, position = np.divmod(chosen.places.numpy(), tokens.shape[1])
    values = chosen.values.numpy()
    return pa.table(
        {
            "sequence": pa.array(sequence.astype(np.int32)),
            "position": pa.array(position.astype(np.int32)),
            "token_id": pa.array(tokens[sequence, position].astype(np.int32)),
            "activation": pa.FixedSizeListArray.from_arrays(
                pa.array(values.ravel()), values.shape[1]
            ),
        }
    )


def _write_arrow(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)
