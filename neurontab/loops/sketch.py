"""Rows added to buckets, with signs."""

import numpy as np
import numpy.typing as npt
from numba import njit, prange

WIDE = 256  # neurons of a row that are gone through at once


@njit(parallel=True, cache=True, nogil=True)
def add_sketch(
    values: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
    means: npt.NDArray[np.float32],
    groups: npt.NDArray[np.int64],
    buckets: npt.NDArray[np.int64],
    signs: npt.NDArray[np.float32],
    sums: npt.NDArray[np.float32],
    fourth: npt.NDArray[np.float64],
) -> None:
    """Adds every row less its group's mean, times a sign, to a bucket of every replicate.

    `means` are [group, neuron], `buckets` and `signs` [replicate, member], `sums` [replicate,
    bucket, neuron], and `fourth` are sums of fourth powers [neuron]. One replicate after the other,
    so that its buckets stay in the cache.
    """
    for chunk in prange((values.shape[1] + WIDE - 1) // WIDE):
        begin, end = chunk * WIDE, min(values.shape[1], (chunk + 1) * WIDE)
        within = np.empty((len(rows), end - begin), np.float32)
        powers = np.zeros(end - begin)
        for member in range(len(rows)):
            here, mean = values[rows[member], begin:end], means[groups[member], begin:end]
            left = within[member]
            for j in range(end - begin):
                left[j] = here[j] - mean[j]
            for j in range(end - begin):
                value = np.float64(left[j])
                powers[j] += (value * value) * (value * value)
        for j in range(end - begin):
            fourth[begin + j] += powers[j]
        for replicate in range(len(buckets)):
            for member in range(len(rows)):
                kept = sums[replicate, buckets[replicate, member], begin:end]
                left, sign = within[member], signs[replicate, member]
                for j in range(end - begin):
                    kept[j] += sign * left[j]
