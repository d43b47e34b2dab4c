"""The pairs that are listed while tiles come, against looking at all of them at the end."""

import pytest
import torch
from torch import Tensor

from neurontab.measure.best import NONE
from neurontab.measure.shortlist import Part, Shortlist

ROWS, WIDTHS = 40, (40, 3, 17, 60, 1)
SHORTFALL = 0.3
CPU = torch.device("cpu")


def parts(kind: str) -> list[Part]:
    """Tiles side by side; in the first, rows are the columns. The highest sought, or the lowest."""
    sign = -1 if kind == "lowest" else 1
    random = torch.Generator().manual_seed(0)
    found, first = [], 0
    may_row = torch.rand(ROWS, generator=random) > 0.1
    for width in WIDTHS:
        corr = torch.randn(ROWS, width, generator=random)
        bound = corr + 0.4 * torch.rand(corr.shape, generator=random)
        sure = corr + torch.rand(corr.shape, generator=random)
        if kind == "ties":
            corr, bound, sure = (each.mul(2).round() / 2 for each in (corr, bound, sure))
        may_column = torch.rand(width, generator=random) > 0.1
        own = torch.full((ROWS,), -1)
        if first == 0 and kind == "own":
            own = torch.arange(ROWS)
        if first == 0 and kind == "some":
            own[::2] = torch.arange(0, ROWS, 2) * 7 % ROWS  # a few rows of many, in any order
        corr, bound, sure = (sign * each for each in (corr, bound, sure))
        if kind == "strided":
            corr, bound, sure = (each.T.contiguous().T for each in (corr, bound, sure))
        found.append(Part(corr, bound, sure, may_row, may_column, own, 2, first, sign))
        first += width
    return found


def added(parts: list[Part], ranks: int, listed: int, way: str) -> Shortlist:
    """What is listed of rows that are not the first of all."""
    shortlist = Shortlist(Shortlist.nothing(ROWS + 5, ranks, listed, CPU), SHORTFALL)
    for part in parts:
        if way == "loops":
            shortlist.add(part)
        else:
            shortlist.add_tensors(part, slice(2, 2 + ROWS))
    return shortlist


def whole(parts: list[Part]) -> tuple[Tensor, Tensor, Tensor]:
    """Estimates, bounds and sure bounds of all columns; -inf where nothing may be ranked."""
    found = []
    for part in parts:
        may = torch.outer(part.may_row, part.may_column)
        itself = (part.own >= 0).nonzero()[:, 0]
        may[itself, part.own[itself]] = False
        each = part.estimate, part.bound, part.sure
        found.append([torch.where(may, part.sign * values, NONE) for values in each])
    estimate, bound, sure = (torch.cat(values, dim=1) for values in zip(*found, strict=True))
    return estimate, bound, sure


@pytest.mark.parametrize("kind", ["plain", "lowest", "own", "some", "strided", "ties"])
@pytest.mark.parametrize(("ranks", "listed"), [(1, 4), (3, 10), (10, 30), (3, 121), (110, 121)])
@pytest.mark.parametrize("way", ["loops", "tensors"])
def test_chosen_is_what_reaches_the_last_estimate(
    kind: str, ranks: int, listed: int, way: str
) -> None:
    tiles = parts(kind)
    found = added(tiles, ranks, listed, way)
    estimate, bound, sure = whole(tiles)
    reached = estimate.sort(dim=1, descending=True).values[:, ranks - 1] - SHORTFALL
    expected = (bound >= reached[:, None]) & (bound > NONE)
    here = slice(2, 2 + ROWS)
    assert torch.equal(found.reached[here], reached)
    n = expected.sum(dim=1)
    assert torch.equal(found.overflown[here], n > listed)
    for row in range(ROWS):
        mine = found.index[2 + row][found.chosen[2 + row]]
        chosen = torch.zeros(len(bound[row]), dtype=torch.bool).index_fill(0, mine, True)
        assert not (chosen & ~expected[row]).any()
        assert int(chosen.sum()) == len(mine) == min(int(n[row]), listed)
        assert found.rest[2 + row] == torch.where(chosen, NONE, bound[row]).max()
        assert found.rest_sure[2 + row] == torch.where(chosen, NONE, sure[row]).max()
    assert (found.index[:2] == -1).all()
    assert (found.estimate[:2] == NONE).all()


@pytest.mark.parametrize("way", ["loops", "tensors"])
def test_order_of_tiles_does_not_matter(way: str) -> None:
    tiles = parts("plain")
    one, other = (added(each, 3, 40, way) for each in (tiles, tiles[::-1]))
    assert torch.equal(one.reached, other.reached)
    for mine, theirs, chosen, also in zip(
        one.index, other.index, one.chosen, other.chosen, strict=True
    ):
        assert sorted(mine[chosen].tolist()) == sorted(theirs[also].tolist())
