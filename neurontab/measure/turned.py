"""A block of activations, turned for products of few pairs: of a neuron many positions together."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from neurontab import loops

LENGTH = 256  # positions of a piece: those of all neurons of a small model fit a core's cache


class Turned:
    """Shifted activations of all units of a model [piece, unit, position], layer after layer."""

    def __init__(self, units: int, positions: int, device: torch.device) -> None:
        """Room for so many positions."""
        pieces = -(-positions // LENGTH)
        self._pieces = torch.zeros(pieces, units, LENGTH, device=device)
        self.n = 0

    def add(
        self,
        values: Float[Tensor, "token neuron"],
        rows: Int[Tensor, " member"],
        shift: Float[Tensor, " neuron"],
        *,
        first_unit: int,
        first: int,
    ) -> None:
        """Takes some rows of a layer, as positions from `first` on."""
        into = self.pieces_of(first_unit, len(shift))
        if values.device.type == "cpu":
            loops.turn(values.numpy(), rows.numpy(), shift.numpy(), first, into.numpy())
        else:
            self.add_tensors(values[rows.to(values.device)] - shift, into, first)
        self.n = max(self.n, first + len(rows))

    def pieces_of(self, first_unit: int, units: int) -> Float[Tensor, "piece neuron position"]:
        """All pieces of some units."""
        return self._pieces[:, first_unit : first_unit + units]

    @staticmethod
    def add_tensors(
        shifted: Float[Tensor, "member neuron"],
        into: Float[Tensor, "piece neuron position"],
        first: int,
    ) -> None:
        """The same on any device."""
        place = torch.arange(first, first + len(shifted), device=shifted.device)
        into[place // LENGTH, :, place % LENGTH] = shifted

    def clear(self) -> None:
        """Forgets all positions."""
        self._pieces[: self.n // LENGTH + 1].zero_()
        self.n = 0

    @property
    def pieces(self) -> Float[Tensor, "piece unit position"]:
        """What has been taken; 0 beyond the last position."""
        return self._pieces[: -(-self.n // LENGTH)]

    def parts(self) -> Iterator[Float[Tensor, "unit position"]]:
        """Piece by piece, the last as long as it is."""
        for number, piece in enumerate(self.pieces):
            yield piece[:, : self.n - number * LENGTH]
