"""Rows written as columns."""

import numpy as np
import numpy.typing as npt
from numba import njit, prange

LINE = 16  # values in one line of the cache
WIDE = 256  # neurons of a row that are gone through at once


@njit(parallel=True, cache=True, nogil=True)
def turn(
    values: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
    shift: npt.NDArray[np.float32],
    begin: npt.NDArray[np.int64],
    stride: npt.NDArray[np.int64],
    turned: npt.NDArray[np.float32],
) -> None:
    """Writes rows less the shift, neuron j of each so many strides beyond where it begins.

    `begin` and `stride` are of each row, in places of `turned`, which has one axis. Rows that
    follow each other in a piece are written together.
    """
    neurons = values.shape[1]
    for block in prange((len(rows) + LINE - 1) // LINE):
        first, last = block * LINE, min(len(rows), (block + 1) * LINE)
        step, follow = stride[first], last - first == LINE
        for member in range(first + 1, last):
            follow &= begin[member] == begin[first] + member - first
        shifted = np.empty((LINE, WIDE), np.float32)
        for left in range(0, neurons, WIDE):
            right = min(neurons, left + WIDE)
            width = right - left
            for member in range(first, last):
                here, middle = values[rows[member], left:right], shift[left:right]
                into = shifted[member - first]
                for j in range(width):
                    into[j] = here[j] - middle[j]
            if follow:
                for j in range(width):
                    place = begin[first] + (left + j) * step
                    line = turned[place : place + LINE]
                    for at in range(LINE):
                        line[at] = shifted[at, j]
            else:
                for member in range(first, last):
                    place = begin[member] + left * stride[member]
                    for j in range(width):
                        turned[place] = shifted[member - first, j]
                        place += stride[member]
