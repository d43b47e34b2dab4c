"""Of every row the pairs that may be among its best, found while bounds come in tiles.

What a row's last kept match is expected to have rises from tile to tile; a pair whose bound lies
below that is dropped for good. So a list holds few more than what is to be measured.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from neurontab.loops.shortlist import shortlist
from neurontab.measure.accumulator import State
from neurontab.measure.best import NONE


@dataclass(frozen=True)
class Part:
    """What is known of the pairs of some rows, at places from `first_row`, with some columns.

    Highest is what is so times `sign`, of which `bound` and `sure` are then upper bounds; the
    latter hold whatever the signs of sketches.
    """

    estimate: Float[Tensor, "row column"]
    bound: Float[Tensor, "row column"]
    sure: Float[Tensor, "row column"]
    may_row: Bool[Tensor, " row"]
    may_column: Bool[Tensor, " column"]
    own: Int[Tensor, " row"]  # the column that is the row itself, and is not ranked; or -1
    first_row: int
    first_column: int
    sign: int

    @property
    def T(self) -> "Part":  # noqa: N802 - as of a matrix
        """Seen from the other side, of a tile of two layers."""
        return Part(
            self.estimate.T,
            self.bound.T,
            self.sure.T,
            self.may_column,
            self.may_row,
            torch.full_like(self.may_column, -1, dtype=torch.int64),
            self.first_column,
            self.first_row,
            self.sign,
        )


class Shortlist:
    """The highest estimates of every row, and the pairs with bounds that reach the last of them.

    What reaches it is told with a shortfall: by so much the exact value may be less than estimated.
    """

    def __init__(self, state: State, shortfall: float) -> None:
        self.estimate: Float[Tensor, "row rank"] = state["estimate"]
        self.bound: Float[Tensor, "row listed"] = state["bound"]
        self.sure: Float[Tensor, "row listed"] = state["sure"]
        self.index: Int[Tensor, "row listed"] = state["index"]
        self.n: Int[Tensor, " row"] = state["n"]  # listed
        self.others: Float[Tensor, " row"] = state["others"]
        self.others_sure: Float[Tensor, " row"] = state["others_sure"]
        self._shortfall = shortfall

    @staticmethod
    def nothing(rows: int, ranks: int, listed: int, device: torch.device) -> State:
        """The state of nothing listed yet."""

        def none(*shape: int) -> Tensor:
            return torch.full(shape, NONE, device=device)

        return {
            "estimate": none(rows, ranks),
            "bound": none(rows, listed),
            "sure": none(rows, listed),
            "index": torch.full((rows, listed), -1, device=device),
            "n": torch.zeros(rows, dtype=torch.int64, device=device),
            "others": none(rows),  # the highest bound of all that is not listed
            "others_sure": none(rows),
        }

    @property
    def reached(self) -> Float[Tensor, " row"]:
        """What a bound must reach to be chosen; all do where there are fewer than are kept."""
        return self.estimate[:, -1] - self._shortfall

    @property
    def chosen(self) -> Bool[Tensor, "row listed"]:
        """Which of the listed."""
        return (self.index >= 0) & (self.bound >= self.reached[:, None])

    @property
    def overflown(self) -> Bool[Tensor, " row"]:
        """Whether something that is not listed would have to be chosen."""
        return (self.others > NONE) & (self.others >= self.reached)

    @property
    def rest(self) -> Float[Tensor, " row"]:
        """The highest bound of all that is not chosen."""
        return torch.maximum(self.others, torch.where(self.chosen, NONE, self.bound).amax(dim=1))

    @property
    def rest_sure(self) -> Float[Tensor, " row"]:
        """The same, whatever the signs of sketches."""
        left = torch.where(self.chosen, NONE, self.sure).amax(dim=1)
        return torch.maximum(self.others_sure, left)

    def add(self, part: Part) -> None:
        """Takes some columns more of some rows."""
        here = slice(part.first_row, part.first_row + len(part.estimate))
        if part.estimate.device.type != "cpu":
            self.add_tensors(part, here)
            return
        values = part.estimate, part.bound, part.sure
        turned = not all(each.is_contiguous() for each in values)
        estimate, bound, sure = ((each.T if turned else each).contiguous() for each in values)
        shortlist(
            estimate.numpy(),
            bound.numpy(),
            sure.numpy(),
            turned,
            part.sign,
            part.may_row.numpy(),
            part.may_column.numpy(),
            part.own.numpy(),
            part.first_column,
            self._shortfall,
            self.estimate[here].numpy(),
            self.bound[here].numpy(),
            self.sure[here].numpy(),
            self.index[here].numpy(),
            self.n[here].numpy(),
            self.others[here].numpy(),
            self.others_sure[here].numpy(),
        )

    def add_tensors(self, part: Part, here: slice) -> None:
        """The same on any device, for the rows that are `here`."""
        may = torch.outer(part.may_row, part.may_column)
        columns = torch.arange(may.shape[1], device=may.device)
        may &= columns != part.own[:, None]
        ranked = torch.where(may, part.sign * part.estimate, NONE)
        highest = torch.cat([self.estimate[here], ranked], dim=1)
        self.estimate[here] = highest.topk(self.estimate.shape[1], dim=1).values
        bound = torch.cat([self.bound[here], torch.where(may, part.sign * part.bound, NONE)], 1)
        sure = torch.cat([self.sure[here], torch.where(may, part.sign * part.sure, NONE)], 1)
        index = torch.cat([self.index[here], (part.first_column + columns).expand(may.shape)], 1)
        reaches = torch.where(bound >= self.reached[here][:, None], bound, NONE)
        value, place = reaches.topk(self.bound.shape[1], dim=1)
        kept = value > NONE
        left = torch.ones_like(reaches, dtype=torch.bool).scatter(1, place, ~kept)
        for others, values in ((self.others, bound), (self.others_sure, sure)):
            highest = torch.where(left, values, NONE).amax(dim=1)
            others[here] = torch.maximum(others[here], highest)
        self.bound[here] = value
        self.sure[here] = torch.where(kept, sure.gather(1, place), NONE)
        self.index[here] = torch.where(kept, index.gather(1, place), -1)
        self.n[here] = kept.sum(dim=1)
