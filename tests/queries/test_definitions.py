"""Definitions, drawn: small tables in, small tables out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import t

from neurontab.tables.query import discover
from neurontab.tables.schemas import MEASURED
from neurontab.tables.table import Table

QUERIES = discover()
TABLES: dict[str, Table] = MEASURED | {name: query.table for name, query in QUERIES.items()}
Drawn = Callable[[Table, str], pl.LazyFrame]


@pytest.fixture
def run(drawn: Drawn) -> Callable[..., pl.DataFrame]:
    """A query over drawn tables, sorted, with the columns named."""

    def answer(
        name: str, columns: str, thresholds: dict[str, float] | None = None, **tables: str
    ) -> pl.DataFrame:
        frames = {table: drawn(TABLES[table], text) for table, text in tables.items()}
        query = QUERIES[name]
        found = query.table.conform(query(frames, **(thresholds or {})).collect())
        return found.select(columns.split())

    return answer


MATCHES = """
    model layer neuron other_model rank corr reverse_rank token_share
    a     0     0      b           1    0.9  1 0.1
    a     0     0      b           2    0.8  - 0.2
    a     0     0      c           1    0.7  2 0.3
    a     0     0      c           2    0.4  - 0.3
    a     0     1      b           1    0.9  1 0.4
    a     0     1      c           1    0.4  1 0.5
    a     0     2      b           1    0.9  1 0.6
    a     0     2      c           1    0.9  1 0.7
"""
BASELINES = """
    model layer neuron other_model kind         draw corr
    a     0     0      b           raw          0    0.1
    a     0     0      b           raw          1    0.3
    a     0     0      b           standardised 0    0.5
    a     0     0      c           raw          0    0.2
    a     0     0      c           raw          1    0.2
    a     0     0      c           standardised 0    0.1
    a     0     1      b           raw          0    0.1
    a     0     1      b           standardised 0    0.1
    a     0     1      c           raw          0    0.1
    a     0     1      c           standardised 0    0.1
    a     0     2      b           raw          0    0.1
    a     0     2      c           raw          0    0.1
"""
JACKKNIFE = """
    model layer neuron other_model left_out       held_out_corr
    a     0     0      b           0.95,0.90,0.85 0.8
    a     0     0      c           0.70,0.70,0.70 0.6
    a     0     1      b           0.90,0.90,0.90 0.9
    a     0     1      c           0.40,0.40,0.40 0.3
"""
DOCUMENT_GROUPS = """
    document_group n
    0              100
    1              100
    2              100
"""
SHAPE = """
    model layer neuron low_support
    a     0     0      false
    a     0     1      false
    a     0     2      true
"""
MODELS = """
    model d_model
    a     8
    b     8
    c     8
"""
TWINS = """
    model layer neuron rank other_layer other_neuron corr
    a     0     0      1    0           1            0.8
    a     0     0      2    1           0            0.6
    a     0     1      1    0           0            0.8
"""


def test_universality_is_the_mean_best_correlation_less_the_mean_baseline(
    run: Callable[..., pl.DataFrame], drawn: Drawn
) -> None:
    columns = """neuron max_corr mean_corr min_corr max_baseline mean_baseline min_baseline
        excess_corr excess_std is_universal n_partners_universal is_universal_strict n_twins
        is_mutual token_share margin"""
    found = run(
        "universality",
        columns,
        models=MODELS,
        activation_shape=SHAPE,
        matches=MATCHES,
        baselines=BASELINES,
        twins=TWINS,
        jackknife=JACKKNIFE,
        document_groups=DOCUMENT_GROUPS,
    )
    expected = [
        (0, 0.9, 0.8, 0.7, 0.2, 0.2, 0.2, 0.6, 0.5, True, 1, False, 1, False, 0.2, 0.2),
        (1, 0.9, 0.65, 0.4, 0.1, 0.1, 0.1, 0.55, 0.55, True, 1, False, 1, True, 0.45, None),
        (2, *[None] * 8, False, 0, False, 0, None, None, None),
    ]
    for row, wanted in zip(found.rows(), expected, strict=True):
        assert row == pytest.approx(wanted, abs=1e-6)


def test_the_interval_is_of_documents_and_draws_together(
    run: Callable[..., pl.DataFrame],
) -> None:
    """Over documents the first neuron's variance is 1/1200, over draws 1/400; the second's 0.

    With two degrees of freedom and one; together they have 16 / (1 / 2 + 9).
    """
    tables = {"models": MODELS, "activation_shape": SHAPE, "twins": TWINS}
    tables |= {"matches": MATCHES, "baselines": BASELINES, "jackknife": JACKKNIFE}
    columns = "excess_lo excess_hi borderline held_out_excess"
    found = run("universality", columns, document_groups=DOCUMENT_GROUPS, **tables)
    half = t.ppf(0.975, 32 / 19) * (1 / 300) ** 0.5
    assert found.rows()[0] == pytest.approx((0.6 - half, 0.6 + half, True, 0.5), abs=0.02 * half)
    assert found.rows()[1:] == [pytest.approx((0.55, 0.55, False, 0.5)), (None,) * 4]
    alone = "\n".join(DOCUMENT_GROUPS.splitlines()[:3])
    assert (
        run("universality", columns, document_groups=alone, **tables)["excess_lo"].is_null().all()
    )


def test_a_threshold_moves_the_label_alone(run: Callable[..., pl.DataFrame]) -> None:
    tables = {"models": MODELS, "activation_shape": SHAPE, "twins": TWINS}
    tables |= {"matches": MATCHES, "baselines": BASELINES}
    tables |= {"jackknife": JACKKNIFE, "document_groups": DOCUMENT_GROUPS}
    columns = "neuron is_universal n_partners_universal is_universal_strict n_twins"
    low = run("universality", columns, thresholds={"threshold": 0.25, "twin_corr": 0.9}, **tables)
    assert low.rows() == [(0, True, 2, True, 0), (1, True, 2, True, 0), (2, False, 0, False, 0)]
    high = run("universality", columns, thresholds={"threshold": 0.57}, **tables)
    assert high["is_universal"].to_list() == [True, False, False]


def test_strict_means_every_other_model_also_one_without_a_match(
    run: Callable[..., pl.DataFrame],
) -> None:
    """Model c has nothing to match with: the mean is over b alone, nothing is strict or mutual."""
    only_b = [
        "\n".join(line for line in table.splitlines() if " c " not in line)
        for table in (MATCHES, BASELINES)
    ]
    found = run(
        "universality",
        "neuron is_universal n_partners_universal is_universal_strict is_mutual",
        models=MODELS,
        activation_shape=SHAPE,
        matches=only_b[0],
        baselines=only_b[1],
        twins=TWINS,
        jackknife=JACKKNIFE,
        document_groups=DOCUMENT_GROUPS,
    )
    assert found.rows() == [
        (0, True, 1, False, False),
        (1, True, 1, False, False),
        (2, False, 0, False, None),
    ]


def test_the_shape_of_an_activation_is_that_of_numpy(drawn: Drawn) -> None:
    random = np.random.default_rng(0)
    pre, post = random.gamma(2, size=500) - 1, random.exponential(size=500)
    rows = ["model layer neuron site n mean m2 m3 m4 n_positive min max bos_activation bos_z"]
    for site, x in (("pre", pre), ("post", post)):
        d = x - x.mean()
        sums = [float((d**power).sum()) for power in (2, 3, 4)]
        bos = "7 2" if site == "pre" else "- -"
        rows.append(
            f"a 0 0 {site} 500 {x.mean()} {sums[0]} {sums[1]} {sums[2]} {(x > 0).sum()} "
            f"{x.min()} {x.max()} {bos}"
        )
    moments = drawn(MEASURED["activation_moments"], "\n".join(rows))
    found = (
        QUERIES["activation_shape"]({"activation_moments": moments}).collect().row(0, named=True)
    )
    z = (pre - pre.mean()) / pre.std()
    assert found["var"] == pytest.approx(pre.var(), rel=1e-5)
    assert found["skew"] == pytest.approx((z**3).mean(), rel=1e-5)
    assert found["kurt"] == pytest.approx((z**4).mean(), rel=1e-5)
    assert found["sparsity"] == pytest.approx((pre > 0).mean(), rel=1e-6)
    assert found["post_var"] == pytest.approx(post.var(), rel=1e-5)
    assert found["bos_activation"] == 7
    assert found["low_support"] is False


def test_support_is_the_number_of_tokens_that_a_unit_is_active_on(
    run: Callable[..., pl.DataFrame],
) -> None:
    """A unit that leaves 0 for 1 on k of n tokens has m2 = k (n - k) / n."""
    rows = ["model layer neuron site n m2 m4 min max"]
    n = 100_000
    for neuron, k in enumerate((10, 29, 31, 1000)):
        p = k / n
        rows.append(f"a 0 {neuron} pre {n} 1 1 -1 1")
        fourth = p * (1 - p) ** 4 + (1 - p) * p**4
        rows.append(f"a 0 {neuron} post {n} {n * p * (1 - p)} {n * fourth} 0 1")
    rows += [f"a 0 4 pre {n} 1 1 -9 1", f"a 0 4 post {n} {n * 1e-13} {n * 3e-26} 0 1e-6"]
    rows += [f"a 0 5 pre {n} {n * 1e-15} {n * 3e-30} -1 -1", f"a 0 5 post {n} 0 0 -0.2 -0.2"]
    found = run(
        "activation_shape", "neuron support low_support skew", activation_moments="\n".join(rows)
    )
    assert found["support"].to_list()[:4] == pytest.approx([10, 29, 31, 1000], rel=0.03)
    assert found["support"].to_list()[4:] == [None, None]
    assert found["low_support"].to_list() == [True, True, False, False, True, True]
    assert found["skew"].to_list()[5] is None


def test_the_shape_of_weights_is_that_of_numpy(drawn: Drawn) -> None:
    random = np.random.default_rng(1)
    w_in, w_out = random.normal(size=64), random.exponential(size=64)
    values: dict[str, Any] = {
        "w_in_norm": np.linalg.norm(w_in),
        "w_out_norm": np.linalg.norm(w_out),
    }
    values |= {"w_in_dot_w_out": w_in @ w_out, "input_bias": -0.25}
    for name, w in (("w_in", w_in), ("w_out", w_out)):
        values |= {f"{name}_sum{power}": (w**power).sum() for power in (1, 2, 3, 4)}
    text = f"model layer neuron {' '.join(values)}\na 0 0 {' '.join(map(str, values.values()))}"
    weights = drawn(MEASURED["weights"], text)
    models = drawn(MEASURED["models"], "model d_model\na 64")
    found = (
        QUERIES["weight_shape"]({"weights": weights, "models": models}).collect().row(0, named=True)
    )
    cosine = w_in @ w_out / np.linalg.norm(w_in) / np.linalg.norm(w_out)
    assert found["in_out_sim"] == pytest.approx(cosine, abs=1e-6)
    assert found["l2_penalty"] == pytest.approx(w_in @ w_in + w_out @ w_out, rel=1e-6)
    for name, w in (("w_in", w_in), ("w_out", w_out)):
        z = (w - w.mean()) / w.std()
        assert found[f"{name}_kurt"] == pytest.approx((z**4).mean(), rel=1e-5)


def test_twin_groups_are_the_connected_parts_of_universal_twins(
    run: Callable[..., pl.DataFrame],
) -> None:
    """A chain of 100 twins is one group; a weak twin and a plain neuron are not in it."""
    chain = [(0, unit, 0, unit + 1, 0.71) for unit in range(99)]
    others = [(0, 99, 0, 130, 0.69), (0, 5, 0, 140, 0.9), (1, 0, 1, 1, 0.8), (0, 0, 1, 50, 0.9)]
    twins = ["model layer neuron rank other_layer other_neuron corr"]
    twins += [
        f"a {a} {b} {rank} {c} {d} {r}" for rank, (a, b, c, d, r) in enumerate(chain + others, 1)
    ]
    universal = ["model layer neuron is_universal"]
    units = [(0, unit) for unit in range(100)] + [(0, 130), (1, 0), (1, 1), (1, 7)]
    universal += [f"a {layer} {unit} true" for layer, unit in units]
    universal += ["a 0 140 false", "a 1 50 false"]
    found = run(
        "twin_groups",
        "layer neuron group_layer group_neuron group_size",
        universality="\n".join(universal),
        twins="\n".join(twins),
    )
    expected = [(0, unit, 0, 0, 100) for unit in range(100)]
    expected += [(0, 130, 0, 130, 1), (1, 0, 1, 0, 2), (1, 1, 1, 0, 2), (1, 7, 1, 7, 1)]
    assert found.rows() == expected


def test_the_summary_counts_models_neurons_and_groups(run: Callable[..., pl.DataFrame]) -> None:
    found = run(
        "family_summary",
        """model neurons low_support universal universal_share universal_strict token_share
        universal_groups""",
        activation_shape="""
            model layer neuron low_support
            a     0     0      false
            a     0     1      false
            a     0     2      true
            b     0     0      false""",
        universality="""
            model layer neuron is_universal is_universal_strict token_share
            a     0     0      true         true                0.9
            a     0     1      true         false               0.5
            a     0     2      false        false               0.1
            b     0     0      false        false               0.2""",
        twin_groups="""
            model layer neuron group_layer group_neuron group_size
            a     0     0      0           0            2
            a     0     1      0           0            2""",
    )
    assert found.rows() == [
        ("a", 3, 1, 2, pytest.approx(2 / 3), 1, pytest.approx(0.7), 1),
        ("b", 1, 0, 0, 0, 0, None, 0),
    ]


def test_universal_features_are_the_connected_parts_of_matches_and_twins(
    run: Callable[..., pl.DataFrame],
) -> None:
    """Two twins of a and their match in b are one feature; a match below 0.7 joins nothing."""
    found = run(
        "universal_features",
        "model layer neuron feature is_representative n_members n_models",
        universality="""
            model layer neuron is_universal excess_corr
            a     0     0      true         0.6
            a     0     1      true         0.7
            a     1     2      true         0.9
            a     1     3      false        0.4
            b     0     5      true         0.65
            b     1     9      true         0.55
            b     1     8      true         0.55""",
        matches="""
            model other_model layer neuron rank other_layer other_neuron corr
            a     b           0     1      1    0           5            0.8
            b     a           0     5      1    0           1            0.8
            a     b           1     2      1    0           5            0.7
            b     a           1     9      1    1           3            0.9""",
        twins="""
            model layer neuron rank other_layer other_neuron corr
            a     0     0      1    0           1            0.75
            b     1     8      1    1           9            0.95""",
    )
    assert found.rows() == [
        ("a", 0, 0, 0, False, 3, 2),
        ("a", 0, 1, 0, True, 3, 2),
        ("a", 1, 2, 2, True, 1, 1),
        ("b", 0, 5, 0, False, 3, 2),
        ("b", 1, 8, 1, True, 2, 1),
        ("b", 1, 9, 1, False, 2, 1),
    ]
