"""Passes over the tokens for exact values of listed pairs, by group of documents."""

from collections.abc import Sequence
from functools import partial
from itertools import combinations

import torch

from neurontab.measure.by_document import ByDocument
from neurontab.measure.document_groups import DocumentGroups
from neurontab.measure.family import Family
from neurontab.measure.finals import Finals, sum_finals
from neurontab.measure.matching import Matching
from neurontab.passes import Passes
from neurontab.prepare import Prepared
from neurontab.progress import Progress

BY_DOCUMENT = "by document"


def measure_listed(
    prepared: Prepared,
    family: Family,
    finals: Finals,
    documents: DocumentGroups,
    name: str,
    shown: str,
    *,
    passes: Passes,
    progress: Progress,
) -> None:
    """One pass for exact values, from where it was left; `name` is that of its state.

    Raises StoppedError when told to stop.
    """
    text, config = prepared.corpus, prepared.config
    steps = partial(
        sum_finals,
        prepared.models,
        text,
        family,
        finals,
        documents,
        batch_tokens=config.batch_tokens,
        block_tokens=config.block_tokens,
    )
    passes.listed(text, name, finals.parts, steps, shown=shown, progress=progress)


def measure_by_document(
    prepared: Prepared,
    family: Family,
    matching: Matching,
    documents: DocumentGroups,
    done: Sequence[Finals],
    *,
    passes: Passes,
    progress: Progress,
) -> ByDocument:
    """All matches by group of documents: in the passes that are done, or in one more.

    Raises StoppedError when told to stop.
    """
    pairs = {}
    for model, other in combinations(family.layers, 2):
        unit, other_unit = matching.pairs(model, other)
        back, back_unit = matching.pairs(other, model)
        width = len(family.eligible(other))
        key = torch.cat([unit, back_unit]) * width + torch.cat([other_unit, back])
        for finals in done:
            if (model, other) in finals.listed:
                listed = finals.listed[model, other]
                key = key[~torch.isin(key, listed.unit * width + listed.other_unit)]
        if len(key):
            pairs[model, other] = key.unique() // width, key.unique() % width
    if pairs:
        finals = Finals.of(family, pairs, {}, len(documents))
        name = f"documents-{finals.digest()}"
        measure_listed(
            prepared,
            family,
            finals,
            documents,
            name,
            BY_DOCUMENT,
            passes=passes,
            progress=progress,
        )
        done = [*done, finals]
    return ByDocument(family, documents, prepared.corpus.sources, done)
