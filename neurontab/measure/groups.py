"""Per neuron and group of positions: how often, and the sum; highest value or how often active.

A group is a token that stands at the position, before or after it, a position, or a source.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from neurontab.loops.groups import add_active, add_highest, add_sums
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

    JOINED: ClassVar[dict[str, Join]] = {"n": torch.add, "sums": torch.add}

    def __init__(self, groups: int, neurons: int, device: torch.device) -> None:
        self.n = torch.zeros(groups, dtype=torch.int64, device=device)
        self.sums = torch.zeros(groups, neurons, dtype=torch.float64, device=device)

    def add(self, values: Float[Tensor, "token neuron"], grouping: Grouping) -> None:
        """Counts some more tokens."""
        groups = grouping.groups.to(values.device)
        self.n.index_add_(0, groups, torch.ones_like(groups))
        if values.device.type == "cpu":
            self.add_loops(values.numpy(), grouping.rows.numpy(), grouping.groups.numpy())
        else:
            self.add_tensors(values[grouping.rows.to(values.device)], groups)

    def add_loops(
        self,
        values: npt.NDArray[np.float32],
        rows: npt.NDArray[np.int64],
        groups: npt.NDArray[np.int64],
    ) -> None:
        """Adds rows to their groups on the CPU."""
        add_sums(values, rows, groups, self.sums.numpy())

    def add_tensors(
        self, values: Float[Tensor, "member neuron"], groups: Int[Tensor, " member"]
    ) -> None:
        """Adds the members of groups on any device."""
        self.sums.index_add_(0, groups, values.double())

    def mean(self) -> Float[Tensor, "group neuron"]:
        """Mean activation of each group; 0 for an empty one."""
        return self.sums / self.n.clamp_min(1)[:, None]


class TokenSums(GroupSums):
    """Sums by token, with the highest activation of each."""

    JOINED: ClassVar[dict[str, Join]] = GroupSums.JOINED | {"highest": torch.maximum}

    def __init__(self, groups: int, neurons: int, device: torch.device) -> None:
        super().__init__(groups, neurons, device)
        self.highest = torch.full((groups, neurons), -torch.inf, device=device)

    def add_loops(
        self,
        values: npt.NDArray[np.float32],
        rows: npt.NDArray[np.int64],
        groups: npt.NDArray[np.int64],
    ) -> None:
        """Adds rows to their groups on the CPU."""
        super().add_loops(values, rows, groups)
        add_highest(values, rows, groups, self.highest.numpy())

    def add_tensors(
        self, values: Float[Tensor, "member neuron"], groups: Int[Tensor, " member"]
    ) -> None:
        """Adds the members of groups on any device."""
        super().add_tensors(values, groups)
        self.highest.scatter_reduce_(0, groups[:, None].expand_as(values), values, "amax")


class ActiveSums(GroupSums):
    """Sums by position or source, with how often the neuron was active."""

    JOINED: ClassVar[dict[str, Join]] = GroupSums.JOINED | {"active": torch.add}

    def __init__(self, groups: int, neurons: int, device: torch.device) -> None:
        super().__init__(groups, neurons, device)
        self.active = torch.zeros(groups, neurons, dtype=torch.int32, device=device)

    def add_loops(
        self,
        values: npt.NDArray[np.float32],
        rows: npt.NDArray[np.int64],
        groups: npt.NDArray[np.int64],
    ) -> None:
        """Adds rows to their groups on the CPU."""
        super().add_loops(values, rows, groups)
        add_active(values, rows, groups, self.active.numpy())

    def add_tensors(
        self, values: Float[Tensor, "member neuron"], groups: Int[Tensor, " member"]
    ) -> None:
        """Adds the members of groups on any device."""
        super().add_tensors(values, groups)
        self.active.index_add_(0, groups, (values > 0).int())
