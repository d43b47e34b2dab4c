"""The measuring half of a build: each model alone, then all together; both can be gone on with."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import polars as pl
import torch

from neurontab.comparing import compare_family
from neurontab.config import BuildConfig
from neurontab.manifest import Matched
from neurontab.measure import corpus
from neurontab.measure.accumulator import State
from neurontab.measure.models import LanguageModel
from neurontab.measure.survey import LayerStatistics, Survey, begin, measure
from neurontab.measure.token_share import token_means
from neurontab.passes import Passes
from neurontab.prepare import Prepared
from neurontab.progress import Progress
from neurontab.tables.query import Query
from neurontab.writing.ablations import ablated, role_candidates, write_ablations
from neurontab.writing.activations import write_support, write_survey
from neurontab.writing.models import write_models
from neurontab.writing.weights import write_logit_effects, write_weights
from neurontab.writing.writer import Writer

FILE = "file:"  # begins the key of a written file's digest
SHOWN = 50  # of each model's most universal neurons the logits of every token are kept
ENTROPY = 10  # and of so many entropy candidates and random others


def measure_family(
    prepared: Prepared,
    queries: dict[str, Query],
    folder: Path,
    passes: Passes,
    progress: Progress,
) -> Matched:
    """Writes every measured table into a build's folder; returns how neurons were matched.

    Of several processes the first writes. Raises StoppedError when told to stop, and ModelError
    where activations or weights are not finite numbers.
    """
    models, text, config = prepared.models, prepared.corpus, prepared.config
    writer = Writer(folder, prepared.run_id, passes.refuse_if_gone)
    first = passes.processes.first
    if first:
        corpus.place(text, folder / "corpus")
        write_models(models, text, writer)
    survey = Survey.of(
        text,
        max((model.widths for model in models), key=sum),
        models[0].facts.d_vocab,
        prepared.features,
        prepared.text_labels,
        exported=config.activations,
        seed=config.seed,
    )
    if first:
        write_support(survey, writer)
    known = {
        model.name: _surveyed(model, survey, prepared, queries, writer, passes, progress)
        for model in models
    }
    matched = compare_family(prepared, survey, known, queries, writer, passes, progress)
    for model in models:
        model.forget_inputs()  # no more passes
    if first:
        shown = [_entropy_candidates(queries, writer)]
        if len(models) > 1:
            shown.append(_most_universal(queries, writer))
        neurons = pl.concat(shown).unique().collect()
        for model in models:
            write_logit_effects(model, text, neurons.filter(model=model.name), writer)
    return matched


def _surveyed(
    model: LanguageModel,
    survey: Survey,
    prepared: Prepared,
    queries: dict[str, Query],
    writer: Writer,
    passes: Passes,
    progress: Progress,
) -> State:
    """Writes the tables of one model, and returns what the matching needs of it."""
    done = passes.done.load(f"{model.name}.done")
    if done is not None and _is_still_there(done, writer.digests(model.name)):
        prepared.keep_inputs(model)
        return done
    name = f"{model.name}.survey"
    batch_tokens = prepared.config.batch_tokens
    layers = begin(model, survey, batch_tokens)
    prepared.keep_inputs(model)  # of the tokens that this process runs, not of the first ones
    parts = {
        f"{number}.{part}": each
        for number, layer in enumerate(layers)
        for part, each in layer.parts().items()
    }
    steps = partial(measure, model, survey, layers, batch_tokens=batch_tokens)
    shown = f"activations {model.name}"
    passes.over(survey.corpus, name, parts, steps, shown=shown, progress=progress)
    first = passes.processes.first
    if first:
        with progress.stage(f"tables {model.name}", 2, "parts") as stage:
            write_survey(model, layers, survey, writer)
            stage.advance(1)
            write_weights(model, survey.corpus, writer)
            stage.advance(1)
    passes.processes.wait()
    _ablate(model, survey, prepared.config, queries, writer, passes, progress)
    if first:
        _keep_done(model, layers, writer, passes)
    passes.processes.wait()
    passes.forget(name)
    passes.forget(f"{model.name}.ablations")
    done = passes.done.load(f"{model.name}.done")
    assert done is not None
    return done


def _ablate(
    model: LanguageModel,
    survey: Survey,
    config: BuildConfig,
    queries: dict[str, Query],
    writer: Writer,
    passes: Passes,
    progress: Progress,
) -> None:
    """Candidates of the last layer, told by the tables that are written, are held at their mean."""
    found = ablated(model, survey.corpus, config, queries, writer)
    if found:
        passes.over(
            survey.corpus,
            f"{model.name}.ablations",
            {"sums": found.sums},
            partial(found.ablation.add, found.sums, batch_tokens=config.batch_tokens),
            shown=f"ablations {model.name}",
            progress=progress,
            sequences=found.ablation.sequences,
        )
    if passes.processes.first:
        write_ablations(model, found, writer)


def _keep_done(
    model: LanguageModel, layers: list[LayerStatistics], writer: Writer, passes: Passes
) -> None:
    """Keeps what tells that all tables of a model are there."""
    found = _needed(layers) | {
        f"{FILE}{path}": torch.tensor(list(bytes.fromhex(digest)))
        for path, digest in writer.digests(model.name).items()
    }
    passes.done.save(f"{model.name}.done", found)


def _is_still_there(done: State, digests: Mapping[str, str]) -> bool:
    """Whether the files that were written are as they were when the model was done."""
    written = {key.removeprefix(FILE): each for key, each in done.items() if key.startswith(FILE)}
    return all(digests.get(path) == bytes(each.tolist()).hex() for path, each in written.items())


def _needed(layers: list[LayerStatistics]) -> State:
    """What is known of a model's neurons once all tokens have been through it."""
    found: State = {}
    for number, layer in enumerate(layers):
        found |= {
            f"shift.{number}": layer.post.shift,
            f"shifted_mean.{number}": layer.post.shifted_mean,
            f"variance.{number}": layer.post.variance,
            f"token_means.{number}": token_means(layer.tokens["current"], layer.post).cpu(),
        }
    return found


def _entropy_candidates(queries: dict[str, Query], writer: Writer) -> pl.LazyFrame:
    """Of each model those of which least is read, if any, and random others of their layer."""
    keys = ["model", "layer", "neuron"]
    known = (
        writer.scan("ablations")
        .select(*keys, "is_control")
        .unique()
        .join(role_candidates(queries, writer), on=keys)
        .filter(pl.col("is_control") | pl.col("is_entropy_candidate"))
        .filter(pl.col("is_entropy_candidate").any().over("model"))
    )
    return (
        known.with_columns(read=pl.when(~pl.col("is_control")).then(-pl.col("null_fraction")))
        .sort("is_control", "read", *keys)
        .group_by("model", "is_control", maintain_order=True)
        .head(ENTROPY)
        .select(keys)
    )


def _most_universal(queries: dict[str, Query], writer: Writer) -> pl.LazyFrame:
    """The neurons of each model with the highest excess correlation."""
    measured = ("models", "matches", "baselines", "twins", "jackknife", "document_groups")
    frames = {name: writer.scan(name) for name in measured}
    moments = {"activation_moments": writer.scan("activation_moments")}
    frames["activation_shape"] = queries["activation_shape"](moments)
    ranked = queries["universality"](frames).drop_nulls("excess_corr")
    order = ["excess_corr", "layer", "neuron"]
    return (
        ranked.sort(order, descending=[True, False, False])
        .group_by("model", maintain_order=True)
        .head(SHOWN)
        .select("model", "layer", "neuron")
    )
