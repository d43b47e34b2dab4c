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
CANDIDATES = """
    model layer neuron is_entropy_candidate is_frequency_candidate
    a     0     0      false                false
    a     0     1      false                false
    a     0     2      false                false
    a     0     3      false                false
    a     1     0      true                 false
    a     1     1      false                true
    a     1     2      false                false
    a     1     3      false                false
"""
MEASURED_OF_ABLATED = (
    *("model", "layer", "neuron", "norm_share", "norm_share_se"),
    *("frequency_share", "frequency_share_se", "entropy_percentile", "divergence_percentile"),
    "n_groups",
)
ABLATED = f"""
    {" ".join(MEASURED_OF_ABLATED)}
    a 1 0 -3 0.1 0.1 0.1 1 1 20
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


TABLES = MEASURED | {name: query.table for name, query in QUERIES.items()}


def roles(drawn: Drawn, *, spread: float = 0.004, **given: str | float) -> pl.DataFrame:
    """The query over the tables above, some of them replaced, or with other thresholds.

    Chance gives 0.5 of what it gives any of, but for the spread.
    """
    texts = {
        "role_candidates": CANDIDATES,
        "ablation_effects": ABLATED,
        "vocab_shape": SHAPE,
        "vocab_effect": EFFECTS,
        "head_scores": HEADS,
    }
    texts |= {name: str(each) for name, each in given.items() if name in texts}
    frames = {name: drawn(TABLES[name], text) for name, text in texts.items()}
    frames["vocab_effect"] = frames["vocab_effect"].with_columns(
        null_fraction_chance=0.5, frequency_cos_chance=0.5, vocab_var_chance=spread
    )
    query = QUERIES["roles"]
    thresholds = {name: each for name, each in given.items() if name not in texts}
    return query.table.conform(query(frames, **thresholds).collect())


def candidates(
    drawn: Drawn, *, models: str = MODELS, gap: float = 3.0
) -> list[tuple[int, int, bool, bool]]:
    """Layer, neuron, and of what it is a candidate; one of four neurons is a layer's quietest."""
    texts = {"models": models, "weight_shape": LENGTHS, "vocab_effect": EFFECTS}
    frames = {name: drawn(TABLES[name], text) for name, text in texts.items()}
    frames["vocab_effect"] = frames["vocab_effect"].with_columns(
        null_fraction_chance=0.5, frequency_cos_chance=0.5, spectrum_gap=gap
    )
    query = QUERIES["role_candidates"]
    found = query.table.conform(query(frames, quietest=0.25).collect()).sort("layer", "neuron")
    return found.drop("model").rows()


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


def test_candidates_are_told_by_their_weights(drawn: Drawn) -> None:
    expected = [(0, n, False, False) for n in range(4)]
    expected += [(1, n, n == 0, n == 1) for n in range(4)]
    assert candidates(drawn) == expected


def test_without_a_gap_nothing_is_left_unread(drawn: Drawn) -> None:
    assert not any(entropy for _, _, entropy, _ in candidates(drawn, gap=1.2))


def test_before_the_last_layer_nothing_is_a_candidate(drawn: Drawn) -> None:
    found = candidates(drawn, models=MODELS.replace("a     2", "a     3"))
    assert not any(entropy or frequency for _, _, entropy, frequency in found)


@pytest.mark.parametrize(
    ("ablated", "expected"),
    [
        ("0.9 0.1 0.2 0.1 0.5 0.1 10", ("entropy", "frequency_candidate")),
        (
            "0.9 0.1 0.2 0.1 0.4 0.1 10",
            ("entropy_candidate", "frequency_candidate"),
        ),  # as others do
        ("0.9 0.3 0.2 0.1 1 1 10", ("entropy_candidate", "frequency_candidate")),  # not surely
        ("0.4 0.0 0.4 0.0 1 1 10", ("entropy_candidate", "frequency_candidate")),
        ("0.1 0.1 0.8 0.1 1 0.95 10", ("entropy_candidate", "frequency")),
        ("0.1 0.1 0.8 0.1 1 0.9 10", ("entropy_candidate", "frequency_candidate")),
        (
            "0.9 0.1 0.8 0.1 1 1 9",
            ("entropy_candidate", "frequency_candidate"),
        ),  # too few documents
        ("- - - - 1 1 10", ("entropy_candidate", "frequency_candidate")),  # nothing changed at all
    ],
)
def test_a_candidate_has_its_role_when_ablating_it_shows_so(
    drawn: Drawn, ablated: str, expected: tuple[str, str]
) -> None:
    header = " ".join(MEASURED_OF_ABLATED)
    rows = "\n".join(f"a 1 {neuron} {ablated}" for neuron in range(4))
    found = roles(drawn, ablation_effects=f"{header}\n{rows}").filter(layer=1)
    assert tuple(found["role"][:2]) == expected
    assert found["role"][2:].to_list() == ["prediction", "none"]  # no candidates
    if expected[0] == "entropy":
        row = found.row(0, named=True)
        assert (row["role_by"], row["role_threshold"]) == ("norm_share", 0.5)
        assert row["role_value"] == pytest.approx(0.9)


def test_in_a_narrow_model_chance_parts_the_vocabulary_more(drawn: Drawn) -> None:
    assert not roles(drawn, spread=0.0081)["is_partition"].any()


def test_a_threshold_moves_its_label(drawn: Drawn) -> None:
    found = roles(drawn, peaked=11.0, parted=0.01)
    assert found["role"].to_list()[:3] == ["none", "suppression", "attention_activation"]
