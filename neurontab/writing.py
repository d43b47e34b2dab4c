"""Measured columns become tables: keys are added, parts are written."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

import polars as pl
import torch

from neurontab.errors import ModelError
from neurontab.measure.baselines import Draws, baselines
from neurontab.measure.columns import Columns, stacked, with_keys
from neurontab.measure.corpus import Corpus
from neurontab.measure.family import Family, LayerFacts, Place
from neurontab.measure.matching import compare, twins
from neurontab.measure.models import LanguageModel
from neurontab.measure.moments import Moments
from neurontab.measure.similarity import own_norms
from neurontab.measure.sources import BETWEEN
from neurontab.measure.stream import at_bos
from neurontab.measure.sums import Sums
from neurontab.measure.vocabulary import vocabulary
from neurontab.measure.weights import weight_sums
from neurontab.progress import Stage
from neurontab.tables import schemas, store
from neurontab.tables.frames import frame
from neurontab.tables.table import Table


@dataclass(frozen=True)
class Writer:
    """Writes parts of tables into a run."""

    folder: Path
    run_id: str

    def write(self, table: Table, part: str, *frames: pl.DataFrame) -> None:
        """One part, from the rows of all frames."""
        found = pl.concat(frames)
        store.write_part(self.folder / "tables", table, part, found, run_id=self.run_id)

    def scan(self, name: str) -> pl.LazyFrame:
        """A table written before."""
        return store.scan(self.folder / "tables", name)


def write_models(models: Sequence[LanguageModel], corpus: Corpus, writer: Writer) -> None:
    """Tables `models` and `vocabulary`."""
    facts = [asdict(model.facts) for model in models]
    writer.write(schemas.MODELS, store.FAMILY, pl.DataFrame(facts, schemas.MODELS.schema))
    counts = corpus.token_counts(models[0].facts.d_vocab)
    tokens = vocabulary(models[0].tokenizer, models[0].special_ids, counts)
    writer.write(schemas.VOCABULARY, store.FAMILY, frame(schemas.VOCABULARY, tokens))


def write_weights(models: Sequence[LanguageModel], writer: Writer) -> None:
    """Table `weights`."""
    for model in models:
        layers = [weight_sums(model.weights(layer)) for layer in range(model.facts.n_layers)]
        writer.write(
            schemas.WEIGHTS, model.name, frame(schemas.WEIGHTS, _layers(layers), model=model.name)
        )


def write_moments(models: Sequence[LanguageModel], sums: Sums, writer: Writer) -> None:
    """Table `activation_moments`: both sites, pre also with its value at BOS."""
    for model in models:
        at_start = at_bos(model, model.bos)
        pre, post = [], []
        for place in sums.places(model.name):
            moments = sums.pre[place]
            _refuse_overflow(place, pre=moments, post=sums.post[place])
            pre.append(moments.result() | moments.standing_of(at_start[place.layer], "bos"))
            post.append(sums.post[place].result())
        table = schemas.ACTIVATION_MOMENTS
        frames = [
            frame(table, _layers(columns), model=model.name, site=site)
            for site, columns in (("pre", pre), ("post", post))
        ]
        writer.write(table, model.name, *frames)


def family_of(
    models: Sequence[LanguageModel], sums: Sums, activation_shape: pl.DataFrame
) -> Family:
    """What matching needs: spread of every layer, and which neurons have support enough."""
    rows = activation_shape.sort("layer", "neuron").partition_by("model", "layer", as_dict=True)
    layers = {
        model.name: [
            LayerFacts(
                sums.post[place].shifted_mean,
                sums.post[place].variance,
                ~torch.from_numpy(rows[place]["low_support"].to_numpy().copy()).to(model.device),
            )
            for place in sums.places(model.name)
        ]
        for model in models
    }
    gated = any(model.facts.gated for model in models)
    n = next(iter(sums.post.values())).n
    return Family(layers, sums.pairs, n, two_sided=gated)


def write_matches(
    family: Family, writer: Writer, *, k: int, n_twins: int, draws: Draws, stage: Stage
) -> None:
    """Tables `matches`, `antimatches`, `layer_similarity`, `twins` and `baselines`."""
    own = own_norms(family)
    for model, other in combinations(family.layers, 2):
        found = compare(family, model, other, k=k, own=own)
        both = {
            schemas.MATCHES: found.matches,
            schemas.ANTIMATCHES: found.antimatches,
            schemas.LAYER_SIMILARITY: found.layer_similarity,
        }
        for table, (forward, backward) in both.items():
            _write_pair(writer, table, (model, other), forward)
            _write_pair(writer, table, (other, model), backward)
        stage.advance(1)
    for model in family.layers:
        alike = frame(schemas.TWINS, twins(family, model, n_twins), model=model)
        writer.write(schemas.TWINS, model, alike)
        for other, columns in baselines(family, model, draws).items():
            _write_pair(writer, schemas.BASELINES, (other, model), columns)
        stage.advance(1)


def match_steps(models: int) -> int:
    """How often `write_matches` advances for a family of so many models."""
    return models * (models - 1) // 2 + models


def _write_pair(writer: Writer, table: Table, pair: tuple[str, str], columns: Columns) -> None:
    model, other = pair
    found = frame(table, columns, model=model, other_model=other)
    writer.write(table, f"{model}{BETWEEN}{other}", found)


def _refuse_overflow(place: Place, **sites: Moments) -> None:
    """Raises ModelError for a neuron so loud that the powers of its activation overflow."""
    for site, moments in sites.items():
        if moments.overflowed.any():
            raise ModelError(
                f"{place.model}: {site} of layer {place.layer}, neuron "
                f"{int(moments.overflowed.nonzero()[0])} is too large for its fourth power to be "
                "summed.\nThe model's weights are damaged, or it needs another precision."
            )


def _layers(layers: Sequence[Columns]) -> Columns:
    """Columns of consecutive layers end to end, under their keys."""
    return stacked([with_keys(columns, layer) for layer, columns in enumerate(layers)])
