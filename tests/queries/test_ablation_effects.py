"""What ablated neurons do: sums by group of documents in, ratios and their errors out."""

import numpy as np
import polars as pl
import pytest

from neurontab.tables.query import discover
from neurontab.tables.schemas import MEASURED

QUERY = discover()["ablation_effects"]
GROUPS = 40
RANDOM = np.random.default_rng(0)


def sums(n: np.ndarray, control: np.ndarray, **found: np.ndarray) -> pl.LazyFrame:
    """Rows of `ablations` from positions [group] and sums [neuron, group]; the rest are 0."""
    neurons = len(control)
    columns: dict[str, np.ndarray] = {
        name: np.zeros((neurons, len(n))) for name in MEASURED["ablations"].schema
    }
    columns |= found
    columns |= {
        "neuron": np.repeat(np.arange(neurons), len(n)).reshape(neurons, -1),
        "document_group": np.tile(np.arange(len(n)), (neurons, 1)),
        "is_control": np.repeat(control, len(n)).reshape(neurons, -1),
        "n": np.tile(n, (neurons, 1)),
    }
    frame = pl.DataFrame({name: each.ravel() for name, each in columns.items()})
    frame = frame.with_columns(model=pl.lit("a"))
    return frame.select(
        pl.col(name).cast(dtype) for name, dtype in MEASURED["ablations"].schema.items()
    ).lazy()


def effects(frame: pl.LazyFrame) -> pl.DataFrame:
    """The query, checked and in order."""
    return QUERY.table.conform(QUERY({"ablations": frame}).collect()).sort("neuron")


def test_ratios_are_of_all_documents_together() -> None:
    n = RANDOM.integers(1, 90, GROUPS)
    loss, fixed = RANDOM.random((2, 3, GROUPS)) * n
    found = effects(
        sums(n, np.array([False, True, True]), loss_abs=loss, norm_fixed_loss_abs=fixed)
    )
    assert found["n"].to_list() == [n.sum()] * 3
    assert found["loss_change_abs"].to_numpy() == pytest.approx(loss.sum(axis=1) / n.sum())
    share = 1 - fixed.sum(axis=1) / loss.sum(axis=1)
    assert found["norm_share"].to_numpy() == pytest.approx(share, rel=1e-5)
    assert found["norm_entropy_share"].null_count() == 3  # of no change at all


def test_an_error_is_how_far_the_ratio_lies_from_itself_in_other_documents() -> None:
    """Four hundred texts, the documents of which differ among themselves."""
    n = RANDOM.integers(50, 150, (400, GROUPS))
    level = RANDOM.gamma(4, 0.25, (400, GROUPS))
    loss = level * n
    fixed = (0.3 + 0.1 * RANDOM.standard_normal((400, GROUPS))) * loss
    means, shares = [], []
    for row in range(400):
        found = effects(
            sums(
                n[row],
                np.array([False]),
                loss_abs=loss[row, None],
                norm_fixed_loss_abs=fixed[row, None],
            )
        ).row(0, named=True)
        means.append((found["loss_change_abs"], found["loss_change_abs_se"]))
        shares.append((found["norm_share"], found["norm_share_se"]))
    for values in (np.array(means), np.array(shares)):
        assert values[:, 1].mean() == pytest.approx(values[:, 0].std(), rel=0.1)
    assert np.array(shares)[:, 0].mean() == pytest.approx(0.7, abs=0.01)


def test_one_group_of_documents_has_no_error() -> None:
    found = effects(sums(np.array([10]), np.array([False]), loss_abs=np.array([[3.0]])))
    assert found["loss_change_abs"].item() == pytest.approx(0.3)
    assert found["loss_change_abs_se"].null_count() == 1


def test_a_neuron_stands_among_the_random_others() -> None:
    entropy = np.array([[3.0], [5.0], [0.5], [1.0], [2.0], [4.0]])
    control = np.array([False, False, False, True, True, True])
    found = effects(sums(np.array([10]), control, entropy_abs=entropy))
    expected = [2 / 3, 1, 0, 0, 1 / 3, 2 / 3]
    assert found["entropy_percentile"].to_list() == pytest.approx(expected)


def test_equals_are_not_lower_and_without_others_nothing_is_known() -> None:
    control = np.array([True, True, False, True, False])
    equal = np.ones((5, 1))
    found = effects(sums(np.array([10]), control, entropy_abs=equal))
    assert found["entropy_percentile"].to_list() == [0.0] * 5
    alone = effects(sums(np.array([10]), np.array([False]), entropy_abs=np.ones((1, 1))))
    assert alone["entropy_percentile"].to_list() == [None]


def test_without_ablations_nothing_is_known() -> None:
    assert effects(sums(np.array([], dtype=int), np.array([False]))).is_empty()
