"""Sums of activations where a feature is true: of the current token, the previous or the next.

A feature is true or false of a kind, such as a token, so a batch is first summed by kind, then by
feature.
"""

import hashlib
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from neurontab.loops.groups import add_labelled
from neurontab.measure.accumulator import Accumulator, Join

HALVES = 2  # of the documents: explanations are chosen in the first and held out in the second
NEAR = 16  # tokens next to each other in frequency, among which labels are handed on


@runtime_checkable
class Labels(Protocol):
    """What is true of positions of some kinds; of a position nothing but its kind matters."""

    @property
    def names(self) -> npt.NDArray[np.generic]:
        """Of the labels."""

    @property
    def true(self) -> Bool[Tensor, "label _"]:
        """One row a label, and a last one that is true of everything."""

    @property
    def kinds(self) -> int:
        """How many kinds there are."""

    def labels(self, kinds: Int[Tensor, " segment"]) -> Bool[Tensor, "label segment"]:
        """Whether each kind has each label, and then each label as chance has it."""


@dataclass(frozen=True)
class Features:
    """Which tokens have which features; the last row is true of every token."""

    names: npt.NDArray[np.generic]
    true: Bool[Tensor, "feature token"]
    shuffled: Bool[Tensor, "feature token"]  # of another token that is about as frequent

    @classmethod
    def of(
        cls,
        features: npt.NDArray[np.generic],
        token_ids: npt.NDArray[np.generic],
        counts: Int[Tensor, " token"],
        seed: int,
    ) -> "Features":
        """From the rows of a table: each says that a feature is true of a token."""
        names, number = np.unique(features.astype(str), return_inverse=True)
        true = torch.zeros(len(names) + 1, len(counts), dtype=torch.bool)
        true[torch.from_numpy(number), torch.from_numpy(token_ids.astype(np.int64))] = True
        true[-1] = True
        return cls(names.astype(object), true, true[:, _handed_on(counts, seed)])

    @property
    def kinds(self) -> int:
        """Token ids."""
        return self.true.shape[1]

    @property
    def digest(self) -> str:
        """Identifies them."""
        found = hashlib.sha256("\n".join(map(str, self.names)).encode())
        found.update(np.packbits(self.true.numpy()).tobytes())
        return found.hexdigest()

    def labels(self, kinds: Int[Tensor, " segment"]) -> Bool[Tensor, "label segment"]:
        """Whether each token has each feature, and then each shuffled one."""
        return torch.cat([self.true[:, kinds], self.shuffled[:, kinds]])


@dataclass(frozen=True)
class Labelled:
    """The positions of a batch in segments of one half and kind, and each segment's labels.

    Those of a segment are `label[first[segment] : first[segment + 1]]`.
    """

    rows: Int[Tensor, " member"]
    segments: Int[Tensor, " member"]  # rising
    halves: Int[Tensor, " segment"]
    sizes: Int[Tensor, " segment"]
    first: Int[Tensor, " _"]
    label: Int[Tensor, " _"]

    @classmethod
    def of(
        cls,
        labels: Labels,
        kind: Int[Tensor, " row"],
        half: Int[Tensor, " row"],
    ) -> "Labelled":
        """From the kind that counts for each row, -1 for none, and the half that it is in."""
        key = torch.where(kind >= 0, half * labels.kinds + kind, -1)
        ordered, rows = key.sort(stable=True)
        begin = int((ordered < 0).sum())
        present, segments, sizes = ordered[begin:].unique_consecutive(
            return_inverse=True, return_counts=True
        )
        true = labels.labels(present % labels.kinds).T
        first = torch.nn.functional.pad(true.sum(dim=1).cumsum(0), (1, 0))
        return cls(
            rows[begin:], segments, present // labels.kinds, sizes, first, true.nonzero()[:, 1]
        )

    @property
    def owner(self) -> Int[Tensor, " _"]:
        """The segment of each label."""
        return torch.repeat_interleave(self.first.diff())


class FeatureSums(Accumulator):
    """By half of the documents and label: positions, and sums of x less its shift.

    Of each half also the sums of its squares. `sums` are [half, label, neuron].
    """

    FIXED: ClassVar[tuple[str, ...]] = ("shift",)
    JOINED: ClassVar[dict[str, Join]] = {"n": torch.add, "sums": torch.add, "squares": torch.add}

    def __init__(self, labels: int, shift: Float[Tensor, " neuron"]) -> None:
        self.shift = shift.clone()
        self.n = torch.zeros(HALVES, labels, dtype=torch.int64)
        self.sums = torch.zeros(
            HALVES, labels, len(shift), dtype=torch.float64, device=shift.device
        )
        self.squares = torch.zeros_like(self.sums[:, 0])

    def add(self, values: Float[Tensor, "token neuron"], labelled: Labelled) -> None:
        """Counts some more tokens."""
        place = labelled.halves[labelled.owner] * self.n.shape[1] + labelled.label
        self.n.view(-1).index_add_(0, place, labelled.sizes[labelled.owner])
        if values.device.type == "cpu":
            add_labelled(
                values.numpy(),
                labelled.rows.numpy(),
                labelled.segments.numpy(),
                labelled.halves.numpy(),
                labelled.first.numpy(),
                labelled.label.numpy(),
                self.shift.numpy(),
                self.sums.numpy(),
                self.squares.numpy(),
            )
        else:
            self.add_tensors(values[labelled.rows.to(values.device)], labelled)

    def add_tensors(self, values: Float[Tensor, "member neuron"], labelled: Labelled) -> None:
        """Adds the members of segments on any device."""
        device, types = values.device, len(labelled.sizes)
        shifted = values - self.shift
        half = labelled.halves[labelled.segments].to(device)
        self.squares.index_add_(0, half, shifted.double().square())
        by_token = torch.zeros(types, values.shape[1], device=device)
        by_token.index_add_(0, labelled.segments.to(device), shifted)
        true = torch.zeros(HALVES, self.n.shape[1], types)
        true[labelled.halves[labelled.owner], labelled.label, labelled.owner] = 1
        self.sums += (true.to(device) @ by_token).double()

    def result(self) -> Float[Tensor, "half label neuron"]:
        """Sums of x."""
        n = self.n.to(self.sums.device)
        return self.sums + n[:, :, None] * self.shift.double()

    def deviations(self, halves: slice, every: int) -> Float[Tensor, " neuron"]:
        """Sum over some halves of squared deviations from their mean; label `every` is of all."""
        n = self.n[halves, every].sum().clamp_min(1)
        left = self.squares[halves].sum(dim=0)
        return (left - self.sums[halves, every].sum(dim=0).square() / n).clamp_min(0)


def _handed_on(counts: Int[Tensor, " token"], seed: int) -> Int[Tensor, " token"]:
    """For every token of the text another, near it in frequency: whose labels it gets."""
    random = torch.Generator().manual_seed(seed)
    order = counts.argsort(descending=True, stable=True)
    giver = torch.arange(len(counts))
    parts = list(order[: int((counts > 0).sum())].split(NEAR))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    for near in parts:
        circle = near[torch.randperm(len(near), generator=random)]
        giver[circle] = circle.roll(1)
    return giver
