"""What the bounds of sketches leave open, about as the suite has it, and how that is measured."""

import math
from dataclasses import dataclass

from scipy.special import lambertw

from neurontab.measure.finals import row_bytes
from neurontab.measure.sketch_plan import OVERFLOWN, SketchPlan
from neurontab.measure.sums import SUM_BYTES


@dataclass(frozen=True)
class LeftOpen:
    """Of all rows, each of a neuron with one of the models."""

    listed: float  # pairs of a row that are measured
    longer: float  # share of the rows whose lists are made longer
    whole: float  # share of the rows that are measured with all neurons
    further: int  # passes for these, beside and after the first

    @classmethod
    def of(cls, sketch: SketchPlan, neurons: int, models: int, room: int) -> "LeftOpen":
        """Of a family's sketches; `room` bytes are for the sums of whole rows, or of one at least.

        Few lists that overflow are made longer; of many, and of the longest where there is no room
        for the sums of all, rows are measured whole.
        """
        expected, overflown = sketch.expected(neurons), sketch.overflown(neurons)
        listed = min(expected, float(sketch.chosen))
        few = OVERFLOWN * overflown <= 1
        without_room = _longest(listed / expected)
        whole = min(without_room + (0.0 if few and not without_room else overflown), 1.0)
        row = row_bytes(neurons // models)
        passes = math.ceil(whole * neurons * models * row / max(room, row))
        return cls(listed, overflown if few else 0.0, whole, max(passes - 1, 0))

    @property
    def passes(self) -> int:
        """Over the tokens: sketches, listed pairs, whole rows, and those rows' by document."""
        return 2 + self.further + (self.whole > 0)

    def state_bytes(self, neurons: int) -> int:
        """On disk, of the sums of whole rows, which are kept until all passes are done."""
        return int(SUM_BYTES * self.whole * neurons**2)


def _longest(share: float) -> float:
    """Which share of lists is left out, the longest, where the others hold a share of all pairs.

    For lengths that are distributed exponentially with mean 1: those up to L hold 1 - (1 + L) e^-L.
    """
    return math.exp(1 + lambertw((share - 1) / math.e, -1).real)
