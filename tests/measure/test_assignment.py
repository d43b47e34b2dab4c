"""One-to-one pairs against every permutation, and against the dense solution."""

from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from neurontab.measure.assignment import assign


def assigned(corr: np.ndarray, possible: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns that are paired, of a matrix of which some entries are possible."""
    row, column = possible.nonzero()
    chosen = assign(row, column, corr[row, column], corr.shape)
    return row[chosen], column[chosen]


@pytest.mark.parametrize("seed", range(20))
def test_no_permutation_does_better(seed: int) -> None:
    random = np.random.default_rng(seed)
    corr = random.uniform(-0.5, 1, (5, 6))
    possible = random.random((5, 6)) < 0.6
    worth = np.where(possible, corr.clip(0), 0.0)
    best = max(worth[range(5), order].sum() for order in permutations(range(6), 5))
    row, column = assigned(corr, possible)
    assert corr[row, column].sum() == pytest.approx(best)
    assert (corr[row, column] > 0).all()
    assert row.tolist() == sorted(set(row.tolist()))
    assert len(set(column.tolist())) == len(column)


def test_a_sparse_graph_has_the_dense_solution() -> None:
    random = np.random.default_rng(0)
    corr = random.random((300, 250))
    possible = random.random((300, 250)) < 0.05
    worth = np.where(possible, corr, 0.0)
    best = worth[linear_sum_assignment(worth, maximize=True)].sum()
    assert corr[assigned(corr, possible)].sum() == pytest.approx(best)


def test_a_pair_given_from_both_sides_counts_once() -> None:
    found = assign(np.array([1, 0, 0]), np.array([0, 1, 1]), np.array([0.2, 0.5, 0.5]), (2, 2))
    assert found.tolist() == [1, 0]


def test_where_nothing_is_possible_nothing_is_paired() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    negative = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64), np.array([-0.3])
    for row, column, corr in ((nothing, nothing, np.zeros(0)), negative):
        assert assign(row, column, corr, (3, 2)).tolist() == []
