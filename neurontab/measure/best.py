"""The k highest of many columns, kept while a matrix comes in tiles."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from neurontab.measure.accumulator import State

NONE = -torch.inf  # stands for what may not be ranked
AT_ONCE = 1_024  # rows whose matches are looked up among the matches of these


class Best:
    """For every row the highest values so far, in falling order, and where they stand.

    `index` counts through all columns of all tiles; `corr` is what was ranked by `value`. Places
    not yet filled have a value of -inf.
    """

    def __init__(self, state: State) -> None:
        self.value: Float[Tensor, "row rank"] = state["value"]
        self.index: Int[Tensor, "row rank"] = state["index"]
        self.corr: Float[Tensor, "row rank"] = state["corr"]

    @staticmethod
    def nothing(rows: int, k: int, device: torch.device) -> State:
        """The state of nothing ranked yet."""
        return {
            "value": torch.full((rows, k), NONE, device=device),
            "index": torch.full((rows, k), -1, device=device),
            "corr": torch.zeros(rows, k, device=device),
        }

    def add(
        self,
        ranked: Float[Tensor, "row column"],
        corr: Float[Tensor, "row column"],
        first_row: int,
        first_column: int,
    ) -> None:
        """Takes a tile whose rows and columns count from these numbers."""
        here = slice(first_row, first_row + len(ranked))
        k = self.value.shape[1]
        new, column = ranked.topk(min(k, ranked.shape[1]), dim=1)
        value, place = torch.cat([self.value[here], new], dim=1).topk(k, dim=1)
        index = torch.cat([self.index[here], column + first_column], dim=1)
        signed = torch.cat([self.corr[here], corr.gather(1, column)], dim=1)
        self.value[here] = value
        self.index[here] = index.gather(1, place)
        self.corr[here] = signed.gather(1, place)


def reverse_rank(
    best: Int[Tensor, "row rank"], other_best: Int[Tensor, "column other_rank"]
) -> Int[Tensor, "row rank"]:
    """The rank, from 1, of each row among the best of the column it points to; 0 beyond."""
    rows = torch.arange(len(best), device=best.device)[:, None, None]
    return torch.cat(
        [
            _first_true(other_best[some] == here) + 1
            for some, here in zip(best.split(AT_ONCE), rows.split(AT_ONCE), strict=True)
        ]
    )


def _first_true(found: Bool[Tensor, "row rank other_rank"]) -> Int[Tensor, "row rank"]:
    """Its place, -1 where there is none."""
    return torch.where(found.any(dim=2), found.byte().argmax(dim=2), -1)
