"""Which family a neuron is of: drawn evidence in, labels out."""

from collections.abc import Callable

import polars as pl
import pytest

from neurontab.tables.query import discover
from neurontab.tables.table import Table

QUERIES = discover()
Drawn = Callable[[Table, str], pl.LazyFrame]

FEATURES = """
    feature     token_id kind
    unigram_the 1        unigram
    letter_a    2        letter
    is_year     3        rule
    end_w_ing   4        rule
"""
EXPLANATIONS = """
    model layer neuron offset   feature     explained explained_held_out explained_chance
    a     0     0      current  unigram_the 0.7       0.6                0.2
    a     0     0      current  is_year     0.9       0.8                0.2
    a     0     1      current  letter_a    0.4       0.36               0.2
    a     0     1      current  unigram_the 0.5       0.45               0.2
    a     0     2      previous is_year     0.6       0.55               0.2
    a     0     2      previous end_w_ing   0.8       0.7                0.2
    a     0     3      current  end_w_ing   0.9       0.8                0.2
    a     0     4      current  unigram_the 0.7       0.4                0.2
    a     0     5      current  unigram_the 0.7       0.6                0.75
    a     0     6      next     unigram_the 0.9       0.9                0.2
    a     0     7      current  is_year     0.7       0.6                0.2
"""
SHAPE = """
    model layer neuron bos_z sparsity
    a     0     0      1     0.5
    a     0     1      1     0.5
    a     0     2      1     0.5
    a     0     3      1     0.5
    a     0     4      30    0.001
    a     0     5      30    0.2
    a     0     6      1     0.5
    a     0     7      -     0.5
"""
POSITIONS = """
    model layer neuron position_mi position_mi_chance
    a     0     0      0.01        0.004
    a     0     1      0.01        0.004
    a     0     2      0.012       0.004
    a     0     3      0.011       0.004
    a     0     4      0.009       0.004
    a     0     5      0.06        0.07
    a     0     6      0.06        0.004
    a     0     7      0.06        0.004
"""
SOURCES = """
    model layer neuron highest_source source_eta2
    a     0     0      code       0.1
    a     0     5      novels     0.3
    a     0     7      novels     0.3
"""


def told(
    drawn: Drawn, positions: str = POSITIONS, explanations: str = EXPLANATIONS
) -> pl.DataFrame:
    """Over the tables above."""
    texts = {
        "token_features": FEATURES,
        "explanations": explanations,
        "activation_shape": SHAPE,
        "position_response": positions,
        "source_response": SOURCES,
    }
    query = QUERIES["family_evidence"]
    frames = {name: drawn(QUERIES[name].table, text) for name, text in texts.items()}
    return query.table.conform(query(frames).collect())


@pytest.fixture
def evidence(drawn: Drawn) -> pl.DataFrame:
    """Of all neurons."""
    return told(drawn)


def test_where_all_neurons_know_positions_one_must_know_far_more(drawn: Drawn) -> None:
    """Eight times the median deviation, 0.015, above the median, 0.155."""
    known = (0.15, 0.14, 0.16, 0.13, 0.17, 0.15, 0.25, 0.3)
    rows = "\n".join(f"a 0 {n} {mi} 0.004" for n, mi in enumerate(known))
    header = POSITIONS.strip().splitlines()[0]
    found = told(drawn, f"{header}\n{rows}").filter(family="position")
    assert found["neuron"].to_list() == [7]
    assert found["threshold"].item() == pytest.approx(0.155 + 8 * 0.015)


def test_labels_of_the_text_tell_syntax_and_topics(drawn: Drawn) -> None:
    labelled = """
        model layer neuron by    offset   feature   explained explained_held_out explained_chance
        a     0     0      label current  pos=NOUN  0.9       0.8                0.1
        a     0     0      token current  is_year   0.7       0.6                0.1
        a     0     1      label previous pos=DET   0.7       0.6                0.1
        a     0     2      label current  pos=NOUN  0.7       0.4                0.1
        a     0     5      label current  topic=sea 0.5       0.35               0.1
        a     0     7      label current  topic=sea 0.3       0.25               0.1
        a     0     6      label next     pos=NOUN  0.9       0.9                0.1
        a     0     2      label previous topic=sea 0.9       0.8                0.1
        a     0     2      label current  topic=sea 0.8       0.7                0.1
        a     0     3      label current  ent=ORG   0.8       0.78               0.1
        a     0     3      label previous ent=ORG   0.7       0.58               0.1
    """
    found = told(drawn, explanations=labelled).select("neuron", "family", "measure", "feature")
    assert found.filter(~pl.col("family").is_in(["bos", "position"])).rows() == [
        (0, "syntax", "explained_held_out", "pos=NOUN"),
        (1, "previous_token", "explained_held_out", "pos=DET"),
        (2, "context", "explained_held_out", "topic=sea"),  # as true of the token before
        (3, "syntax", "explained_held_out", "ent=ORG"),  # words of a name are neighbours
        (5, "context", "explained_held_out", "topic=sea"),
        (7, "context", "source_eta2", "novels"),  # which says more of it
    ]


def test_every_rule_finds_its_neurons_and_tells_by_what(evidence: pl.DataFrame) -> None:
    found = evidence.select("neuron", "family", "measure", "feature", "value", "threshold")
    expected = [
        (0, "syntax", "explained_held_out", "is_year", 0.8, 0.5),
        (0, "unigram", "explained_held_out", "unigram_the", 0.6, 0.5),
        (1, "alphabet", "explained_held_out", "letter_a", 0.36, 0.35),
        (2, "previous_token", "explained_held_out", "end_w_ing", 0.7, 0.5),
        (3, "syntax", "explained_held_out", "end_w_ing", 0.8, 0.5),
        (4, "bos", "bos_z", None, 30, 10),
        (5, "context", "source_eta2", "novels", 0.3, 0.2),
        (6, "position", "position_mi", None, 0.06, 0.05),
        (7, "context", "source_eta2", "novels", 0.3, 0.2),
        (7, "position", "position_mi", None, 0.06, 0.05),
        (7, "syntax", "explained_held_out", "is_year", 0.6, 0.5),
    ]
    for row, wanted in zip(found.rows(), expected, strict=True):
        assert row == pytest.approx(wanted, abs=1e-6)


def test_a_neuron_s_family_is_the_first_that_it_meets(evidence: pl.DataFrame, drawn: Drawn) -> None:
    query = QUERIES["families"]
    frames = {
        "activation_shape": drawn(QUERIES["activation_shape"].table, SHAPE + "    a 0 8 1 0.5\n"),
        "family_evidence": evidence.lazy(),
    }
    found = query.table.conform(query(frames).collect())
    assert found["family"].to_list() == [
        *("unigram", "alphabet", "previous_token", "syntax", "bos", "context", "position"),
        *("position", "none"),
    ]
    assert found["n_families"].to_list() == [2, 1, 1, 1, 1, 1, 1, 3, 0]
    first = found.row(0, named=True)
    assert (first["family_feature"], first["family_by"]) == ("unigram_the", "explained_held_out")
    assert first["family_value"] == pytest.approx(0.6)
    assert found.row(8, named=True)["family_by"] is None
