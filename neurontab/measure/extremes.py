"""Per neuron: the contexts in which it is highest and lowest, at most one a document.

A pass compares every activation with the lowest that is kept, and only what is better is looked
at again; a context is copied when it is kept, so no second pass is needed.
"""

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from neurontab import loops
from neurontab.measure.accumulator import Accumulator
from neurontab.measure.columns import Columns
from neurontab.measure.stream import Batch


class Extremes(Accumulator):
    """The strongest contexts of one layer's neurons; `sign` 1 for the highest, -1 for the lowest.

    Kept is what comes first by value and, among equals, by place; so any split keeps the same.
    Tensors are [neuron, kept], `around` with the activations of the window besides.
    """

    FIXED: ClassVar[tuple[str, ...]] = ("sign",)
    RANKED: ClassVar[tuple[str, ...]] = ("value", "place", "document", "around")

    def __init__(self, neurons: int, sign: int) -> None:
        self.sign = torch.tensor(sign)
        self.value = torch.full((neurons, loops.KEPT), -torch.inf)  # times sign
        self.place = torch.full((neurons, loops.KEPT), loops.NOWHERE)
        self.document = torch.full((neurons, loops.KEPT), -1, dtype=torch.int32)
        self.around = torch.full((neurons, loops.KEPT, loops.WINDOW), torch.nan)

    def add(self, values: Float[Tensor, "token neuron"], batch: Batch) -> None:
        """Looks at some more sequences, whole ones."""
        loops.add_extremes(
            values.cpu().numpy(),
            batch.counted_rows.numpy(),
            batch.documents.ravel().numpy(),
            batch.first_place,
            batch.tokens.shape[1],
            int(self.sign),
            *self._ranked(),
        )

    def merge(self, other: Accumulator) -> None:
        """Keeps the best of both."""
        assert isinstance(other, Extremes)
        super().merge(other)
        loops.merge_extremes(*self._ranked(), *other._ranked())

    def result(self) -> Columns:
        """Neuron, rank, value, place and document of every kept context, and what is around it."""
        by_place = self.place.argsort(dim=1)
        by_value = self.value.gather(1, by_place).argsort(dim=1, descending=True, stable=True)
        order = by_place.gather(1, by_value)
        neuron, rank = (self.place.gather(1, order) < loops.NOWHERE).nonzero(as_tuple=True)
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
