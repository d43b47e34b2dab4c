"""Correlations by group of documents against subsets of the data, and intervals against truth."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from neurontab.measure.by_document import ByDocument, held_out, standard_error
from neurontab.measure.document_groups import GROUPS, DocumentGroups
from neurontab.measure.family import Family, LayerFacts
from neurontab.measure.finals import Finals
from neurontab.measure.token_share import TokenMeans
from neurontab.measure.turned import Layout, Turned

CPU = torch.device("cpu")
N_DOCUMENTS, LENGTH = 100, 30
N = N_DOCUMENTS * LENGTH
DOCUMENT = torch.arange(N) // LENGTH
SOURCES = torch.arange(N_DOCUMENTS) % 5 // 4  # every fifth document is of the second source


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


def summed(x: Tensor, y: Tensor) -> ByDocument:
    """Pairs of columns of x and y [token, unit] as a pass would have summed them."""
    documents = groups()
    units = x.shape[1]
    facts = {
        name: [
            LayerFacts(
                values[:50].mean(dim=0),
                values.double().mean(dim=0) - values[:50].mean(dim=0).double(),
                values.double().var(dim=0, correction=0),
                torch.ones(units, dtype=torch.bool),
            )
        ]
        for name, values in (("a", x), ("b", y))
    }
    means = {name: TokenMeans(torch.zeros(units, 1)) for name in facts}
    family = Family(facts, means, N, two_sided=False)
    pairs = {("a", "b"): (torch.arange(units), torch.arange(units))}
    finals = Finals.of(family, pairs, {}, len(documents))
    turned = {name: Turned(units, N, len(documents), CPU) for name in facts}
    for name, values in (("a", x), ("b", y)):
        turned[name].begin(Layout.of([documents.group_of[DOCUMENT]]))
        shift = facts[name][0].shift
        turned[name].add(values, torch.arange(N), shift, first_unit=0, batch=0)
        finals.moments[name].add(turned[name])
    finals.listed["a", "b"].add(turned["a"], turned["b"])
    return ByDocument(family, documents, ["first", "second"], [finals])


def drawn(units: int, seed: int) -> tuple[Tensor, Tensor]:
    """Neurons with a part that a document's positions share; they correlate by 0.45.

    Half of the variance is by document and correlates by 0.6, the other half by 0.3.
    """
    random = torch.Generator().manual_seed(seed)

    def pair(rows: int, corr: float) -> tuple[Tensor, Tensor]:
        x, other = torch.randn(2, rows, units, generator=random)
        return x, corr * x + (1 - corr**2) ** 0.5 * other

    by_document, within = pair(N_DOCUMENTS, 0.6), pair(N, 0.3)
    x, y = (0.5**0.5 * (b[DOCUMENT] + w) for b, w in zip(by_document, within, strict=True))
    return x, y


def test_parts_of_the_documents_are_subsets_of_the_data() -> None:
    x, y = drawn(4, seed=0)
    found = summed(3 + x, 5 - 2 * y)
    units = torch.arange(4)
    group = found.documents.group_of[DOCUMENT]
    source = SOURCES[DOCUMENT]

    def corr(rows: Tensor, unit: int) -> float:
        return float(np.corrcoef(3 + x[rows, unit].double(), 5 - 2 * y[rows, unit].double())[0, 1])

    for model, other in (("a", "b"), ("b", "a")):
        divided = found.divided(model, other, units, units, torch.ones(4).double())
        left_out, by_source, halves = divided.left_out, divided.by_source, divided.halves
        for unit in range(4):
            for number in (0, 7, 49):
                expected = corr(group != number, unit)
                assert left_out[unit, number].item() == pytest.approx(expected, abs=1e-6)
            for number in range(2):
                expected = corr(source == number, unit)
                assert by_source[unit, number].item() == pytest.approx(expected, abs=1e-6)
                expected = corr(group % 2 == number, unit)
                assert halves[unit, number].item() == pytest.approx(expected, abs=1e-6)


def test_the_95_percent_interval_covers_the_truth_as_often_as_it_says() -> None:
    x, y = drawn(2_000, seed=1)
    found = summed(x, y)
    units = torch.arange(2_000)
    left_out = found.divided("a", "b", units, units, torch.ones(2_000).double()).left_out
    whole = (x * y).mean(dim=0).double() - x.double().mean(dim=0) * y.double().mean(dim=0)
    whole /= x.double().std(dim=0, correction=0) * y.double().std(dim=0, correction=0)
    n = torch.bincount(found.documents.group_of[DOCUMENT], minlength=GROUPS)
    error = standard_error(whole, left_out, n)
    covered = ((whole - 0.45).abs() < 2.01 * error).double().mean().item()
    assert 0.93 < covered < 0.97
    by_token = (1 - whole**2) / N**0.5
    naive = ((whole - 0.45).abs() < 1.96 * by_token).double().mean().item()
    assert naive < 0.7  # as if every position were a draw of its own


def test_what_is_best_in_one_half_is_measured_in_the_other() -> None:
    random = torch.Generator().manual_seed(0)
    unit = torch.tensor([2, 2, 2, 5, 7, 7, 7, 7, 9, 9])
    halves = torch.rand(len(unit), 2, generator=random, dtype=torch.float64) * 2 - 1
    halves[-1, 1] = torch.nan
    expected = []
    for each in (2, 5, 7):
        first, second = halves[unit == each].T.tolist()
        there = second[first.index(max(first))]
        back = first[second.index(max(second))]
        expected.append((there + back) / 2)
    found = held_out(unit, halves).tolist()
    assert found[:3] == pytest.approx(expected)
    assert np.isnan(found[3])


def test_one_group_has_no_standard_error() -> None:
    whole = torch.tensor([0.5], dtype=torch.float64)
    assert standard_error(whole, whole[:, None], torch.tensor([10])).isnan().all()


def test_groups_are_whole_documents_of_one_source_and_of_like_size(tmp_path: Path) -> None:
    import tiny

    from neurontab.config import resolve
    from neurontab.prepare import prepare
    from neurontab.progress import Silent

    for source, n in (("one", 90), ("two", 10)):
        for number in range(n):
            tiny.write_text(tmp_path / "text" / source / f"{number}.txt", tokens=40 + number)
    settings = resolve(
        models=[str(tiny.save(tiny.model(), tmp_path / "m"))],
        corpus=[str(tmp_path / "text" / name) for name in ("one", "two")],
        tokens="all",
    )
    corpus = prepare(settings, Silent()).corpus
    found = DocumentGroups.of(corpus)
    assert len(found) == pytest.approx(GROUPS, abs=2)
    assert found.n_documents.sum() == 100
    counted = corpus.counted(corpus.batch(0, len(corpus.tokens))).numpy()
    group = found.group_of.numpy()[corpus.document]
    sources = np.broadcast_to(corpus.source[:, None], group.shape)
    for number, of in enumerate(found.source_of):
        assert set(sources[(group == number) & counted].tolist()) == {of}
    sizes = np.bincount(group[counted])
    assert sizes.max() < 2.5 * sizes.min()
    assert sizes.tolist() == found.n.tolist()
