"""The k highest of many columns, kept while the columns come in pieces."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


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

    @classmethod
    def of_all(cls, pieces: list["Best"], k: int) -> "Best":
        """The highest of all pieces."""
        best, *rest = pieces
        for piece in rest:
            best = best.join(piece, k)
        return best


def reverse_rank(
    best: Int[Tensor, "row rank"], other_best: Int[Tensor, "column other_rank"]
) -> Int[Tensor, "row rank"]:
    """The rank, from 1, of each row among the best of the column it points to; 0 beyond."""
    rows = torch.arange(len(best), device=best.device)[:, None, None]
    found = other_best[best] == rows
    return torch.where(found.any(dim=2), found.long().argmax(dim=2) + 1, 0)
