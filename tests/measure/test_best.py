"""The highest of every row while tiles come, against sorting all of them at the end."""

import pytest
import torch
from torch import Tensor

from neurontab.measure.best import NONE, Best

ROWS, WIDTHS = 9, (40, 3, 17, 40, 1)
CPU = torch.device("cpu")


def tiles(kind: str) -> list[Tensor]:
    """Tiles side by side, some places of which may not be ranked."""
    random = torch.Generator().manual_seed(0)
    found = []
    for width in WIDTHS:
        tile = torch.randn(ROWS, width, generator=random)
        tile[torch.rand(tile.shape, generator=random) < 0.1] = NONE
        if kind == "ties":
            tile = tile.round()
        if kind == "strided":
            tile = tile.T.contiguous().T
        found.append(tile.double() if kind == "float64" else tile)
    found[1][4] = NONE
    return found


@pytest.mark.parametrize("kind", ["float32", "float64", "strided", "ties"])
@pytest.mark.parametrize("k", [1, 5, 30, 150])
def test_what_is_kept_is_the_head_of_all_columns_sorted(kind: str, k: int) -> None:
    best = Best(Best.nothing(2 * ROWS, k, CPU))
    first = 0
    for tile in tiles(kind):
        best.add(tile, -tile, ROWS, first)
        first += tile.shape[1]
    every = torch.cat(tiles(kind), dim=1).float()
    value, index = every.sort(dim=1, descending=True, stable=True)
    kept = min(k, first)
    found = best.value[ROWS:, :kept]
    assert torch.equal(found, value[:, :kept])
    assert (best.value[:ROWS] == NONE).all()
    assert (best.value[:, kept:] == NONE).all()
    there = found > NONE
    assert torch.equal(best.corr[ROWS:, :kept][there], -found[there])
    if kind != "ties":
        assert torch.equal(best.index[ROWS:, :kept][there], index[:, :kept][there])
