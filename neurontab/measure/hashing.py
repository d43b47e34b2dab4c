"""Buckets and signs for every position of a corpus, from hashes of its number: whoever asks, in
whatever order, is told the same.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX = ((30, np.uint64(0xBF58476D1CE4E5B9)), (27, np.uint64(0x94D049BB133111EB)))


@dataclass(frozen=True)
class Hashing:
    """Positions hashed into so many buckets, several times over; another seed hashes anew."""

    replicates: int
    buckets: int
    seed: int

    def bucket_and_sign(
        self, places: Int[Tensor, " position"]
    ) -> tuple[Int[Tensor, "replicate position"], Float[Tensor, "replicate position"]]:
        """Uniform and independent for all practical purposes (splitmix64; Steele et al. 2014)."""
        numbers = np.arange(self.replicates, dtype=np.uint64) + (
            np.uint64(self.seed) << np.uint64(20)
        )
        mixed = _mixed(places.cpu().numpy().astype(np.uint64))
        hashed = _mixed(mixed ^ _mixed(_mixed(numbers))[:, None])  # twice: place is not replicate
        bucket = (hashed >> np.uint64(32)) * np.uint64(self.buckets) >> np.uint64(32)
        sign = 1 - 2 * (hashed & np.uint64(1)).astype(np.float32)
        return torch.from_numpy(bucket.astype(np.int64)), torch.from_numpy(sign)


def _mixed(number: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        number = number * _STEP + _STEP
        for shift, factor in _MIX:
            number = (number ^ (number >> np.uint64(shift))) * factor
    return number ^ (number >> np.uint64(31))
