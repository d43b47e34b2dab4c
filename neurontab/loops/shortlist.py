"""The few columns of every row that may be its highest."""

import numpy as np
import numpy.typing as npt
from numba import njit, prange

LINE = 16  # values in one line of the cache


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
