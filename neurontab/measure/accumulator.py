"""Statistics that add up: what each keeps is named once, with how two of them join."""

from collections.abc import Callable, Mapping
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

State = dict[str, Tensor]
A = TypeVar("A", bound="Accumulator")
Join = Callable[..., Tensor]  # a function of torch: of two tensors, and of `out`, where it writes


class Accumulator:
    """Batching, resuming and several processes are one thing: any split adds up to one state.

    A kind of accumulator names its tensors, each an attribute: those in `FIXED` are equal in all
    that may be merged, those in `JOINED` are contiguous and joined element by element in place,
    those in `RANKED` by the kind's own `merge_ranked`.
    """

    FIXED: ClassVar[tuple[str, ...]] = ()
    JOINED: ClassVar[dict[str, Join]] = {}
    RANKED: ClassVar[tuple[str, ...]] = ()

    def merge(self, other: "Accumulator") -> None:
        """Counts what another over other tokens has counted."""
        for name in self.FIXED:
            assert torch.equal(getattr(self, name), getattr(other, name)), name
        for name, join in self.JOINED.items():
            mine = getattr(self, name).view(-1)
            join(mine, getattr(other, name).view(-1), out=mine)
        if self.RANKED:
            self.merge_ranked(other)

    def merge_ranked(self, other: "Accumulator") -> None:
        """Keeps what comes first of both; only what is ranked is read of the other."""
        raise NotImplementedError

    def state(self) -> State:
        """Everything that `load` needs to go on."""
        return {name: getattr(self, name) for name in self.names()}

    @classmethod
    def load(cls: type[A], state: State) -> A:
        """The accumulator whose state this is."""
        loaded = cls.__new__(cls)
        for name in cls.names():
            setattr(loaded, name, state[name].clone())
        return loaded

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """All tensors that make up the state."""
        return (*cls.FIXED, *cls.JOINED, *cls.RANKED)


def gathered(parts: Mapping[str, Accumulator]) -> State:
    """The states of several accumulators as one, each tensor under its part's name and its own."""
    return {
        f"{name}.{key}": tensor
        for name, part in parts.items()
        for key, tensor in part.state().items()
    }


def restore(parts: Mapping[str, Accumulator], state: State) -> None:
    """Takes several accumulators up where a gathered state was left, each on its own device."""
    for name, part in parts.items():
        for key in part.names():
            setattr(part, key, state[f"{name}.{key}"].to(getattr(part, key).device))
