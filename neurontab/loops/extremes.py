"""The highest activations of every neuron, each with what is around it."""

import numpy as np
import numpy.typing as npt
from numba import njit, prange

NEAR = 64  # neurons whose sums stay in a core's nearest cache
KEPT = 20  # contexts of a neuron and side
AROUND = 16  # positions before and after that are shown
WINDOW = 2 * AROUND + 1
NOWHERE = np.iinfo(np.int64).max


@njit(parallel=True, cache=True, nogil=True)
def add_extremes(
    values: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
    documents: npt.NDArray[np.int32],
    first_place: int,
    context: int,
    sign: int,
    value: npt.NDArray[np.float32],
    place: npt.NDArray[np.int64],
    document: npt.NDArray[np.int32],
    around: npt.NDArray[np.float32],
) -> None:
    """Compares every activation with the least that is kept, and looks again at what is better.

    What is kept is [neuron, kept], `around` [neuron, kept, offset]; a sequence has `context` rows.
    """
    neurons = values.shape[1]
    factor = np.float32(sign)
    for chunk in prange((neurons + NEAR - 1) // NEAR):
        begin, end = chunk * NEAR, min(neurons, (chunk + 1) * NEAR)
        width = end - begin
        least, latest = np.empty(NEAR, np.float32), np.empty(NEAR, np.int64)
        for j in range(width):
            worst = _worst(value[begin + j], place[begin + j])
            least[j], latest[j] = value[begin + j, worst], place[begin + j, worst]
        for row in rows:
            here, seen = first_place + row, values[row, begin:end]
            better = 0
            for j in range(width):
                found = factor * seen[j]
                better += (found > least[j]) | ((found == least[j]) & (here < latest[j]))
            if better == 0:
                continue
            for j in range(width):
                found = factor * seen[j]
                if found < least[j] or (found == least[j] and here > latest[j]):
                    continue
                neuron = begin + j
                slot = _slot(
                    value[neuron], place[neuron], document[neuron], found, here, documents[row]
                )
                if slot < 0:
                    continue
                value[neuron, slot], place[neuron, slot] = found, here
                document[neuron, slot] = documents[row]
                start = row - row % context
                for offset in range(WINDOW):
                    near = row - AROUND + offset
                    inside = start <= near < start + context
                    around[neuron, slot, offset] = values[near, neuron] if inside else np.nan
                worst = _worst(value[neuron], place[neuron])
                least[j], latest[j] = value[neuron, worst], place[neuron, worst]


@njit(parallel=True, cache=True, nogil=True)
def merge_extremes(
    value: npt.NDArray[np.float32],
    place: npt.NDArray[np.int64],
    document: npt.NDArray[np.int32],
    around: npt.NDArray[np.float32],
    other_value: npt.NDArray[np.float32],
    other_place: npt.NDArray[np.int64],
    other_document: npt.NDArray[np.int32],
    other_around: npt.NDArray[np.float32],
) -> None:
    """Offers every context of the other to those that are kept; arrays as in `add_extremes`."""
    for neuron in prange(len(value)):
        for other in range(KEPT):
            if other_place[neuron, other] == NOWHERE:
                continue
            slot = _slot(
                value[neuron],
                place[neuron],
                document[neuron],
                other_value[neuron, other],
                other_place[neuron, other],
                other_document[neuron, other],
            )
            if slot >= 0:
                value[neuron, slot] = other_value[neuron, other]
                place[neuron, slot] = other_place[neuron, other]
                document[neuron, slot] = other_document[neuron, other]
                for offset in range(WINDOW):
                    around[neuron, slot, offset] = other_around[neuron, other, offset]


@njit(cache=True)
def _slot(
    value: npt.NDArray[np.float32],
    place: npt.NDArray[np.int64],
    document: npt.NDArray[np.int32],
    found: float,
    here: int,
    of_document: int,
) -> int:
    """Where a context is to be kept: for its document's own, else for the worst; -1 for nowhere."""
    slot = _worst(value, place)
    for kept in range(KEPT):
        if document[kept] == of_document:
            slot = kept
    better = found > value[slot] or (found == value[slot] and here < place[slot])
    return slot if better else -1


@njit(cache=True)
def _worst(value: npt.NDArray[np.float32], place: npt.NDArray[np.int64]) -> int:
    """The kept context that goes first: the lowest, and among equals the latest."""
    worst = 0
    for kept in range(1, KEPT):
        if value[kept] < value[worst] or (
            value[kept] == value[worst] and place[kept] > place[worst]
        ):
            worst = kept
    return worst
