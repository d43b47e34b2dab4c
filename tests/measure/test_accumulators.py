"""The one contract of all accumulators: any split, order, merge and resume gives one answer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from neurontab.measure.moments import Moments
from neurontab.measure.pairs import PairSums

Answer = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """An accumulator, what it is given, its answer, and the obvious one in float64."""

    new: Callable[[Tensor], Any]
    give: Callable[[Any, Tensor], None]
    answer: Callable[[Any, Tensor], Answer]
    obvious: Callable[[Tensor], Answer]


def shift_of(values: Tensor) -> Tensor:
    """A shift near the mean, as streaming fixes it from the first tokens."""
    return values[:64].mean(dim=0)


def moments_in_float64(values: Tensor) -> Answer:
    """Two passes over everything."""
    exact = values.double().numpy()
    deviation = exact - exact.mean(axis=0)
    return {
        "n": np.full(exact.shape[1], len(exact)),
        "mean": exact.mean(axis=0),
        "m2": (deviation**2).sum(axis=0),
        "m3": (deviation**3).sum(axis=0),
        "m4": (deviation**4).sum(axis=0),
        "n_positive": (exact > 0).sum(axis=0),
        "min": exact.min(axis=0),
        "max": exact.max(axis=0),
    }


def pair_answer(sums: PairSums, values: Tensor) -> Answer:
    """Correlation of the first half of the columns with the second."""
    x, y = (values - shift_of(values)).double().chunk(2, dim=1)
    covariance = sums.result(x.mean(dim=0), y.mean(dim=0))
    spread = torch.outer(x.std(dim=0, correction=0), y.std(dim=0, correction=0))
    return {"corr": (covariance / spread).numpy()}


def correlation_in_float64(values: Tensor) -> Answer:
    """numpy's own correlation."""
    half = values.shape[1] // 2
    return {"corr": np.corrcoef(values.double().numpy().T)[:half, half:]}


CASES = {
    "moments": Case(
        new=lambda values: Moments(shift_of(values)),
        give=lambda moments, batch: moments.add(batch),
        answer=lambda moments, values: moments.result(),
        obvious=moments_in_float64,
    ),
    "pairs": Case(
        new=lambda values: PairSums(3, 3, torch.device("cpu")),
        give=lambda sums, batch: sums.add(*(batch.chunk(2, dim=1))),
        answer=pair_answer,
        obvious=correlation_in_float64,
    ),
}


def drawn_values() -> Tensor:
    """Columns of very different scale, offset and tail [token, 6]."""
    random = torch.Generator().manual_seed(0)
    values = torch.randn(5_000, 6, generator=random)
    values[:, 1] = values[:, 1] * 1e-3 + 7
    values[:, 2] = values[:, 2] * 50 - 800
    values[:, 3] = values[:, 3].exp() ** 2
    values[:, 4] = values[:, 0] * 0.9 + values[:, 4] * 0.1
    values[:, 5] = (torch.rand(5_000, generator=random) < 0.01) * 5.0
    return values


def given(case: Case, values: Tensor) -> Tensor:
    """What the accumulator's batches are cut from."""
    return values - shift_of(values) if case is CASES["pairs"] else values


SPLITS = {
    "one batch": [5_000],
    "even": [1_000] * 5,
    "ragged": [1, 2_999, 7, 1_993],
    "many": [2] * 2_500,
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("how", ["in order", "backwards", "merged", "resumed"])
def test_any_way_through_the_tokens_is_the_one_shot_answer(name: str, split: str, how: str) -> None:
    case, values = CASES[name], drawn_values()
    batches = list(given(case, values).split(SPLITS[split]))
    if how == "backwards":
        batches.reverse()
    accumulated = case.new(values)
    for batch in batches:
        if how == "merged":
            other = case.new(values)
            case.give(other, batch)
            accumulated.merge(other)
        else:
            case.give(accumulated, batch)
        if how == "resumed":
            accumulated = type(accumulated).load(accumulated.state())
    found, expected = case.answer(accumulated, values), case.obvious(values)
    scale: dict[str, Any] = {
        "m3": np.abs(expected.get("m2", 0)) ** 1.5,
        "corr": 1.0,
    }
    for column, exact in expected.items():
        error = np.abs(found[column] - exact) / np.maximum(np.abs(exact), scale.get(column, 1e-30))
        assert error.max() < 1e-6, column


def test_a_state_is_not_changed_by_going_on() -> None:
    values = drawn_values()
    moments = Moments(shift_of(values))
    moments.add(values[:100])
    kept = Moments.load(moments.state())
    moments.add(values[100:])
    assert kept.n == 100
    assert kept.result()["max"].tolist() == values[:100].amax(dim=0).double().tolist()


def test_the_standing_of_a_value_is_its_distance_in_standard_deviations() -> None:
    values = drawn_values()
    moments = Moments(shift_of(values))
    moments.add(values)
    exact = values.double().numpy()
    found = moments.standing_of(values[3], "bos")
    assert found["bos_activation"].tolist() == exact[3].tolist()
    expected = (exact[3] - exact.mean(axis=0)) / exact.std(axis=0)
    assert np.ma.getdata(found["bos_z"]) == pytest.approx(expected, rel=1e-5)


def test_sums_over_many_blocks_lose_nothing_to_a_large_one() -> None:
    """A product of 1e8 and a thousand of 1: float32 would keep the first alone."""
    sums = PairSums(1, 1, torch.device("cpu"))
    sums.add(torch.full((1, 1), 1e4), torch.full((1, 1), 1e4))
    for _ in range(1_000):
        sums.add(torch.ones(1, 1), torch.ones(1, 1))
    zero = torch.zeros(1, dtype=torch.float64)
    assert sums.n * sums.result(zero, zero).item() == pytest.approx(1e8 + 1_000, abs=0.01)
