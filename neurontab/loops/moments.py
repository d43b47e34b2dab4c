"""Power sums, ends and histograms of every neuron."""

import numpy as np
import numpy.typing as npt
from numba import njit, prange

NEAR = 64  # neurons whose sums stay in a core's nearest cache


@njit(parallel=True, cache=True, nogil=True)
def add_moments(
    values: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
    shift: npt.NDArray[np.float32],
    lower: npt.NDArray[np.float32],
    scale: npt.NDArray[np.float32],
    sums: npt.NDArray[np.float64],
    positive: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    lowest: npt.NDArray[np.float32],
    highest: npt.NDArray[np.float32],
) -> None:
    """Power sums two rows at a time, so that they are fetched half as often; ends and histogram.

    `sums` are [power, neuron], `counts` [neuron, bin]; `scale` is bins a unit of activation.
    """
    neurons, bins = counts.shape
    for chunk in prange((neurons + NEAR - 1) // NEAR):
        begin, end = chunk * NEAR, min(neurons, (chunk + 1) * NEAR)
        width = end - begin
        powers = np.zeros((4, NEAR))
        above, place = np.zeros(NEAR, np.int32), np.zeros(NEAR, np.int32)
        least, most = np.full(NEAR, np.inf, np.float32), np.full(NEAR, -np.inf, np.float32)
        found = np.zeros((NEAR, bins), np.int32)
        middle = shift[begin:end].astype(np.float64)
        low, steps, last = lower[begin:end], scale[begin:end], np.float32(bins - 1)
        for pair in range(len(rows) // 2):
            one, two = values[rows[2 * pair], begin:end], values[rows[2 * pair + 1], begin:end]
            for j in range(width):
                first, second = np.float64(one[j]) - middle[j], np.float64(two[j]) - middle[j]
                square, other = first * first, second * second
                powers[0, j] += first + second
                powers[1, j] += square + other
                powers[2, j] += square * first + other * second
                powers[3, j] += square * square + other * other
        if len(rows) % 2:
            here = values[rows[-1], begin:end]
            for j in range(width):
                first = np.float64(here[j]) - middle[j]
                square = first * first
                powers[0, j] += first
                powers[1, j] += square
                powers[2, j] += square * first
                powers[3, j] += square * square
        for row in rows:
            here = values[row, begin:end]
            for j in range(width):
                above[j] += np.int32(here[j] > 0)
                least[j] = min(least[j], here[j])
                most[j] = max(most[j], here[j])
                step = (here[j] - low[j]) * steps[j]
                place[j] = np.int32(min(max(step, np.float32(0)), last))
            for j in range(width):
                found[j, np.uint32(place[j])] += np.int32(1)
        for j in range(width):
            for power in range(4):
                sums[power, begin + j] += powers[power, j]
            positive[begin + j] += above[j]
            lowest[begin + j] = min(lowest[begin + j], least[j])
            highest[begin + j] = max(highest[begin + j], most[j])
            for at in range(bins):
                counts[begin + j, at] += found[j, at]
