"""Per neuron: counts, power sums and a histogram of its activation."""

from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from neurontab.loops.moments import add_moments
from neurontab.measure.accumulator import Accumulator, Join
from neurontab.measure.columns import Columns
from neurontab.measure.pairs import inverse_root
from neurontab.measure.stream import Range

BINS = 48
MARGIN = 0.25  # of the range of the first tokens, by which a histogram reaches beyond them
ROUNDING = 1e-6  # keeps the bins of a constant neuron apart in float32


class Moments(Accumulator):
    """Power sums and histogram of activations, for the neurons of one layer and site.

    Sums [power, neuron] are of deviations from a fixed shift, in float64, so that any split of the
    same tokens gives the same moments to 1e-6. Bins, whose counts are [neuron, bin], are equal
    between `lower` and `upper`, which the first tokens suggest; the outer bins take in what lies
    beyond.
    """

    FIXED: ClassVar[tuple[str, ...]] = ("shift", "lower", "upper")
    JOINED: ClassVar[dict[str, Join]] = {
        "n": torch.add,
        "sums": torch.add,
        "positive": torch.add,
        "counts": torch.add,
        "lowest": torch.minimum,
        "highest": torch.maximum,
    }

    def __init__(self, first: Range) -> None:
        """Nothing counted yet; shift and bins fit the first tokens."""
        room = MARGIN * (first.high - first.low)
        room += ROUNDING * (1 + first.low.abs() + first.high.abs())
        neurons, device = len(first.mean), first.mean.device
        self.shift = first.mean
        self.lower, self.upper = first.low - room, first.high + room
        self.n = torch.zeros((), dtype=torch.int64)
        self.sums = torch.zeros(4, neurons, dtype=torch.float64, device=device)
        self.positive = torch.zeros(neurons, dtype=torch.int64, device=device)
        self.counts = torch.zeros(neurons, BINS, dtype=torch.int64, device=device)
        self.lowest = torch.full((neurons,), torch.inf, device=device)
        self.highest = torch.full((neurons,), -torch.inf, device=device)

    def add(self, values: Float[Tensor, "token neuron"], rows: Int[Tensor, " member"]) -> None:
        """Counts some of these rows."""
        self.n += len(rows)
        if values.device.type == "cpu":
            add_moments(
                values.numpy(),
                rows.numpy(),
                self.shift.numpy(),
                self.lower.numpy(),
                self._scale.numpy(),
                self.sums.numpy(),
                self.positive.numpy(),
                self.counts.numpy(),
                self.lowest.numpy(),
                self.highest.numpy(),
            )
        else:
            self.add_tensors(values[rows.to(values.device)])

    def add_tensors(self, values: Float[Tensor, "token neuron"]) -> None:
        """The same as loops do, for all rows, on any device."""
        deviation = values.double() - self.shift
        for power in range(4):
            self.sums[power] += (deviation ** (power + 1)).sum(dim=0)
        self.positive += (values > 0).sum(dim=0)
        self.lowest = torch.minimum(self.lowest, values.amin(dim=0))
        self.highest = torch.maximum(self.highest, values.amax(dim=0))
        place = ((values - self.lower) * self._scale).clamp(0, BINS - 1).long()
        self.counts.scatter_add_(1, place.T, torch.ones_like(place.T))

    @property
    def _scale(self) -> Float[Tensor, " neuron"]:
        """Bins a unit of activation."""
        return BINS / (self.upper - self.lower)

    @property
    def shifted_mean(self) -> Float[Tensor, " neuron"]:
        """Mean of value minus shift, in float64."""
        return self.sums[0] / self.n

    @property
    def variance(self) -> Float[Tensor, " neuron"]:
        """Population variance, in float64."""
        return (self.sums[1] / self.n - self.shifted_mean**2).clamp_min(0)

    def standing_of(self, value: Float[Tensor, " neuron"], name: str) -> Columns:
        """A value of every neuron, and its distance from the mean in standard deviations."""
        deviation = value.double() - self.shift.double() - self.shifted_mean
        score = (deviation * inverse_root(self.variance)).cpu().numpy()
        return {
            f"{name}_activation": value.double().cpu().numpy(),
            f"{name}_z": np.ma.masked_where(self.variance.cpu().numpy() == 0, score),
        }

    def result(self) -> Columns:
        """The columns of table `activation_moments` but those about BOS."""
        first = self.shifted_mean
        second, third, fourth = self.sums[1:] / self.n
        central = {
            "m2": second - first**2,
            "m3": third - 3 * first * second + 2 * first**3,
            "m4": fourth - 4 * first * third + 6 * first**2 * second - 3 * first**4,
        }
        columns = {
            "mean": self.shift.double() + first,
            "m2": (central["m2"] * self.n).clamp_min(0),
            "m3": central["m3"] * self.n,
            "m4": (central["m4"] * self.n).clamp_min(0),
            "n_positive": self.positive,
            "min": self.lowest.double(),
            "max": self.highest.double(),
        }
        n = torch.full_like(self.positive, int(self.n))
        return {name: values.cpu().numpy() for name, values in {"n": n, **columns}.items()}

    def histogram(self) -> Columns:
        """Table `activation_histograms` of a layer and site: the bins that are not empty.

        The outermost reach to the lowest and highest value seen.
        """
        counts = self.counts.cpu().numpy()
        neuron, place = counts.nonzero()
        lower, upper = (each.double().cpu().numpy() for each in (self.lower, self.upper))
        width = (upper - lower) / BINS
        ends = self.lowest.cpu().numpy(), self.highest.cpu().numpy()
        low, high = (
            lower[neuron] + place * width[neuron],
            lower[neuron] + (place + 1) * width[neuron],
        )
        return {
            "neuron": neuron.astype(np.int32),
            "bin": place.astype(np.int32),
            "lower": np.where(place == 0, np.minimum(low, ends[0][neuron]), low),
            "upper": np.where(place == BINS - 1, np.maximum(high, ends[1][neuron]), high),
            "n": counts[neuron, place],
        }
