"""One-to-one pairs against every permutation, and against the dense solution."""

from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from neurontab.measure.assignment import Paired, assign


def assigned(corr: np.ndarray, possible: np.ndarray) -> Paired:
    """The pairing of a matrix of which some entries are possible."""
    row, column = possible.nonzero()
    return assign(row, column, corr[row, column], corr.shape)


@pytest.mark.parametrize("seed", range(20))
def test_no_permutation_does_better(seed: int) -> None:
    random = np.random.default_rng(seed)
    corr = random.uniform(-0.5, 1, (5, 6))
    possible = random.random((5, 6)) < 0.6
    worth = np.where(possible, corr.clip(0), 0.0)
    best = max(worth[range(5), order].sum() for order in permutations(range(6), 5))
    found = assigned(corr, possible)
    assert found.corr.sum() == pytest.approx(best)
    assert found.corr == pytest.approx(corr[found.row, found.column])
    assert possible[found.row, found.column].all()
    assert (found.corr > 0).all()
    assert len(set(found.row)) == len(found.row)
    assert len(set(found.column)) == len(found.column)


def test_a_sparse_graph_has_the_dense_solution() -> None:
    random = np.random.default_rng(0)
    corr = random.random((300, 250))
    possible = random.random((300, 250)) < 0.05
    worth = np.where(possible, corr, 0.0)
    best = worth[linear_sum_assignment(worth, maximize=True)].sum()
    assert assigned(corr, possible).corr.sum() == pytest.approx(best)


def test_a_pair_given_from_both_sides_counts_once() -> None:
    found = assign(np.array([0, 0, 1]), np.array([1, 1, 0]), np.array([0.5, 0.5, 0.2]), (2, 2))
    assert list(zip(*found, strict=True)) == [(0, 1, 0.5), (1, 0, 0.2)]


def test_where_nothing_is_possible_nothing_is_paired() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    assert len(assign(nothing, nothing, np.zeros(0), (3, 2)).row) == 0
