"""All models together: neurons are matched, by sketches or exactly, and the tables written."""

from collections.abc import Mapping

import torch

from neurontab.listing import measure_by_document
from neurontab.manifest import Matched
from neurontab.measure.accumulator import State
from neurontab.measure.baselines import Baselines, Draws
from neurontab.measure.document_groups import DocumentGroups
from neurontab.measure.family import Family, LayerFacts
from neurontab.measure.finals import Finals
from neurontab.measure.matching import Matching, Ranks
from neurontab.measure.similarity import Similarity
from neurontab.measure.sums import first_rounding_error
from neurontab.measure.survey import Survey
from neurontab.measure.token_share import TokenMeans
from neurontab.multiplying import match_exactly
from neurontab.passes import Passes
from neurontab.prepare import Prepared
from neurontab.progress import Progress
from neurontab.sketching import match_sketched
from neurontab.tables.query import Query
from neurontab.writing.matches import match_steps, write_matches
from neurontab.writing.writer import Writer


def compare_family(
    prepared: Prepared,
    survey: Survey,
    known: Mapping[str, State],
    queries: dict[str, Query],
    writer: Writer,
    passes: Passes,
    progress: Progress,
) -> Matched:
    """Writes the tables that compare neurons; returns how they were matched.

    `known` is what each model's survey has found. Raises StoppedError when told to stop.
    """
    family = family_of(prepared, known, queries, writer)
    settings, device = prepared.config.matching, prepared.device
    ranks = Ranks(settings.k, settings.twins, family.two_sided)
    matching = Matching(family, ranks, device)
    similarity = Similarity(family, device)
    draws = Draws(settings.draws, settings.rotation, prepared.config.seed)
    baselines = Baselines(family, draws, device)
    documents = DocumentGroups.of(prepared.corpus)
    plan, further, done = prepared.plan.sketch, 0, list[Finals]()
    if plan is None:
        readers = (matching, similarity, baselines)
        match_exactly(prepared, family, readers, passes=passes, progress=progress)
    else:
        done, further = match_sketched(
            prepared,
            family,
            survey,
            matching,
            (similarity, baselines),
            documents,
            plan=plan,
            passes=passes,
            progress=progress,
        )
    by_document = measure_by_document(
        prepared, family, matching, documents, done, passes=passes, progress=progress
    )
    if passes.processes.first:
        with progress.stage("matches", match_steps(len(family.layers)), "steps") as stage:
            write_matches(
                list(family.layers),
                writer,
                matching=matching,
                similarity=similarity,
                baselines=baselines,
                by_document=by_document,
                stage=stage,
            )
    places = family.all_places()
    return Matched(
        mode="sketch" if plan else "exact",
        sketch_rows=plan.replicates * plan.buckets if plan else 0,
        failure=plan.failure if plan else 0.0,
        certificates=matching.certificates(),
        further=further,
        precision=settings.products,
        sketch_precision=plan.products if plan else None,
        rounding_error=first_rounding_error(
            prepared.models,
            prepared.corpus,
            family,
            (places[0], places[-1]),
            precision=settings.products,
            batch_tokens=prepared.config.batch_tokens,
        ),
    )


def family_of(
    prepared: Prepared, known: Mapping[str, State], queries: dict[str, Query], writer: Writer
) -> Family:
    """What matching needs: spread of every layer, and which neurons have support enough."""
    moments = writer.scan("activation_moments")
    shape = queries["activation_shape"]({"activation_moments": moments}).collect()
    rows = shape.sort("layer", "neuron").partition_by("model", "layer", as_dict=True)
    device = prepared.device
    layers = {
        model.name: [
            LayerFacts(
                known[model.name][f"shift.{layer}"].to(device),
                known[model.name][f"shifted_mean.{layer}"].to(device),
                known[model.name][f"variance.{layer}"].to(device),
                ~torch.from_numpy(rows[model.name, layer]["low_support"].to_numpy().copy()).to(
                    device
                ),
            )
            for layer in range(model.facts.n_layers)
        ]
        for model in prepared.models
    }
    means = {
        name: TokenMeans(torch.cat([state[f"token_means.{n}"] for n in range(len(layers[name]))]))
        for name, state in known.items()
    }
    gated = any(model.facts.gated for model in prepared.models)
    return Family(layers, means, prepared.corpus.n_counted, two_sided=gated)
