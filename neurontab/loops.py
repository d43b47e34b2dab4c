"""Loops over activations and correlations on the CPU, compiled: neurons split among the cores.

Arrays are [row, neuron] unless said otherwise, a row being one position of the text; they are
changed in place. What the numbers mean is told by the accumulators in `measure` that call these.
"""

import math

import numpy as np
import numpy.typing as npt
from numba import njit, prange

NEAR = 64  # neurons whose sums stay in a core's nearest cache
WIDE = 256  # neurons of a row of sums by group
LINE = 16  # values in one line of the cache
KEPT = 20  # contexts of a neuron and side
AROUND = 16  # positions before and after that are shown
WINDOW = 2 * AROUND + 1
NOWHERE = np.iinfo(np.int64).max


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


@njit(parallel=True, cache=True, nogil=True)
def shortlist(
    estimate: npt.NDArray[np.float32],
    bound: npt.NDArray[np.float32],
    sure: npt.NDArray[np.float32],
    turned: bool,
    sign: int,
    may_row: npt.NDArray[np.bool_],
    may_column: npt.NDArray[np.bool_],
    own: npt.NDArray[np.int64],
    first_column: int,
    shortfall: float,
    highest: npt.NDArray[np.float32],
    kept_bound: npt.NDArray[np.float32],
    kept_sure: npt.NDArray[np.float32],
    kept_index: npt.NDArray[np.int64],
    n: npt.NDArray[np.int64],
    others: npt.NDArray[np.float32],
    others_sure: npt.NDArray[np.float32],
) -> None:
    """Lists the columns of every row whose bounds reach its last estimate less the shortfall.

    Arrays are [row, column] and [row, kept]; the first three [column, row] where they are `turned`,
    and times a sign. `own` is the column that is the row itself, or -1; the highest estimates are
    in falling order. What no longer reaches is dropped, and where there is no room the lowest
    bounds; `others` are the highest of all that is not listed.
    """
    rows, columns, factor = len(may_row), len(may_column), np.float32(sign)
    for block in prange((rows + LINE - 1) // LINE):
        first, last = block * LINE, min(rows, (block + 1) * LINE)
        here = np.empty(
            (3, LINE, columns + LINE), np.float32
        )  # rows of round lengths evict each other
        if turned:
            for column in range(columns):
                for row in range(first, last):
                    here[0, row - first, column] = factor * estimate[column, row]
                    here[1, row - first, column] = factor * bound[column, row]
                    here[2, row - first, column] = factor * sure[column, row]
        else:
            for row in range(first, last):
                for column in range(columns):
                    here[0, row - first, column] = factor * estimate[row, column]
                    here[1, row - first, column] = factor * bound[row, column]
                    here[2, row - first, column] = factor * sure[row, column]
        for row in range(first, last):
            if may_row[row]:
                n[row], others[row], others_sure[row] = _list(
                    here[:, row - first],
                    may_column,
                    own[row],
                    first_column,
                    np.float32(shortfall),
                    highest[row],
                    kept_bound[row],
                    kept_sure[row],
                    kept_index[row],
                    n[row],
                    others[row],
                    others_sure[row],
                )


@njit(cache=True, fastmath={"nnan", "nsz", "reassoc"})
def _list(
    values: npt.NDArray[np.float32],
    may_column: npt.NDArray[np.bool_],
    own: int,
    first_column: int,
    shortfall: np.float32,
    top: npt.NDArray[np.float32],
    kept_bound: npt.NDArray[np.float32],
    kept_sure: npt.NDArray[np.float32],
    kept_index: npt.NDArray[np.int64],
    n: int,
    others: np.float32,
    others_sure: np.float32,
) -> tuple[int, np.float32, np.float32]:
    """One row of a shortlist: how many are listed then, and the highest of all others."""
    here, above, surely = values
    columns, room, nothing = len(may_column), len(kept_bound), np.float32(-np.inf)
    found = np.empty(columns, np.int64)
    least, count = top[-1], 0
    for column in range(columns):
        found[count] = column
        count += (here[column] > least) & may_column[column] & (column != own)
    for place in range(count):
        _insert(here[found[place]], top)
    bar = top[-1] - shortfall
    if n == room:
        bar = max(bar, _highest(kept_bound, room))
    count = 0
    for column in range(columns):
        found[count] = column
        count += (above[column] >= bar) & may_column[column] & (column != own)
    for column in range(columns):
        left = (above[column] < bar) & may_column[column] & (column != own)
        others = max(others, above[column] if left else nothing)
        others_sure = max(others_sure, surely[column] if left else nothing)
    value, safe = np.empty(n + count, np.float32), np.empty(n + count, np.float32)
    index = np.empty(n + count, np.int64)
    for place in range(n):
        value[place], safe[place] = kept_bound[place], kept_sure[place]
        index[place] = kept_index[place]
    for place in range(count):
        column, at = found[place], n + place
        value[at], safe[at], index[at] = above[column], surely[column], first_column + column
    kept, equals = 0, room
    if len(value) > room:
        bar = max(bar, _highest(value, room))
        equals -= _above(value, bar)
    for place in range(len(value)):
        equals -= value[place] == bar
        if value[place] > bar or (value[place] == bar and equals >= 0):
            kept_bound[kept], kept_sure[kept] = value[place], safe[place]
            kept_index[kept] = index[place]
            kept += 1
        else:
            others, others_sure = max(others, value[place]), max(others_sure, safe[place])
    for place in range(kept, n):
        kept_bound[place], kept_sure[place], kept_index[place] = nothing, nothing, -1
    return kept, others, others_sure


@njit(cache=True)
def _highest(values: npt.NDArray[np.float32], number: int) -> np.float32:
    """The last of so many highest values, halving between one too low and one that is not.

    So values are only counted, many at once. Their differences are finite numbers, too.
    """
    low: np.float32 = values[0]
    high: np.float32 = values[0]
    for value in values:
        low, high = min(low, value), max(high, value)
    if _above(values, low) < number:
        return low
    middle = low + (high - low) / np.float32(2)
    while low < middle < high:
        if _above(values, middle) < number:
            high = middle
        else:
            low = middle
        middle = low + (high - low) / np.float32(2)
    return high


@njit(cache=True)
def _above(values: npt.NDArray[np.float32], bar: np.float32) -> int:
    """How many values are above it."""
    count = np.int32(0)
    for value in values:
        count += np.int32(value > bar)
    return int(count)


@njit(cache=True)
def _insert(value: float, top: npt.NDArray[np.float32]) -> None:
    """Puts a value where it belongs among others in falling order; the last goes."""
    place = len(top) - 1
    if value <= top[place]:
        return
    while place > 0 and top[place - 1] < value:
        top[place] = top[place - 1]
        place -= 1
    top[place] = value
