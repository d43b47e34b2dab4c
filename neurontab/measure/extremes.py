"""Per neuron: the contexts in which it is highest and lowest, at most one a document.

A pass compares every activation with the lowest that is kept, and only what is better is looked
at again; a context is copied when it is kept, so no second pass is needed.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from neurontab.loops.extremes import AROUND as BESIDE
from neurontab.loops.extremes import KEPT, NOWHERE, WINDOW, add_extremes, merge_extremes
from neurontab.measure.accumulator import Accumulator
from neurontab.measure.columns import Columns
from neurontab.measure.stream import Batch

AROUND = torch.arange(WINDOW) - BESIDE  # positions of a window


class Extremes(Accumulator):
    """The strongest contexts of one layer's neurons; `sign` 1 for the highest, -1 for the lowest.

    Kept is what comes first by value and, among equals, by place; so any split keeps the same.
    Tensors are [neuron, kept], `around` with the activations of the window besides.
    """

    FIXED: ClassVar[tuple[str, ...]] = ("sign",)
    RANKED: ClassVar[tuple[str, ...]] = ("value", "place", "document", "around")

    def __init__(self, neurons: int, sign: int) -> None:
        self.sign = torch.tensor(sign)
        self.value = torch.full((neurons, KEPT), -torch.inf)  # times sign
        self.place = torch.full((neurons, KEPT), NOWHERE)
        self.document = torch.full((neurons, KEPT), -1, dtype=torch.int32)
        self.around = torch.full((neurons, KEPT, WINDOW), torch.nan)

    def add(self, values: Float[Tensor, "token neuron"], batch: Batch) -> None:
        """Looks at some more sequences, whole ones."""
        if values.device.type == "cpu":
            add_extremes(
                values.numpy(),
                batch.counted_rows.numpy(),
                batch.documents.ravel().numpy(),
                batch.first_place,
                batch.tokens.shape[1],
                int(self.sign),
                *self._ranked(),
            )
        else:
            self.add_tensors(values, batch)

    def add_tensors(self, values: Float[Tensor, "token neuron"], batch: Batch) -> None:
        """The same on any device: what comes first in each document, then of these what is kept.

        Only windows of what may be kept are fetched.
        """
        if not batch.n_counted:
            return
        found = _first_of_documents(self.sign.to(values.device) * values, batch)
        least = self.value.amin(dim=1).to(values.device)
        neurons = (found.value[0] >= least).nonzero()[:, 0]
        if not len(neurons):
            return
        value, row, document = (
            each[:, neurons] for each in (found.value, found.row, found.document)
        )
        near = row[:, :, None] + AROUND.to(row.device)
        context = batch.tokens.shape[1]
        inside = (near // context == (row // context)[:, :, None]) & (value > -torch.inf)[
            :, :, None
        ]
        around = values[near.clamp(0, len(values) - 1), neurons[None, :, None]]
        around = torch.where(inside, around, torch.nan)
        offered = Extremes(len(neurons), int(self.sign))
        n = len(value)
        offered.value[:, :n] = value.T.cpu()
        seen = offered.value[:, :n] > -torch.inf
        offered.place[:, :n] = torch.where(seen, row.T.cpu() + batch.first_place, NOWHERE)
        offered.document[:, :n] = document.T.cpu()
        offered.around[:, :n] = around.transpose(0, 1).cpu()
        here = neurons.cpu()
        kept = Extremes.load(
            {"sign": self.sign} | {name: getattr(self, name)[here] for name in self.RANKED}
        )
        kept.merge(offered)
        for name in self.RANKED:
            getattr(self, name)[here] = getattr(kept, name)

    def merge_ranked(self, other: Accumulator) -> None:
        """Keeps the best of both."""
        assert isinstance(other, Extremes)
        merge_extremes(*self._ranked(), *other._ranked())

    def result(self) -> Columns:
        """Neuron, rank, value, place and document of every kept context, and what is around it."""
        by_place = self.place.argsort(dim=1)
        by_value = self.value.gather(1, by_place).argsort(dim=1, descending=True, stable=True)
        order = by_place.gather(1, by_value)
        neuron, rank = (self.place.gather(1, order) < NOWHERE).nonzero(as_tuple=True)
        kept = order[neuron, rank]
        return {
            "neuron": neuron.int().numpy(),
            "rank": (rank + 1).int().numpy(),
            "value": (self.sign * self.value[neuron, kept]).numpy(),
            "place": self.place[neuron, kept].numpy(),
            "document": self.document[neuron, kept].numpy(),
            "activations": np.ma.masked_invalid(self.around[neuron, kept].numpy()),
        }

    def _ranked(self) -> list[npt.NDArray[Any]]:
        return [getattr(self, name).numpy() for name in self.RANKED]


@dataclass(frozen=True)
class _Found:
    """Of each neuron the documents that come first, best first; -inf where there are no more."""

    value: Float[Tensor, "kept neuron"]
    row: Int[Tensor, "kept neuron"]
    document: Int[Tensor, "kept neuron"]


def _first_of_documents(signed: Float[Tensor, "token neuron"], batch: Batch) -> _Found:
    """The highest value of each document, of equals the earliest; then the best documents."""
    rows = batch.counted_rows.to(signed.device)
    documents, of_row = batch.documents.ravel().to(signed.device)[rows].unique(return_inverse=True)
    seen, of_row = signed[rows], of_row[:, None].expand(-1, signed.shape[1])
    shape = len(documents), signed.shape[1]
    highest = torch.full(shape, -torch.inf, device=signed.device)
    highest.scatter_reduce_(0, of_row, seen, "amax")
    place = torch.where(seen == highest.gather(0, of_row), rows[:, None], len(signed))
    row = torch.full(shape, len(signed), device=signed.device)
    row.scatter_reduce_(0, of_row, place, "amin")
    order = row.argsort(dim=0)
    best = highest.gather(0, order).argsort(dim=0, descending=True, stable=True)[:KEPT]
    order = order.gather(0, best)
    return _Found(highest.gather(0, order), row.gather(0, order), documents[order])
