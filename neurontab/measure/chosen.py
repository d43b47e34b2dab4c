"""Activations of all neurons at a few chosen places."""

from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from neurontab.measure.accumulator import Accumulator, Join


class Chosen(Accumulator):
    """Activations of one layer's neurons at given places of the corpus [place, neuron].

    Places count all positions of all sequences; what has not been seen yet is NaN.
    """

    FIXED: ClassVar[tuple[str, ...]] = ("places",)
    JOINED: ClassVar[dict[str, Join]] = {"values": torch.fmax}

    def __init__(self, places: Int[Tensor, " place"], neurons: int) -> None:
        self.places = places.clone()  # rising
        self.values = torch.full((len(places), neurons), torch.nan)

    def add(self, values: Float[Tensor, "token neuron"], first_place: int) -> None:
        """Takes what it wants from some more positions, the first of which is `first_place`."""
        ends = torch.tensor([first_place, first_place + len(values)])
        begin, end = torch.searchsorted(self.places, ends).tolist()
        rows = self.places[begin:end] - first_place
        self.values[begin:end] = values[rows.to(values.device)].cpu()
