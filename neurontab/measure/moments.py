"""Per neuron: counts and power sums of its activation."""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from neurontab.measure.columns import Columns
from neurontab.measure.pairs import inverse_root

State = dict[str, Tensor]


class Moments:
    """Power sums of activations about a fixed shift, for the neurons of one layer and site.

    Sums of a batch are float32 about the shift, which keeps their digits, and are folded into
    float64; so any split of the same tokens gives the same moments to 1e-6.
    """

    def __init__(self, shift: Float[Tensor, " neuron"]) -> None:
        self.shift = shift
        self._sums = torch.zeros(4, len(shift), dtype=torch.float64, device=shift.device)
        self._positive = torch.zeros(len(shift), dtype=torch.int64, device=shift.device)
        self._lowest = torch.full_like(shift, torch.inf)
        self._highest = torch.full_like(shift, -torch.inf)
        self.n = 0

    def add(self, values: Float[Tensor, "token neuron"]) -> None:
        """Counts some more tokens."""
        deviation = values - self.shift
        square = deviation * deviation
        for power, term in enumerate((deviation, square, square * deviation, square * square)):
            self._sums[power] += term.sum(dim=0)
        self._positive += (values > 0).sum(dim=0)
        self._lowest = torch.minimum(self._lowest, values.amin(dim=0))
        self._highest = torch.maximum(self._highest, values.amax(dim=0))
        self.n += len(values)

    def merge(self, other: "Moments") -> None:
        """Counts what another with the same shift has counted."""
        assert torch.equal(self.shift, other.shift)
        self._sums += other._sums
        self._positive += other._positive
        self._lowest = torch.minimum(self._lowest, other._lowest)
        self._highest = torch.maximum(self._highest, other._highest)
        self.n += other.n

    def state(self) -> State:
        """Everything that `load` needs to go on."""
        return {
            "shift": self.shift,
            "sums": self._sums,
            "positive": self._positive,
            "lowest": self._lowest,
            "highest": self._highest,
            "n": torch.tensor(self.n),
        }

    @classmethod
    def load(cls, state: State) -> "Moments":
        """The object whose state this is."""
        moments = cls(state["shift"])
        moments._sums = state["sums"].clone()
        moments._positive = state["positive"].clone()
        moments._lowest = state["lowest"].clone()
        moments._highest = state["highest"].clone()
        moments.n = int(state["n"])
        return moments

    @property
    def shifted_mean(self) -> Float[Tensor, " neuron"]:
        """Mean of value minus shift, in float64."""
        return self._sums[0] / self.n

    @property
    def variance(self) -> Float[Tensor, " neuron"]:
        """Population variance, in float64."""
        return (self._sums[1] / self.n - self.shifted_mean**2).clamp_min(0)

    def standing_of(self, value: Float[Tensor, " neuron"], name: str) -> Columns:
        """A value of every neuron, and its distance from the mean in standard deviations."""
        deviation = value.double() - self.shift.double() - self.shifted_mean
        score = (deviation * inverse_root(self.variance)).cpu().numpy()
        return {
            f"{name}_activation": value.double().cpu().numpy(),
            f"{name}_z": np.ma.masked_where(self.variance.cpu().numpy() == 0, score),
        }

    @property
    def overflowed(self) -> Bool[Tensor, " neuron"]:
        """Where a power of a finite activation was beyond float32."""
        return ~torch.isfinite(self._sums).all(dim=0)

    def result(self) -> Columns:
        """The columns of table `activation_moments` but those about BOS."""
        first = self.shifted_mean
        second, third, fourth = self._sums[1:] / self.n
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
            "n_positive": self._positive,
            "min": self._lowest.double(),
            "max": self._highest.double(),
        }
        n = torch.full_like(self._positive, self.n)
        return {name: values.cpu().numpy() for name, values in {"n": n, **columns}.items()}
