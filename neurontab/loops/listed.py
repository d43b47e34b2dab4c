"""Inner products of listed pairs of neurons."""

import numpy as np
import numpy.typing as npt
from numba import njit, prange


@njit(parallel=True, cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def add_listed(
    one: npt.NDArray[np.float32],
    other: npt.NDArray[np.float32],
    strides: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64],
    first: npt.NDArray[np.int64],
    column: npt.NDArray[np.int64],
    cuts: npt.NDArray[np.int64],
    sums: npt.NDArray[np.float64],
) -> None:
    """Adds the inner products of neurons of one with listed ones of the other [group, pair].

    The list of neuron i, of those of the other in its nth block, is
    `column[first[i, n] : first[i, n + 1]]`. Pieces [neuron, position], filled up with zeros, lie
    end to end; a block of one stays in the cache. Eight products are added together, so that the
    neuron of one is fetched less often; a last few with the last of them again. Thread t has
    the neurons `cuts[block, t] : cuts[block, t + 1]` of one.
    """
    neurons, others = len(one) // strides.sum(), len(other) // strides.sum()
    start = 0
    for piece in range(len(strides)):
        stride, kept = strides[piece], sums[groups[piece]]
        following = start + stride
        mine = one[start * neurons : following * neurons].reshape(neurons, stride)
        theirs = other[start * others : following * others].reshape(others, stride)
        start = following
        for block in range(len(cuts)):
            for thread in prange(cuts.shape[1] - 1):
                for row in range(cuts[block, thread], cuts[block, thread + 1]):
                    x = mine[row]
                    at, last = first[row, block], first[row, block + 1] - 1
                    while at <= last:
                        a, b = theirs[column[at]], theirs[column[min(at + 1, last)]]
                        c, d = theirs[column[min(at + 2, last)]], theirs[column[min(at + 3, last)]]
                        e, f = theirs[column[min(at + 4, last)]], theirs[column[min(at + 5, last)]]
                        g, h = theirs[column[min(at + 6, last)]], theirs[column[min(at + 7, last)]]
                        to_a, to_b = np.float32(0), np.float32(0)
                        to_c, to_d = np.float32(0), np.float32(0)
                        to_e, to_f = np.float32(0), np.float32(0)
                        to_g, to_h = np.float32(0), np.float32(0)
                        for t in range(stride):
                            to_a += x[t] * a[t]
                            to_b += x[t] * b[t]
                            to_c += x[t] * c[t]
                            to_d += x[t] * d[t]
                            to_e += x[t] * e[t]
                            to_f += x[t] * f[t]
                            to_g += x[t] * g[t]
                            to_h += x[t] * h[t]
                        found = (to_a, to_b, to_c, to_d, to_e, to_f, to_g, to_h)
                        for each in range(min(8, last + 1 - at)):
                            kept[at + each] += found[each]
                        at += 8
