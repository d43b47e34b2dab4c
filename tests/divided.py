"""Pairs of neurons whose documents differ, and their sums by group of documents."""

import numpy as np
import torch
from torch import Tensor

from neurontab.measure.by_document import ByDocument
from neurontab.measure.document_groups import DocumentGroups
from neurontab.measure.family import Family, LayerFacts
from neurontab.measure.finals import Finals
from neurontab.measure.token_share import TokenMeans
from neurontab.measure.turned import Layout, Turned

CPU = torch.device("cpu")
N_DOCUMENTS, LENGTH = 100, 30
N = N_DOCUMENTS * LENGTH
DOCUMENT = torch.arange(N) // LENGTH
SOURCES = torch.arange(N_DOCUMENTS) % 5 // 4  # every fifth document is of the second source
CORR = 0.45  # of what is drawn, in all documents that there could be


def drawn(units: int, seed: int, others: int = 1) -> list[Tensor]:
    """Neurons [token, unit] of a model, and of others that correlate with them by CORR.

    Half of the variance is what a document's positions share and correlates by 0.6, the other half
    by 0.3.
    """
    random = torch.Generator().manual_seed(seed)

    def family(rows: int, corr: float) -> list[Tensor]:
        x, *own = torch.randn(1 + others, rows, units, generator=random)
        return [x, *(corr * x + (1 - corr**2) ** 0.5 * each for each in own)]

    by_document, within = family(N_DOCUMENTS, 0.6), family(N, 0.3)
    return [0.5**0.5 * (b[DOCUMENT] + w) for b, w in zip(by_document, within, strict=True)]


def groups() -> DocumentGroups:
    """Forty groups of the first source, ten of the second."""
    group_of = torch.where(
        SOURCES == 0,
        torch.arange(N_DOCUMENTS) % 40,
        40 + torch.arange(N_DOCUMENTS) // 5 % 10,
    )
    source_of = np.array([0] * 40 + [1] * 10)
    n_documents = np.bincount(group_of.numpy())
    return DocumentGroups(group_of, source_of, n_documents * LENGTH, n_documents)


def divided(*models: Tensor, every: bool = False) -> ByDocument:
    """Columns of the first model and of each other, the same or all, as a pass would sum them.

    Models are named by letters.
    """
    documents = groups()
    units = models[0].shape[1]
    values = dict(zip("abcdefgh", models, strict=False))
    facts = {
        name: [
            LayerFacts(
                each[:50].mean(dim=0),
                each.double().mean(dim=0) - each[:50].mean(dim=0).double(),
                each.double().var(dim=0, correction=0),
                torch.ones(units, dtype=torch.bool),
            )
        ]
        for name, each in values.items()
    }
    means = {name: TokenMeans(torch.zeros(units, 1)) for name in facts}
    family = Family(facts, means, N, two_sided=False)
    same = torch.arange(units)
    pairs = tuple(torch.cartesian_prod(same, same).T.contiguous()) if every else (same, same)
    others = list(facts)[1:]
    finals = Finals.of(family, {("a", other): pairs for other in others}, {}, len(documents))
    turned = {name: Turned(units, N, len(documents), CPU) for name in facts}
    for name, each in values.items():
        turned[name].begin(Layout.of([documents.group_of[DOCUMENT]]))
        shift = facts[name][0].shift
        turned[name].add(each, torch.arange(N), shift, first_unit=0, batch=0)
        finals.moments[name].add(turned[name])
    for other in others:
        finals.listed["a", other].add(turned["a"], turned[other])
    return ByDocument(family, documents, ["first", "second"], [finals])
