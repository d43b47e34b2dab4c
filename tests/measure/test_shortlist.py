"""The pairs that are listed while tiles come, against looking at all of them at the end."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from neurontab.measure.best import NONE
from neurontab.measure.shortlist import Part, Shortlist

ROWS, WIDTHS = 40, (40, 3, 17, 60, 1)
SHORTFALL = 0.3
CPU = torch.device("cpu")


def parts(kind: str, sign: int) -> list[Part]:
    """Tiles side by side; in the first, rows are the columns."""
    random = torch.Generator().manual_seed(0)
    found, first = [], 0
    may_row = torch.rand(ROWS, generator=random) > 0.1
    for width in WIDTHS:
        corr = torch.randn(ROWS, width, generator=random)
        bound = corr + sign * 0.4 * torch.rand(corr.shape, generator=random)
        sure = sign * corr + torch.rand(corr.shape, generator=random)
        if kind == "strided":
            corr, bound, sure = (each.T.contiguous().T for each in (corr, bound, sure))
        may_column = torch.rand(width, generator=random) > 0.1
        own = first == 0 and kind == "own"
        found.append(Part(corr, bound, sure, sign, may_row, may_column, own, 2, first))
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
        if part.own:
            may.fill_diagonal_(False)
        each = part.sign * part.corr, part.sign * part.bound, part.sure
        found.append([torch.where(may, values, NONE) for values in each])
    estimate, bound, sure = (torch.cat(values, dim=1) for values in zip(*found, strict=True))
    return estimate, bound, sure


@pytest.mark.parametrize("kind", ["plain", "own", "strided"])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("ranks", "listed"), [(1, 4), (3, 10), (10, 30), (3, 121), (121, 121)])
@pytest.mark.parametrize("way", ["loops", "tensors"])
def test_chosen_is_what_reaches_the_last_estimate(
    kind: str, sign: int, ranks: int, listed: int, way: str
) -> None:
    tiles = parts(kind, sign)
    found = added(tiles, ranks, listed, way)
    estimate, bound, sure = whole(tiles)
    reached = estimate.sort(dim=1, descending=True).values[:, ranks - 1] - SHORTFALL
    expected = (bound >= reached[:, None]) & (bound > NONE)
    here = slice(2, 2 + ROWS)
    assert torch.equal(found.reached[here], reached)
    n = expected.sum(dim=1)
    assert torch.equal(found.overflown[here] | (n <= listed), torch.ones(ROWS, dtype=torch.bool))
    assert not (found.overflown[here] & (n <= listed)).any()
    for row in (n <= listed).nonzero()[:, 0].tolist():
        mine = found.index[2 + row][found.chosen[2 + row]]
        assert sorted(mine.tolist()) == expected[row].nonzero()[:, 0].tolist()
        assert found.rest[2 + row] == torch.where(expected[row], NONE, bound[row]).max()
        assert found.rest_sure[2 + row] == torch.where(expected[row], NONE, sure[row]).max()
    assert (found.index[:2] == -1).all()
    assert (found.estimate[:2] == NONE).all()


def test_order_of_tiles_does_not_matter() -> None:
    tiles = parts("plain", 1)
    one, other = (added(each, 3, 40, "loops") for each in (tiles, tiles[::-1]))
    assert torch.equal(one.reached, other.reached)
    for mine, theirs, chosen, also in zip(
        one.index, other.index, one.chosen, other.chosen, strict=True
    ):
        assert sorted(mine[chosen].tolist()) == sorted(theirs[also].tolist())
    assert not torch.equal(added([replace(tiles[0], sign=-1)], 3, 40, "loops").reached, one.reached)
