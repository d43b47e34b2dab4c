"""Correlations by group of documents against subsets of the data, and intervals against truth."""

from pathlib import Path

import numpy as np
import pytest
import torch
from divided import CORR, DOCUMENT, SOURCES, N, divided, drawn
from torch import Tensor

from neurontab.measure.by_document import held_out, standard_error
from neurontab.measure.document_groups import GROUPS, DocumentGroups
from neurontab.measure.matching import HIGHEST, Matching, Ranks
from neurontab.tables.frames import frame
from neurontab.tables.schemas import MEASURED


def test_parts_of_the_documents_are_subsets_of_the_data() -> None:
    x, y = drawn(4, seed=0)
    found = divided(3 + x, 5 - 2 * y)
    units = torch.arange(4)
    group = found.documents.group_of[DOCUMENT]
    source = SOURCES[DOCUMENT]

    def corr(rows: Tensor, unit: int) -> float:
        return float(np.corrcoef(3 + x[rows, unit].double(), 5 - 2 * y[rows, unit].double())[0, 1])

    for model, other in (("a", "b"), ("b", "a")):
        parts = found.divided(model, other, units, units, torch.ones(4).double())
        left_out, by_source, halves = parts.left_out, parts.by_source, parts.halves
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
    found = divided(x, y)
    units = torch.arange(2_000)
    left_out = found.divided("a", "b", units, units, torch.ones(2_000).double()).left_out
    whole = (x * y).mean(dim=0).double() - x.double().mean(dim=0) * y.double().mean(dim=0)
    whole /= x.double().std(dim=0, correction=0) * y.double().std(dim=0, correction=0)
    n = torch.bincount(found.documents.group_of[DOCUMENT], minlength=GROUPS)
    error = standard_error(whole, left_out, n)
    covered = ((whole - CORR).abs() < 2.01 * error).double().mean().item()
    assert 0.93 < covered < 0.97
    by_token = (1 - whole**2) / N**0.5
    naive = ((whole - CORR).abs() < 1.96 * by_token).double().mean().item()
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


def test_what_is_not_known_without_some_group_is_left_out_altogether() -> None:
    """The second neuron varies in one document alone."""
    x, y = drawn(3, seed=2)
    x[:, 1] *= DOCUMENT == 8
    found = divided(x, y)
    matching = Matching(found.family, Ranks(1, 1, two_sided=False), torch.device("cpu"))
    units = torch.arange(3)
    whole = found.divided("a", "b", units, units, torch.ones(3).double()).whole
    matching.settle("a", "b", HIGHEST, units, units[:, None], whole[:, None])
    columns = found.tables("a", "b", matching)[2] | {"model": np.array(["a"] * 3)}
    rows = frame(MEASURED["jackknife"], columns, other_model="b")["left_out"]
    assert rows.list.len().to_list() == [GROUPS, 0, GROUPS]
    assert not rows.explode().drop_nulls().is_nan().any()


def test_each_match_has_its_own_error_and_each_neuron_what_was_held_out() -> None:
    """Of three matches a neuron, in an order that is not that of the other model's neurons."""
    x, y = drawn(4, seed=3)
    y = y + 0.8 * y.roll(1, dims=1)
    found = divided(x, y, every=True)
    group = found.documents.group_of[DOCUMENT]

    def corr(rows: Tensor) -> Tensor:
        return torch.from_numpy(np.corrcoef(x[rows].double().T, y[rows].double().T)[:4, 4:])

    whole = corr(torch.ones(N, dtype=torch.bool))
    without = torch.stack([corr(group != number) for number in range(GROUPS)], dim=2)
    n = torch.bincount(group, minlength=GROUPS)
    halves = torch.stack([corr(group % 2 == number) for number in range(2)], dim=2)
    matching = Matching(found.family, Ranks(3, 1, two_sided=False), torch.device("cpu"))
    every = torch.arange(4).expand(4, 4)
    matching.settle("a", "b", HIGHEST, torch.arange(4), every, whole)
    matches, _, jackknife = found.tables("a", "b", matching)
    best = whole.argsort(dim=1, descending=True)[:, :3]
    assert (best.diff(dim=1) < 0).any()
    assert (best.diff(dim=1) > 0).any()
    for row in range(4):
        mine = best[row]
        error = standard_error(whole[row, mine], without[row, mine], n)
        found_error = np.asarray(matches["corr_se"][3 * row : 3 * row + 3])
        assert found_error == pytest.approx(error.numpy(), rel=1e-3)
        there, back = halves[row, mine].T
        held = (back[there.argmax()] + there[back.argmax()]) / 2
        assert jackknife["held_out_corr"][row] == pytest.approx(held.item(), abs=1e-5)
    assert jackknife["neuron"].tolist() == [0, 1, 2, 3]


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
