"""Which role a neuron has: drawn weights in, labels and their evidence out."""

from collections.abc import Callable

import polars as pl
import pytest

from neurontab.tables.query import discover
from neurontab.tables.schemas import MEASURED
from neurontab.tables.table import Table

QUERIES = discover()
Drawn = Callable[[Table, str], pl.LazyFrame]

MODELS = """
    model n_layers
    a     2
"""
SHAPE = """
    model layer neuron vocab_var vocab_skew vocab_kurt
    a     0     0      0.001     0.5        10.5
    a     0     1      0.001     -0.5       12
    a     0     2      0.006     0          9
    a     0     3      0.001     -          -
    a     1     0      0.0001    0.1        3
    a     1     1      0.002     0.1        3
    a     1     2      0.008     0.1        30
    a     1     3      0.002     0.1        3
"""
LENGTHS = """
    model layer neuron w_out_norm
    a     0     0      1
    a     0     1      1
    a     0     2      1
    a     0     3      0
    a     1     0      5
    a     1     1      1
    a     1     2      1
    a     1     3      4
"""
EFFECTS = """
    model layer neuron logit_var null_fraction frequency_cos
    a     0     0      1         0.9           0.9
    a     0     1      1         0.1           0.1
    a     0     2      1         0.1           0.1
    a     0     3      0         0             0
    a     1     0      0.1       0.9           0.1
    a     1     1      1         0.1           -0.6
    a     1     2      1         0.1           0.1
    a     1     3      9         0.6           0.1
"""
HEADS = """
    model layer neuron head_layer head bos_score bos_score_chance
    a     0     0      1          0    0.9       1
    a     0     1      1          0    2.0       1
    a     0     2      1          0    0.1       1
    a     0     2      1          1    -0.3      0.2
    a     0     3      1          0    -1.5      1
    a     0     3      1          1    1.2       1
    a     1     0      0          0    -         -
"""


def roles(
    drawn: Drawn, *, gap: float = 3.0, spread: float = 0.004, **given: str | float
) -> pl.DataFrame:
    """The query over the tables above, some of them replaced, or with other thresholds.

    Chance gives 0.5 of what it gives any of, but for the spread. One neuron of four is a layer's
    quietest.
    """
    texts = {
        "models": MODELS,
        "vocab_shape": SHAPE,
        "weight_shape": LENGTHS,
        "vocab_effect": EFFECTS,
        "head_scores": HEADS,
    }
    tables = MEASURED | {name: query.table for name, query in QUERIES.items()}
    texts |= {name: str(each) for name, each in given.items() if name in texts}
    frames = {name: drawn(tables[name], text) for name, text in texts.items()}
    frames["vocab_effect"] = frames["vocab_effect"].with_columns(
        null_fraction_chance=0.5,
        frequency_cos_chance=0.5,
        vocab_var_chance=spread,
        spectrum_gap=gap,
    )
    query = QUERIES["roles"]
    thresholds = {name: each for name, each in given.items() if name not in texts}
    return query.table.conform(query(frames, quietest=0.25, **thresholds).collect())


def test_every_rule_labels_its_neurons_and_tells_by_what(drawn: Drawn) -> None:
    found = roles(drawn).select(
        "layer", "neuron", "role", "role_by", "role_value", "role_threshold", "role_percentile"
    )
    expected = [
        (0, 0, "prediction", "vocab_kurt", 10.5, 10, 2 / 3),
        (0, 1, "suppression", "vocab_kurt", 12, 10, 1),
        (0, 2, "partition", "vocab_var", 0.006, 0.005, 1),
        (0, 3, "attention_activation", "bos_score", -1.5, 1, 3 / 4),
        (1, 0, "entropy_candidate", "null_fraction", 0.9, 0.5, 1),
        (1, 1, "frequency_candidate", "frequency_cos", -0.6, 0.5, 1),
        (1, 2, "prediction", "vocab_kurt", 30, 10, 1),
        (1, 3, "none", None, None, None, None),
    ]
    for row, wanted in zip(found.rows(), expected, strict=True):
        assert row == pytest.approx(wanted, abs=1e-6)


def test_all_roles_that_a_neuron_has_are_told(drawn: Drawn) -> None:
    found = roles(drawn)
    both = found.filter(layer=1, neuron=2).row(0, named=True)
    assert (both["role"], both["is_prediction"], both["is_partition"]) == ("prediction", True, True)
    second = found.filter(layer=0, neuron=1).row(0, named=True)
    assert (second["is_suppression"], second["is_attention_deactivation"]) == (True, True)
    strongest = found.filter(layer=0, neuron=2).row(0, named=True)
    assert (strongest["is_attention_activation"], strongest["is_attention_deactivation"]) == (
        True,
        False,
    )


def test_without_a_gap_nothing_is_left_unread(drawn: Drawn) -> None:
    assert not roles(drawn, gap=1.2)["is_entropy_candidate"].any()


def test_in_a_narrow_model_chance_parts_the_vocabulary_more(drawn: Drawn) -> None:
    assert not roles(drawn, spread=0.0081)["is_partition"].any()


def test_before_the_last_layer_nothing_is_a_candidate(drawn: Drawn) -> None:
    found = roles(drawn, models=MODELS.replace("a     2", "a     3"))
    assert not found["is_entropy_candidate"].any()
    assert not found["is_frequency_candidate"].any()


def test_a_threshold_moves_its_label(drawn: Drawn) -> None:
    found = roles(drawn, peaked=11.0, parted=0.01)
    assert found["role"].to_list()[:3] == ["none", "suppression", "attention_activation"]
