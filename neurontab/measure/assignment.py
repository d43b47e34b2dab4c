"""The one-to-one pairing of two models' neurons that correlates most in total."""

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

ALONE = 2.0  # what leaving a neuron alone costs; a pair costs two of these less its correlation

Indices = npt.NDArray[np.int64]


def assign(
    row: Indices, column: Indices, corr: npt.NDArray[np.float64], shape: tuple[int, int]
) -> Indices:
    """The pairs with the highest sum of `corr` in which every row and column occurs at most once.

    Only the given pairs [pair] are possible, and of those the ones above 0; returns where the
    chosen ones stand among them, by row. Solved exactly on the sparse graph (Jonker and Volgenant
    1987), to which every row and every column has an edge of its own for staying alone.
    """
    rows, columns = shape
    possible = (corr > 0).nonzero()[0]
    number, first = np.unique(row[possible] * columns + column[possible], return_index=True)
    given = possible[first]
    both = rows + columns
    # Row i stands alone with column columns + i, column j with row rows + j. Where i and j are
    # paired, those two are, at the cost of one.
    one, other = np.arange(rows), np.arange(columns)
    begin = np.concatenate([row[given], one, rows + other, rows + column[given]])
    end = np.concatenate([column[given], columns + one, other, columns + row[given]])
    cost = np.concatenate([ALONE - corr[given], np.full(both + len(given), ALONE)])
    left, right = min_weight_full_bipartite_matching(
        csr_array((cost, (begin, end)), shape=(both, both))
    )
    paired = (left < rows) & (right < columns)
    wanted = left[paired].astype(np.int64) * columns + right[paired]
    chosen: Indices = given[np.searchsorted(number, wanted)]
    return chosen
