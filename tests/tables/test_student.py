"""Quantiles of Student's t against scipy's."""

import polars as pl
import pytest
from scipy.stats import t

from neurontab.tables.student import quantile


@pytest.mark.parametrize("freedom", [2.0, 2.5, 3.0, 7.3, 12.0, 49.0, 1e6])
def test_quantiles_are_those_of_students_t(freedom: float) -> None:
    found = pl.select(quantile(pl.lit(freedom))).item()
    assert found == pytest.approx(t.ppf(0.975, freedom), rel=0.01)


def test_with_one_degree_the_interval_covers_nearly_what_it_says() -> None:
    found = pl.select(quantile(pl.lit(1.0))).item()
    assert 0.94 < 2 * t.cdf(found, 1) - 1 < 0.95


def test_of_no_spread_at_all_it_is_that_of_a_normal_distribution() -> None:
    assert pl.select(quantile(pl.lit(float("inf")))).item() == pytest.approx(1.95996, abs=1e-5)
