"""Positions, sources, vocabulary and layers: small tables in, what numpy and scipy say out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import chi2, entropy, kurtosis, skew

from neurontab.tables.query import discover
from neurontab.tables.schemas import MEASURED
from neurontab.tables.table import Table

QUERIES = discover()
RANDOM = np.random.default_rng(0)
POSITIONS, EACH = 8, 400
Drawn = Callable[[Table, str], pl.LazyFrame]


def grouped(table: str, key: str, names: list[Any], values: np.ndarray) -> pl.LazyFrame:
    """Rows of a table of groups from activations [neuron, group, member]."""
    rows = [
        {"neuron": neuron, key: name, "n": len(x), "sum": x.sum(), "n_active": int((x > 0).sum())}
        for neuron, each in enumerate(values)
        for name, x in zip(names, each, strict=True)
    ]
    keys = pl.DataFrame(rows).with_columns(model=pl.lit("a"), layer=pl.lit(0))
    return keys.select(pl.col(n).cast(t) for n, t in MEASURED[table].schema.items()).lazy()


def moments(values: np.ndarray) -> pl.LazyFrame:
    """What queries read of `activation_moments`, from activations [neuron, ...]."""
    flat = values.reshape(len(values), -1)
    return pl.LazyFrame(
        {
            "model": "a",
            "layer": 0,
            "neuron": np.arange(len(flat)),
            "site": "post",
            "n": flat.shape[1],
            "m2": ((flat - flat.mean(axis=1, keepdims=True)) ** 2).sum(axis=1),
        },
        {name: MEASURED["activation_moments"].schema[name] for name in (*KEYS, "site", "n", "m2")},
    )


KEYS = ("model", "layer", "neuron")


def epsilon_squared(values: np.ndarray) -> float:
    """1 - mean square within over mean square in all, of [group, member]."""
    groups, members = values.shape
    within = ((values - values.mean(axis=1, keepdims=True)) ** 2).sum() / (groups * (members - 1))
    return float(1 - within / values.var(ddof=1))


def test_what_a_position_tells_is_what_scipy_says() -> None:
    values = RANDOM.normal(size=(4, POSITIONS, EACH))
    values[1] += np.arange(POSITIONS)[:, None] / 4  # rises with the position
    values[2] = np.abs(values[2])  # always active
    values[3] = 1.0  # constant
    response = QUERIES["position_response"]
    tables = {
        "position_groups": grouped("position_groups", "position", list(range(POSITIONS)), values),
        "activation_moments": moments(values),
    }
    found = response.table.conform(response(tables).collect()).sort("neuron")
    for neuron in (0, 1):
        active = values[neuron] > 0
        joint = np.stack([active.sum(axis=1), (~active).sum(axis=1)]) / active.size
        independent = np.outer(joint.sum(axis=1), joint.sum(axis=0))
        expected = entropy(joint.ravel(), independent.ravel())
        assert found["position_mi"][neuron] == pytest.approx(expected, rel=1e-4, abs=1e-7)
        eta2 = epsilon_squared(values[neuron])
        assert found["position_eta2"][neuron] == pytest.approx(eta2, abs=1e-5)
    assert found["position_mi"].to_list()[2:] == [None, None]
    assert found["position_eta2"][3] is None
    expected = chi2.ppf(0.999, POSITIONS - 1) / (2 * POSITIONS * EACH)
    assert found["position_mi_chance"][0] == pytest.approx(expected, rel=0.01)
    assert found["peak_position"][1] == POSITIONS - 1


def test_a_neuron_that_knows_no_position_has_what_chance_gives() -> None:
    values = RANDOM.normal(size=(500, POSITIONS, 50))
    tables = {
        "position_groups": grouped("position_groups", "position", list(range(POSITIONS)), values),
        "activation_moments": moments(values),
    }
    found = QUERIES["position_response"](tables).collect()
    chance = found["position_mi_chance"][0]
    assert (found["position_mi"] > chance).sum() <= 3  # one in a thousand is
    assert found["position_mi"].max() > chance / 2
    assert found["position_eta2"].mean() == pytest.approx(0, abs=2e-3)


def test_sources_are_told_by_their_rates() -> None:
    names = ["code", "novels", "prose"]
    values = RANDOM.normal(size=(4, 3, EACH))
    values[1, 0] = -1.0
    values[1, 2] = -1.0  # active in novels alone
    values[2] = -2.0  # never active
    values[3] += np.array([0, 0, 1])[:, None]
    response = QUERIES["source_response"]
    tables = {
        "source_groups": grouped("source_groups", "source", names, values),
        "activation_moments": moments(values),
    }
    found = response.table.conform(response(tables).collect()).sort("neuron")
    for neuron in (0, 3):
        rates = (values[neuron] > 0).mean(axis=1)
        shares = rates / rates.sum()
        assert found["top_source"][neuron] == names[int(shares.argmax())]
        assert found["highest_source"][neuron] == names[int(values[neuron].mean(axis=1).argmax())]
        assert found["top_source_share"][neuron] == pytest.approx(shares.max())
        assert found["source_entropy"][neuron] == pytest.approx(entropy(shares), abs=1e-6)
        eta2 = epsilon_squared(values[neuron])
        assert found["source_eta2"][neuron] == pytest.approx(eta2, abs=1e-5)
    one = found.row(1, named=True)
    assert (one["top_source"], one["top_source_share"], one["source_entropy"]) == ("novels", 1, 0)
    never = found.row(2, named=True)
    assert [never[name] for name in ("top_source", "source_entropy", "source_eta2")] == [None] * 3


def test_the_shape_over_the_vocabulary_is_scipy_s() -> None:
    cosines = RANDOM.gamma(2, size=(3, 500)) / 10 - 0.2
    cosines[2] = 0.0
    d = cosines - cosines.mean(axis=1, keepdims=True)
    rows = {
        "model": "a",
        "layer": 0,
        "neuron": range(3),
        "side": "out",
        "matrix": "unembed",
        "n": 500,
        "mean": cosines.mean(axis=1),
        **{f"m{power}": (d**power).sum(axis=1) for power in (2, 3, 4)},
    }
    out = pl.LazyFrame(rows, MEASURED["vocab_moments"].schema)
    others = [out.with_columns(side=pl.lit("in")), out.with_columns(matrix=pl.lit("embed"))]
    shape = QUERIES["vocab_shape"]
    every = pl.concat([out, *(each.with_columns(mean=pl.lit(9.0)) for each in others)])
    found = shape.table.conform(shape({"vocab_moments": every}).collect())
    assert found["vocab_mean"].to_numpy() == pytest.approx(cosines.mean(axis=1), abs=1e-6)
    assert found["vocab_var"].to_numpy() == pytest.approx(cosines.var(axis=1), rel=1e-5)
    varying = cosines[:2]
    assert found["vocab_skew"].to_numpy()[:2] == pytest.approx(skew(varying, axis=1), rel=1e-5)
    expected = kurtosis(varying, axis=1, fisher=False)
    assert found["vocab_kurt"].to_numpy()[:2] == pytest.approx(expected, rel=1e-5)
    assert found.row(2, named=True)["vocab_kurt"] is None


def test_a_layer_s_profile_is_of_all_and_of_the_universal(drawn: Drawn) -> None:
    neurons = QUERIES["neurons"].table
    frame = drawn(
        neurons,
        """
        model layer neuron is_universal excess_corr kurt
        a     0     0      true         0.6         2
        a     0     1      true         0.8         -
        a     0     2      false        0.1         5
        a     1     0      false        -           3
        """,
    )
    profile = QUERIES["layer_profile"]
    found = profile.table.conform(profile({"neurons": frame}).collect())
    rows = {
        (each["layer"], each["measure"], each["group"]): (each["n"], each["average"], each["q50"])
        for each in found.iter_rows(named=True)
        if each["measure"] in ("excess_corr", "kurt")
    }
    expected = {
        (0, "excess_corr", "all"): (3, 0.5, 0.6),
        (0, "excess_corr", "universal"): (2, 0.7, 0.7),
        (0, "kurt", "all"): (2, 3.5, 3.5),
        (0, "kurt", "universal"): (1, 2, 2),
        (1, "kurt", "all"): (1, 3, 3),
    }
    assert rows == {key: pytest.approx(value) for key, value in expected.items()}
