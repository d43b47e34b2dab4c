"""Per neuron and group of positions: how often, and the sum; highest value or how often active.

A group is a token that stands at the position, before or after it, a position, or a source.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from neurontab import loops
from neurontab.measure.accumulator import Accumulator, Join


@dataclass(frozen=True)
class Grouping:
    """Which rows of a batch belong to which group, rows in order of group; others in none."""

    rows: Int[Tensor, " member"]
    groups: Int[Tensor, " member"]

    @classmethod
    def of(cls, group: Int[Tensor, " row"]) -> "Grouping":
        """From each row's group, negative for none."""
        ordered, rows = group.sort(stable=True)
        first = int((ordered < 0).sum())
        return cls(rows[first:], ordered[first:])


class GroupSums(Accumulator):
    """Sums of one layer's activations by group [group, neuron], in float64."""

    def __init__(self, groups: int, neurons: int, device: torch.device) -> None:
        self.n = torch.zeros(groups, dtype=torch.int64, device=device)
        self.sums = torch.zeros(groups, neurons, dtype=torch.float64, device=device)

    def add(self, values: Float[Tensor, "token neuron"], grouping: Grouping) -> None:
        """Counts some more tokens."""
        groups = grouping.groups.to(values.device)
        self.n.index_add_(0, groups, torch.ones_like(groups))
        if values.device.type == "cpu":
            self._add_loops(values, grouping)
        else:
            self.add_tensors(values[grouping.rows.to(values.device)], groups)

    def add_tensors(
        self, values: Float[Tensor, "member neuron"], groups: Int[Tensor, " member"]
    ) -> None:
        """The same as loops do for the members of groups, on any device."""
        self.sums.index_add_(0, groups, values.double())

    def mean(self) -> Float[Tensor, "group neuron"]:
        """Mean activation of each group; 0 for an empty one."""
        return self.sums / self.n.clamp_min(1)[:, None]

    def _add_loops(self, values: Float[Tensor, "token neuron"], grouping: Grouping) -> None:
        raise NotImplementedError


class TokenSums(GroupSums):
    """Sums by token, with the highest activation of each."""

    JOINED: ClassVar[dict[str, Join]] = {
        "n": torch.add,
        "sums": torch.add,
        "highest": torch.maximum,
    }

    def __init__(self, groups: int, neurons: int, device: torch.device) -> None:
        super().__init__(groups, neurons, device)
        self.highest = torch.full((groups, neurons), -torch.inf, device=device)

    def add_tensors(
        self, values: Float[Tensor, "member neuron"], groups: Int[Tensor, " member"]
    ) -> None:
        """The same as loops do for the members of groups, on any device."""
        super().add_tensors(values, groups)
        self.highest.scatter_reduce_(0, groups[:, None].expand_as(values), values, "amax")

    def _add_loops(self, values: Float[Tensor, "token neuron"], grouping: Grouping) -> None:
        loops.add_sums_and_highest(
            values.numpy(),
            grouping.rows.numpy(),
            grouping.groups.numpy(),
            self.sums.numpy(),
            self.highest.numpy(),
        )


class ActiveSums(GroupSums):
    """Sums by position or source, with how often the neuron was active."""

    JOINED: ClassVar[dict[str, Join]] = {"n": torch.add, "sums": torch.add, "active": torch.add}

    def __init__(self, groups: int, neurons: int, device: torch.device) -> None:
        super().__init__(groups, neurons, device)
        self.active = torch.zeros(groups, neurons, dtype=torch.int32, device=device)

    def add_tensors(
        self, values: Float[Tensor, "member neuron"], groups: Int[Tensor, " member"]
    ) -> None:
        """The same as loops do for the members of groups, on any device."""
        super().add_tensors(values, groups)
        self.active.index_add_(0, groups, (values > 0).int())

    def _add_loops(self, values: Float[Tensor, "token neuron"], grouping: Grouping) -> None:
        loops.add_sums_and_active(
            values.numpy(),
            grouping.rows.numpy(),
            grouping.groups.numpy(),
            self.sums.numpy(),
            self.active.numpy(),
        )
