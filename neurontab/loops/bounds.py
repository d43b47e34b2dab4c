"""What a correlation may be at least and at most."""

import math

import numpy as np
import numpy.typing as npt
from numba import njit, prange

WIDE = 256  # neurons of a row that are gone through at once


@njit(parallel=True, cache=True, nogil=True, error_model="numpy", fastmath={"nsz", "contract"})
def bound(
    products: npt.NDArray[np.float32],
    between: npt.NDArray[np.float32],
    of_row: npt.NDArray[np.float32],
    of_column: npt.NDArray[np.float32],
    buckets: int,
    most: float,
    rounded: float,
    rounding: float,
    allowed: float,
    first_row: int,
    estimate: npt.NDArray[np.float32],
    below: npt.NDArray[np.float32],
    above: npt.NDArray[np.float32],
    sure_below: npt.NDArray[np.float32],
    sure_above: npt.NDArray[np.float32],
) -> None:
    """The estimate and the bounds of every correlation, of its products in every replicate.

    `products` are [replicate, row, column]; what is found is [row, column], as in
    `measure.bounds.Bounds`, and is filled in from `first_row` on. `of_row` and `of_column` are the
    root of a neuron's share within tokens, its length and its sum of fourth powers, [value,
    neuron]. `most` is exp(nats / replicates). A product is wrong by `rounded` and that share of it
    that is `rounding`, a correlation by `allowed`.
    """
    one, two, nothing = np.float32(1), np.float32(2), np.float32(0)
    ends, inverse = np.float32(np.inf), one / np.float32(buckets)
    eight, least_k = np.float32(8 * buckets), two + np.float32(48) * inverse
    cantelli = np.float32(most - 1)
    quadratic = np.float32(most * (1 + 4 * math.sqrt(2 / buckets)) - 1)
    wrong, share, error = np.float32(rounded), np.float32(rounding), np.float32(allowed)
    columns = between.shape[1]
    for row in prange(len(between)):
        size_here, length_here, fourth_here = of_row[0, row], of_row[1, row], of_row[2, row]
        lowest, highest = np.empty(WIDE, np.float32), np.empty(WIDE, np.float32)
        total, far = np.empty(WIDE, np.float32), np.empty(WIDE, np.float32)
        for begin in range(0, columns, WIDE):
            end = min(columns, begin + WIDE)
            width = end - begin
            for j in range(width):
                lowest[j], highest[j], total[j] = ends, -ends, nothing
            for replicate in range(len(products)):
                here = products[replicate, row, begin:end]
                for j in range(width):
                    lowest[j] = min(lowest[j], here[j])
                    highest[j] = max(highest[j], here[j])
                    total[j] += here[j]
            fourth = of_column[2, begin:end]
            for j in range(width):
                k = least_k + eight * (fourth_here * fourth[j])
                half = k / two - one
                beyond = max(k * quadratic - one, nothing)
                w = beyond / (math.sqrt(half * half + beyond) + half)
                far[j] = min(max(w, one), cantelli) * inverse
            length = of_column[1, begin:end]
            for j in range(width):
                both, left = length_here * length[j], one - far[j]
                top = highest[j] + (wrong + share * abs(highest[j]))
                bottom = (wrong + share * abs(lowest[j])) - lowest[j]
                most_here = (top + math.sqrt(max(far[j] * (left + top * top), nothing))) / left
                least_here = (
                    bottom + math.sqrt(max(far[j] * (left + bottom * bottom), nothing))
                ) / left
                mean = total[j] / both
                known = (both > nothing) & (left > nothing)
                highest[j] = min(max(most_here, -one), one) if known else one
                lowest[j] = min(max(least_here, -one), one) if known else one
                total[j] = min(max(mean, -one), one) if both > nothing else nothing
            size, exact = of_column[0, begin:end], between[row, begin:end]
            into = first_row + row
            middle, low, high = estimate[into], below[into], above[into]
            for j in range(width):
                far[j] = size_here * size[j]
                middle[begin + j] = exact[j] + far[j] * total[j]
            for j in range(width):
                low[begin + j] = exact[j] - far[j] * lowest[j] - error
                high[begin + j] = exact[j] + far[j] * highest[j] + error
            low, high = sure_below[into], sure_above[into]
            for j in range(width):
                low[begin + j] = exact[j] - (far[j] + error)
                high[begin + j] = exact[j] + (far[j] + error)
