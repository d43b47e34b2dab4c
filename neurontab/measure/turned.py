"""A block of activations, turned for products of few pairs: many positions of a neuron together.

Positions are in pieces, each of one group of documents; pieces lie end to end, each [unit,
position]. Every unit of a piece begins at a whole number of vectors; zeros fill up what is left.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

from neurontab.loops.turned import turn

LENGTH = 256  # positions of a piece at most: all neurons' of a small model fit a core's cache
VECTORS = 64  # positions that a loop takes at once


@dataclass(frozen=True)
class Layout:
    """Where the counted positions of a block's batches go: in which piece, at which place."""

    pieces: list[Int[Tensor, " _"]]  # of each batch
    places: list[Int[Tensor, " _"]]
    lengths: Int[Tensor, " piece"]
    groups: Int[Tensor, " piece"]

    @property
    def strides(self) -> Int[Tensor, " piece"]:
        """Places from one unit of a piece to the next."""
        return -(-self.lengths // VECTORS) * VECTORS

    @property
    def starts(self) -> Int[Tensor, " piece"]:
        """Places before each piece, of one unit."""
        return self.strides.cumsum(0) - self.strides

    @property
    def n(self) -> int:
        """Positions in all."""
        return int(self.lengths.sum())

    @classmethod
    def of(cls, groups: Sequence[Int[Tensor, " _"]]) -> "Layout":
        """From the group of every counted position of each batch: positions of a group in order."""
        every = torch.cat(list(groups))
        order = every.argsort(stable=True)
        present, counts = every.unique(return_counts=True)
        n_pieces = -(-counts // LENGTH)
        rank = torch.arange(len(every)) - torch.repeat_interleave(counts.cumsum(0) - counts, counts)
        first = torch.repeat_interleave(n_pieces.cumsum(0) - n_pieces, counts)
        piece, place = torch.empty_like(order), torch.empty_like(order)
        piece[order], place[order] = first + rank // LENGTH, rank % LENGTH
        number = torch.repeat_interleave(torch.arange(len(present)), n_pieces)
        before = (n_pieces.cumsum(0) - n_pieces)[number]
        lengths = (counts[number] - LENGTH * (torch.arange(len(number)) - before)).clamp_max(LENGTH)
        ends = [0, *torch.tensor([len(each) for each in groups]).cumsum(0).tolist()]
        cuts = list(pairwise(ends))
        return cls(
            [piece[begin:end] for begin, end in cuts],
            [place[begin:end] for begin, end in cuts],
            lengths,
            present[number],
        )


class Turned:
    """Shifted activations of all units of a model, layer after layer, piece after piece."""

    def __init__(self, units: int, positions: int, groups: int, device: torch.device) -> None:
        """Room for so many positions, of so many groups at most."""
        self._units = units
        self._values = torch.empty(units * filled_up(positions, groups), device=device)
        self.layout = Layout.of([torch.zeros(0, dtype=torch.int64)])

    def begin(self, layout: Layout) -> None:
        """Makes room for another block; what there is, is written over."""
        self.layout = layout
        for whole, length in zip(self.whole_parts(), layout.lengths.tolist(), strict=True):
            whole[:, length:] = 0

    def add(
        self,
        values: Float[Tensor, "token neuron"],
        rows: Int[Tensor, " member"],
        shift: Float[Tensor, " neuron"],
        *,
        first_unit: int,
        batch: int,
    ) -> None:
        """Takes the counted rows of a layer in one of the block's batches."""
        piece, place = self.layout.pieces[batch], self.layout.places[batch]
        stride = self.layout.strides[piece]
        begin = self.layout.starts[piece] * self._units + first_unit * stride + place
        if values.device.type == "cpu":
            turn(
                values.numpy(),
                rows.numpy(),
                shift.numpy(),
                begin.numpy(),
                stride.numpy(),
                self._values.numpy(),
            )
        else:
            self.add_tensors(values[rows.to(values.device)] - shift, begin, stride)

    def add_tensors(
        self,
        shifted: Float[Tensor, "member neuron"],
        begin: Int[Tensor, " member"],
        stride: Int[Tensor, " member"],
    ) -> None:
        """The same on any device: neuron j of a member goes j strides beyond its beginning."""
        device = shifted.device
        neuron = torch.arange(shifted.shape[1], device=device)
        self._values[begin.to(device)[:, None] + neuron * stride.to(device)[:, None]] = shifted

    @property
    def values(self) -> Float[Tensor, " value"]:
        """Of all pieces, end to end, with the zeros that fill them up."""
        return self._values[: self._units * int(self.layout.strides.sum())]

    def parts(self) -> Iterator[Float[Tensor, "unit _"]]:
        """Piece by piece."""
        for whole, length in zip(self.whole_parts(), self.layout.lengths.tolist(), strict=True):
            yield whole[:, :length]

    def joined(
        self, units: slice | Int[Tensor, " unit"], pieces: int
    ) -> Iterator[Float[Tensor, "unit _"]]:
        """Some of the units, so many pieces at a time side by side."""
        parts = (part[units] for part in self.parts())
        while some := list(islice(parts, pieces)):
            yield torch.cat(some, dim=1)

    def whole_parts(self) -> Iterator[Float[Tensor, "unit _"]]:
        """With the zeros that fill them up."""
        strides = self.layout.strides.tolist()
        parts = self.values.split([self._units * stride for stride in strides])
        return (part.view(self._units, -1) for part in parts)


def filled_up(positions: int, groups: int) -> int:
    """Places of one unit, at most, for so many positions of so many groups."""
    return positions + min(positions, positions // LENGTH + groups) * (VECTORS - 1)
