"""Sums, highest values and counts of groups of rows."""

import numpy as np
import numpy.typing as npt
from numba import njit, prange

WIDE = 256  # neurons of a row that are gone through at once


@njit(parallel=True, cache=True, nogil=True)
def add_sums(
    values: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64],
    sums: npt.NDArray[np.float64],
) -> None:
    """Adds every row to its group [group, neuron].

    Rows of one group follow each other and stay in the cache.
    """
    for chunk in prange((values.shape[1] + WIDE - 1) // WIDE):
        begin, end = chunk * WIDE, min(values.shape[1], (chunk + 1) * WIDE)
        for member in range(len(rows)):
            here, kept = values[rows[member], begin:end], sums[groups[member], begin:end]
            for j in range(end - begin):
                kept[j] += here[j]


@njit(parallel=True, cache=True, nogil=True)
def add_highest(
    values: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64],
    highest: npt.NDArray[np.float32],
) -> None:
    """Keeps the highest value of every group [group, neuron]."""
    for chunk in prange((values.shape[1] + WIDE - 1) // WIDE):
        begin, end = chunk * WIDE, min(values.shape[1], (chunk + 1) * WIDE)
        for member in range(len(rows)):
            here, kept = values[rows[member], begin:end], highest[groups[member], begin:end]
            for j in range(end - begin):
                kept[j] = max(kept[j], here[j])


@njit(parallel=True, cache=True, nogil=True)
def add_active(
    values: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64],
    active: npt.NDArray[np.int32],
) -> None:
    """Counts the values above 0 of every group [group, neuron]."""
    for chunk in prange((values.shape[1] + WIDE - 1) // WIDE):
        begin, end = chunk * WIDE, min(values.shape[1], (chunk + 1) * WIDE)
        for member in range(len(rows)):
            here, kept = values[rows[member], begin:end], active[groups[member], begin:end]
            for j in range(end - begin):
                kept[j] += np.int32(here[j] > 0)


@njit(parallel=True, cache=True, nogil=True)
def add_labelled(
    values: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
    segments: npt.NDArray[np.int64],
    halves: npt.NDArray[np.int64],
    first: npt.NDArray[np.int64],
    label: npt.NDArray[np.int64],
    shift: npt.NDArray[np.float32],
    sums: npt.NDArray[np.float64],
    squares: npt.NDArray[np.float64],
) -> None:
    """Adds rows less the shift to every label of their segment, squares to the half.

    `sums` are [half, label, neuron], `squares` [half, neuron]. Rows of a segment follow each other;
    it is of the half `halves[segment]`, and its labels are
    `label[first[segment] : first[segment + 1]]`.
    """
    neurons = values.shape[1]
    for chunk in prange((neurons + WIDE - 1) // WIDE):
        begin, end = chunk * WIDE, min(neurons, (chunk + 1) * WIDE)
        width = end - begin
        middle, whole = shift[begin:end], np.zeros(WIDE)
        for member in range(len(rows)):
            segment, here = segments[member], values[rows[member], begin:end]
            half = halves[segment]
            square = squares[half, begin:end]
            for j in range(width):
                left = np.float64(here[j]) - middle[j]
                whole[j] += left
                square[j] += left * left
            if member + 1 < len(rows) and segments[member + 1] == segment:
                continue
            for place in range(first[segment], first[segment + 1]):
                kept = sums[half, label[place], begin:end]
                for j in range(width):
                    kept[j] += whole[j]
            whole[:] = 0.0
