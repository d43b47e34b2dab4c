"""A block of activations, turned for products of few pairs: many positions of a neuron together.

Positions are in pieces, each of one group of documents; pieces lie end to end, each [unit,
position].
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

from neurontab import loops

LENGTH = 256  # positions of a piece at most: all neurons' of a small model fit a core's cache


@dataclass(frozen=True)
class Layout:
    """Where the counted positions of a block's batches go: in which piece, at which place."""

    pieces: list[Int[Tensor, " _"]]  # of each batch
    places: list[Int[Tensor, " _"]]
    lengths: Int[Tensor, " piece"]
    groups: Int[Tensor, " piece"]

    @property
    def starts(self) -> Int[Tensor, " piece"]:
        """Positions before each piece."""
        return self.lengths.cumsum(0) - self.lengths

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

    def __init__(self, units: int, positions: int, device: torch.device) -> None:
        """Room for so many positions."""
        self._units = units
        self._values = torch.empty(units * positions, device=device)
        self.layout = Layout.of([torch.zeros(0, dtype=torch.int64)])

    def begin(self, layout: Layout) -> None:
        """Makes room for another block; what there is, is written over."""
        self.layout = layout

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
        length = self.layout.lengths[piece]
        begin = self.layout.starts[piece] * self._units + first_unit * length + place
        if values.device.type == "cpu":
            loops.turn(
                values.numpy(),
                rows.numpy(),
                shift.numpy(),
                begin.numpy(),
                length.numpy(),
                self._values.numpy(),
            )
        else:
            self.add_tensors(values[rows.to(values.device)] - shift, begin, length)

    def add_tensors(
        self,
        shifted: Float[Tensor, "member neuron"],
        begin: Int[Tensor, " member"],
        length: Int[Tensor, " member"],
    ) -> None:
        """The same on any device: neuron j of a member goes j lengths beyond its beginning."""
        device = shifted.device
        neuron = torch.arange(shifted.shape[1], device=device)
        self._values[begin.to(device)[:, None] + neuron * length.to(device)[:, None]] = shifted

    @property
    def values(self) -> Float[Tensor, " value"]:
        """Of all pieces, end to end."""
        return self._values[: self._units * self.layout.n]

    def parts(self) -> Iterator[Float[Tensor, "unit _"]]:
        """Piece by piece."""
        lengths = self.layout.lengths.tolist()
        for part, length in zip(
            self.values.split([self._units * each for each in lengths]), lengths, strict=True
        ):
            yield part.view(self._units, length)
