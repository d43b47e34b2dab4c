"""The k highest of many columns, kept while the columns come in pieces."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

NONE = -torch.inf  # stands for what may not be ranked


@dataclass(frozen=True)
class Best:
    """For every row the highest values so far, in falling order, and where they stand.

    `index` counts through all columns of all pieces; -inf marks places not yet filled.
    """

    value: Float[Tensor, "row rank"]
    index: Int[Tensor, "row rank"]

    @classmethod
    def of(cls, values: Float[Tensor, "row column"], k: int, first_column: int = 0) -> "Best":
        """The highest of one piece, whose columns count from `first_column`."""
        value, index = values.topk(min(k, values.shape[1]), dim=1)
        return cls(value, index + first_column)

    def join(self, other: "Best", k: int) -> "Best":
        """The highest of both."""
        value = torch.cat([self.value, other.value], dim=1)
        index = torch.cat([self.index, other.index], dim=1)
        value, place = value.topk(min(k, value.shape[1]), dim=1)
        return type(self)(value, index.gather(1, place))


class BothWays:
    """The best of every row and of every column of a matrix that comes in tiles."""

    def __init__(self, k: int) -> None:
        self._k = k
        self._rows: dict[int, Best] = {}
        self._columns: dict[int, Best] = {}

    def add(self, tile: Float[Tensor, "row column"], first_row: int, first_column: int) -> None:
        """Takes a tile whose rows and columns count from these numbers; tiles form a grid."""
        self._join(self._rows, first_row, Best.of(tile, self._k, first_column))
        self._join(self._columns, first_column, Best.of(tile.T, self._k, first_row))

    def rows(self) -> Best:
        """The best of every row."""
        return _end_to_end(self._rows)

    def columns(self) -> Best:
        """The best of every column."""
        return _end_to_end(self._columns)

    def _join(self, kept: dict[int, Best], place: int, piece: Best) -> None:
        kept[place] = kept[place].join(piece, self._k) if place in kept else piece


def _end_to_end(kept: dict[int, Best]) -> Best:
    best = [kept[place] for place in sorted(kept)]
    return Best(torch.cat([each.value for each in best]), torch.cat([each.index for each in best]))


def reverse_rank(
    best: Int[Tensor, "row rank"], other_best: Int[Tensor, "column other_rank"]
) -> Int[Tensor, "row rank"]:
    """The rank, from 1, of each row among the best of the column it points to; 0 beyond."""
    rows = torch.arange(len(best), device=best.device)[:, None, None]
    found = other_best[best] == rows
    return torch.where(found.any(dim=2), found.long().argmax(dim=2) + 1, 0)
