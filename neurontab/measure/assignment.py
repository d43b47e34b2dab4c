"""The one-to-one pairing of two models' neurons that correlates most in total."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

ALONE = 2.0  # what leaving a neuron alone costs; a pair costs two of these less its correlation

Indices = npt.NDArray[np.int64]


class Paired(NamedTuple):
    """Pairs of a row and a column, by row."""

    row: Indices
    column: Indices
    corr: npt.NDArray[np.float64]


def assign(
    row: Indices, column: Indices, corr: npt.NDArray[np.float64], shape: tuple[int, int]
) -> Paired:
    """The pairs with the highest sum of `corr` in which every row and column occurs at most once.

    Only the given pairs are possible, and of those the ones above 0. Solved exactly on the sparse
    graph (Jonker and Volgenant 1987), to which every row and every column has an edge of its own
    for staying alone.
    """
    possible = corr > 0
    pairs, first = np.unique(
        np.stack([row[possible], column[possible]], axis=1), axis=0, return_index=True
    )
    gain = corr[possible][first]
    rows, columns = shape
    both = rows + columns
    # Row i stands alone with column columns + i, column j with row rows + j. Where i and j are
    # paired, those two are, at the cost of one.
    one, other = np.arange(rows), np.arange(columns)
    begin = np.concatenate([pairs[:, 0], one, rows + other, rows + pairs[:, 1]])
    end = np.concatenate([pairs[:, 1], columns + one, other, columns + pairs[:, 0]])
    cost = np.concatenate([ALONE - gain, np.full(both + len(pairs), ALONE)])
    left, right = min_weight_full_bipartite_matching(
        csr_array((cost, (begin, end)), shape=(both, both))
    )
    paired = (left < rows) & (right < columns)
    left, right = left[paired].astype(np.int64), right[paired].astype(np.int64)
    found = csr_array((gain, (pairs[:, 0], pairs[:, 1])), shape=shape)
    return Paired(left, right, found[left, right])
