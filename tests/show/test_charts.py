"""Every chart: drawn from tables, small whatever the run, with its numbers in the picture."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import gaussian_kde

from neurontab.errors import ChartError
from neurontab.run import Run
from neurontab.show.charts import CHARTS, draw, title_of
from neurontab.show.charts.counting import BINS, counted, heat
from neurontab.show.charts.matching import correlations, group_sizes, match_layers
from neurontab.show.charts.properties import (
    BY_LAYER,
    property_percentiles,
    sparsity_and_alignment,
)
from neurontab.show.charts.sampled import source_classes, token_classes, word_places
from neurontab.show.charts.style import heading
from neurontab.show.charts.vocabulary import (
    logit_effects,
    vocab_cosines,
    vocab_skew_of_peaked,
)
from neurontab.tables.query import discover
from neurontab.tables.schemas import MEASURED
from neurontab.tables.table import Table

QUERIES = discover()
ALL = [query.table for query in QUERIES.values()]


# Of what no neuron of random weights is; planted neurons are drawn in tests/test_zoo.py.
NOTHING = {
    *("group_sizes", "property_percentiles", "logit_effects"),  # universal
    *("families_by_layer", "previous_classes", "source_classes", "token_classes"),
    *("explained_and_ceiling", "word_places", "next_classes"),  # features with support
    *("roles_by_layer", "ablated_shares", "vocab_skew_of_peaked", "vocab_cosines"),
}


@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_says_what_it_shows_and_from_what(family: Run, name: str) -> None:
    spec = family.chart(name).to_dict()
    assert spec["title"]["text"] == title_of(name)
    assert spec["title"]["subtitle"]
    assert spec["usermeta"]["neurontab"] == {"run_id": family.manifest.run_id, "chart": name}
    rows = [row for data in spec["datasets"].values() for row in data]
    assert len(rows) < 5_000
    assert ("none" in rows[0]) == (name in NOTHING)


@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_is_a_picture(family: Run, tmp_path: Path, name: str) -> None:
    family.chart(name).save(str(tmp_path / f"{name}.svg"))
    picture = (tmp_path / f"{name}.svg").read_text("utf-8")
    assert picture.startswith("<svg")
    assert title_of(name)[:20] in picture


def test_a_chart_of_no_neuron_says_so(family: Run) -> None:
    """No untrained neuron has a family."""
    spec = family.chart("families_by_layer").to_dict()
    (rows,) = spec["datasets"].values()
    assert rows == [{"none": "no such neuron in this run"}]
    assert "left out" in spec["title"]["subtitle"]


def test_the_sample_has_each_position_s_neighbours_and_values(family: Run) -> None:
    found = family.activations().filter(pl.col("model") == "seed1", layer=1).collect()
    tokens = pl.read_ipc(family.folder / "corpus" / "tokens.arrow").sort("sequence")
    rows = np.array(tokens["tokens"].to_list())
    kept = pl.read_ipc(family.folder / "activations" / "seed1" / "post.1.arrow")
    places = ["sequence", "position"]
    assert found.select(places).rows() == kept.select(places).rows()
    assert found["activation"].to_list() == kept["activation"].to_list()
    for row in found.rows(named=True):
        sequence, position = row["sequence"], row["position"]
        assert row["token_id"] == rows[sequence, position]
        assert row["previous_id"] == rows[sequence, position - 1]
        after = rows[sequence, position + 1] if position + 1 < rows.shape[1] else None
        assert row["next_id"] == after


def test_hundreds_of_thousands_of_neurons_are_counted_in_cells() -> None:
    """Of nine models: every neuron once, in no more cells than can be drawn."""
    random = np.random.default_rng(0)
    n = 300_000
    x, y = random.random((2, n)).astype(np.float32)
    table = pl.LazyFrame({"model": random.integers(9, size=n).astype(str), "a": x, "b": y})
    cells = heat(table, "a", "b")
    assert len(cells) <= 4_500
    assert cells["n"].sum() == n
    first = cells.filter(pl.col("model") == "0").row(0, named=True)
    inside = (x >= first["x"]) & (x < first["x2"]) & (y >= first["y"]) & (y < first["y2"])
    assert first["n"] == (inside & (table.collect()["model"] == "0").to_numpy()).sum()


def test_bins_between_the_lowest_and_the_highest_count_every_value() -> None:
    values = np.random.default_rng(0).normal(3, 10, 5_000)
    found = counted(pl.LazyFrame({"g": "a", "value": values}), ["g"]).collect()
    assert found["n"].sum() == 5_000
    assert len(found) == BINS
    assert found["end"].max() == pytest.approx(values.max())
    edges = np.append(found["value"].to_numpy(), np.inf)
    assert found["n"].to_list() == np.histogram(values, edges)[0].tolist()


def test_the_histogram_counts_every_neuron_and_shows_empty_bins(
    drawn: Callable[[Table, str], pl.LazyFrame],
) -> None:
    table = QUERIES["universality"].table
    rows = [f"a 0 {n} {corr} 0 0" for n, corr in enumerate((0.0, 0.1, 0.5, 0.501))]
    text = "\n".join(["model layer neuron mean_corr mean_baseline excess_corr", *rows])
    (data,) = correlations(drawn(table, text)).to_dict()["datasets"].values()
    found = {row["bin"]: row["n"] for row in data if row["quantity"] == "mean_corr"}
    assert sorted(found) == list(range(31))
    assert {place: n for place, n in found.items() if n} == {0: 1, 6: 1, 30: 2}


def test_the_heat_map_holds_the_shares_of_best_matches(
    drawn: Callable[[Table, str], pl.LazyFrame],
) -> None:
    matches = drawn(
        MEASURED["matches"],
        """
        model layer neuron other_model rank other_layer
        a     0     0      b           1    0
        a     0     0      b           2    1
        a     0     1      b           1    0
        a     0     2      b           1    0
        a     0     3      b           1    1
        """,
    )
    (data,) = match_layers(matches).to_dict()["datasets"].values()
    assert [(row["other_layer"], row["n"], row["share"]) for row in data] == [
        (0, 3, 75),
        (1, 1, 25),
    ]


def test_classes_of_a_planted_neuron_are_counted_apart(
    drawn: Callable[[Table, str], pl.LazyFrame],
) -> None:
    """Neuron 1 is at 3 on token 7, at 0 on others; of the first layer nothing is drawn."""
    sample = pl.LazyFrame(
        {
            "model": "a",
            "layer": [1] * 4 + [0],
            "sequence": 0,
            "position": range(1, 6),
            "source": "s",
            "token_id": [7, 5, 7, 6, 7],
            "previous_id": [0, 7, 5, 7, 6],
            "next_id": [5, 7, 6, 7, None],
            "activation": [[9.0, 3.0], [9.0, 0.0], [9.0, 3.0], [9.0, 0.0], [9.0, 9.0]],
        },
        schema_overrides={"layer": pl.Int32, "token_id": pl.Int32},
    )
    families = drawn(
        QUERIES["families"].table,
        """
        model layer neuron family  family_feature family_value
        a     1     1      unigram unigram_x      0.9
        """,
    )
    features = drawn(QUERIES["token_features"].table, "feature token_id\nunigram_x 7")
    (rows,) = token_classes(sample, families, features).to_dict()["datasets"].values()
    found = {(row["group"], round(row["end"], 3)): row["n"] for row in rows}
    assert found == {("true", 3.0): 2, ("not", 0.05): 2}


def test_densities_are_those_of_scipy(drawn: Callable[[Table, str], pl.LazyFrame]) -> None:
    """Of two models; of the last four layers alone, and of peaked neurons alone."""
    random = np.random.default_rng(0)
    skews = {model: random.normal(at, 2, 30) for model, at in (("a", -1), ("b", 3))}
    rows = [
        f"{model} {layer} {n} {value} {kurt}"
        for model, values in skews.items()
        for n, value in enumerate(values)
        for layer, kurt in ((5, 20), (1, 20), (4, 9))
    ]
    table = drawn(
        QUERIES["vocab_shape"].table,
        "\n".join(["model layer neuron vocab_skew vocab_kurt", *rows]),
    )
    spec = vocab_skew_of_peaked(table).to_dict()
    every = [row for rows in spec["datasets"].values() for row in rows]
    assert {row["layer"] for row in every} == {5}
    assert sum("neuron" in row for row in every) == 60
    data = [row for row in every if "mean" in row]
    at = np.array([row["at"] for row in data])
    densities = [gaussian_kde(values.astype(np.float32), 0.5)(at) for values in skews.values()]
    found = np.array([[row[name] for row in data] for name in ("low", "mean", "high")])
    expected = np.array([np.min(densities, 0), np.mean(densities, 0), np.max(densities, 0)])
    assert found == pytest.approx(expected, abs=1e-6)
    assert spec["title"]["subtitle"].startswith("60 neurons of all models with vocab_kurt > 10")


def test_cosines_are_of_candidates_and_of_random_others(
    drawn: Callable[[Table, str], pl.LazyFrame],
) -> None:
    """Neuron 3 is there for another reason; of model b nothing is drawn without a candidate."""
    effects = drawn(
        MEASURED["logit_effects"],
        """
        model layer neuron token_id cosine
        a     2     1      0        0
        a     2     1      1        0
        a     2     2      0        0.5
        a     2     2      1        -0.5
        a     2     3      0        1
        b     2     1      0        1
        """,
    )
    ablated = drawn(
        QUERIES["ablation_effects"].table,
        """
        model layer neuron is_control
        a     2     1      false
        a     2     2      true
        b     2     1      true
        """,
    )
    candidates = drawn(
        QUERIES["role_candidates"].table,
        """
        model layer neuron is_entropy_candidate
        a     2     1      true
        a     2     2      false
        a     2     3      false
        b     2     1      false
        """,
    )
    spec = vocab_cosines(effects, ablated, candidates).to_dict()
    (data,) = spec["datasets"].values()
    columns = ("kind", "low", "mean", "high")
    found = [(round(row["value"] + 0.01, 1), *map(row.get, columns)) for row in data]
    assert sorted(row for row in found if row[-1]) == [
        (-0.5, "random other", 1, 1, 1),
        (0, "candidate", 2, 2, 2),
        (0.5, "random other", 1, 1, 1),
    ]
    assert "1 candidate, 1 random other" in spec["title"]["subtitle"]


def test_a_title_says_what_the_column_is_declared_to_be() -> None:
    found = heading("ablation_effects", "loss_change_abs")
    assert " ".join(found) == "loss_change_abs: mean absolute change of the loss, nats"
    assert max(map(len, heading("universality", "excess_std"))) <= 36


@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_is_drawn_of_empty_tables(name: str) -> None:
    tables = {each.name: each.empty() for each in (*MEASURED.values(), *ALL)}
    tables["activations"] = pl.LazyFrame(
        schema={
            **dict.fromkeys(("model", "source"), pl.String),
            **dict.fromkeys(("layer", "token_id", "previous_id", "next_id"), pl.Int32),
            **dict.fromkeys(("sequence", "position"), pl.Int32),
            "activation": pl.List(pl.Float32),
        }
    )
    spec = draw(name, tables.__getitem__, tables, "id", {}).to_dict()
    assert spec["title"]["text"] == title_of(name)
    assert "nan" not in json.dumps(spec).lower().replace("dominant", "")


def test_shares_of_layers_without_a_match_count_in_the_mean_over_models(
    drawn: Callable[[Table, str], pl.LazyFrame],
) -> None:
    """Of so many models and layers the mean is drawn; each layer's shares are 100 % together."""
    models, layers = 9, 24
    rows = [
        f"m{model} {layer} 0 o 1 {layer if model else 0}"
        for model in range(models)
        for layer in range(layers)
    ]
    header = "model layer neuron other_model rank other_layer"
    matches = drawn(MEASURED["matches"], "\n".join([header, *rows]))
    chart = match_layers(matches)
    (data,) = chart.to_dict()["datasets"].values()
    shares = pl.DataFrame(data).group_by("layer").agg(pl.col("share").sum())["share"]
    assert shares.to_list() == pytest.approx([100] * layers)
    assert chart.to_dict()["title"]["subtitle"].endswith("mean over the models")


def test_a_line_of_least_squares_is_drawn(drawn: Callable[[Table, str], pl.LazyFrame]) -> None:
    """in_out_sim = 0.5 - sparsity of one model; of another nothing varies."""
    rows = [f"a 0 {n} {n / 10} {0.5 - n / 10}" for n in range(5)] + ["b 0 0 0 0", "b 0 1 0 0"]
    header = "model layer neuron sparsity in_out_sim"
    neurons = drawn(QUERIES["neurons"].table, "\n".join([header, *rows]))
    spec = sparsity_and_alignment(neurons).to_dict()
    (data,) = spec["datasets"].values()
    line = [row for row in data if row["mean"] is not None]
    assert [row["model"] for row in line] == ["a", "a"]
    assert [row["x"] for row in line] == pytest.approx([0, 0.4])
    assert [row["mean"] for row in line] == pytest.approx([0.5, 0.1])
    assert spec["title"]["subtitle"].endswith("correlation -1.00")


def test_a_feature_that_parts_logits_most_is_chosen(
    drawn: Callable[[Table, str], pl.LazyFrame],
) -> None:
    """Of two features the one of the token whose logit is high; only of universal neurons."""
    logits = {0: [0, 0, 0, 9], 1: [9, 9, 9, 9]}
    effects = drawn(
        MEASURED["logit_effects"],
        "\n".join(
            ["model layer neuron token_id logit"]
            + [f"a 0 {n} {t} {value}" for n, each in logits.items() for t, value in enumerate(each)]
        ),
    )
    features = drawn(
        QUERIES["token_features"].table,
        "feature kind token_id\nhigh rule 3\nlow rule 0\nlow rule 1",
    )
    shape = drawn(QUERIES["vocab_shape"].table, "model layer neuron vocab_kurt\na 0 0 5\na 0 1 9")
    universal = drawn(
        QUERIES["universality"].table, "model layer neuron is_universal\na 0 0 true\na 0 1 false"
    )
    chart = logit_effects(effects, features, shape, universal)
    (data,) = chart.to_dict()["datasets"].values()
    assert {row["neuron"] for row in data} == {"a L0.N0: high"}
    assert {row["group"]: row["n"] for row in data} == {"true": 1, "not": 3}


def test_percentiles_are_of_the_layer(drawn: Callable[[Table, str], pl.LazyFrame]) -> None:
    """The one universal neuron of five has the highest kurt and the lowest skew of its layer."""
    rows = [f"a 0 {n} {n} {-n} {str(n == 4).lower()}" for n in range(5)]
    rows.append("a 1 0 100 -100 false")
    header = "model layer neuron kurt skew is_universal"
    neurons = drawn(QUERIES["neurons"].table, "\n".join([header, *rows]))
    (data,) = property_percentiles(neurons).to_dict()["datasets"].values()
    found = {row["property"]: row["q50"] for row in data}
    assert found["kurt"] == 100
    assert found["skew"] == 20


def test_activations_of_a_source_are_told_from_those_of_others(
    drawn: Callable[[Table, str], pl.LazyFrame],
) -> None:
    """Neuron 0 answers to code; what explains neuron 1 is a topic and no source."""
    sample = pl.LazyFrame(
        {
            "model": "a",
            "layer": [0, 0, 0],
            "sequence": 0,
            "position": [1, 2, 3],
            "source": ["code", "code", "prose"],
            "activation": [[2.0, 0.0], [2.0, 0.0], [-1.0, 0.0]],
        },
        schema_overrides={"layer": pl.Int32},
    )
    families = drawn(
        QUERIES["families"].table,
        """
        model layer neuron family  family_feature family_value
        a     0     0      context code           0.7
        a     0     1      context topic=code     0.9
        """,
    )
    (data,) = source_classes(sample, families).to_dict()["datasets"].values()
    assert {row["name"] for row in data} == {"a L0.N0 code"}
    found = {(row["group"], round(row["end"], 3)): row["share"] for row in data}
    assert found == {("the source", 2): 100, ("others", -0.95): 100}


def test_features_are_counted_once_by_their_size(
    drawn: Callable[[Table, str], pl.LazyFrame],
) -> None:
    table = drawn(
        QUERIES["universal_features"].table,
        """
        model layer neuron is_representative n_members n_models
        a     0     0      true              3         2
        a     0     1      false             3         2
        b     0     0      false             3         2
        a     1     0      true              1         1
        b     1     0      true              1         1
        """,
    )
    spec = group_sizes(table).to_dict()
    (data,) = spec["datasets"].values()
    assert [(row["n_members"], row["n_models"], row["n"]) for row in data] == [(1, 1, 2), (3, 2, 1)]
    assert spec["title"]["subtitle"] == "3 features of 5 universal neurons"


LARGE = [(9, 24), (3, 60)]


@pytest.mark.parametrize(("models", "layers"), LARGE)
def test_charts_by_layer_are_drawn_of_many_models_and_layers(
    tmp_path: Path, models: int, layers: int
) -> None:
    """Of two neurons a layer; of too many cells for a picture the means over the models are."""
    keys = pl.LazyFrame({"model": [f"m{n}" for n in range(models)]})
    for name, n in (("layer", layers), ("neuron", 2)):
        keys = keys.join(pl.LazyFrame({name: range(n)}), how="cross")
    random = np.random.default_rng(0)
    values = pl.Series(random.random(models * layers * 2))
    tables = {
        "matches": keys.join(
            pl.LazyFrame({"other_layer": range(layers)}), how="cross"
        ).with_columns(rank=1),
        "layer_similarity": keys.filter(neuron=0)
        .join(pl.LazyFrame({"other_layer": range(layers)}), how="cross")
        .with_columns(other_model=pl.lit("o"), cka=0.5),
        "universality": keys.with_columns(excess_corr=values, is_universal=pl.col("neuron") == 0),
        "neurons": keys.with_columns(
            is_universal=pl.col("neuron") == 0, **dict.fromkeys(BY_LAYER, values)
        ),
    }
    for name in ("match_layers", "layer_likeness", "excess_by_layer", "properties_by_layer"):
        chart = draw(name, tables.__getitem__, tables, "id", {})
        assert sum(map(len, chart.to_dict()["datasets"].values())) < 5_000
        chart.save(str(tmp_path / f"{name}.png"))


def test_thresholds_that_are_not_at_default_are_told(family: Run) -> None:
    """And used: in the paper's rule of the share of universal neurons."""
    changed = {"universality.threshold": -1.0}
    table = family.query("universality", threshold=-1.0)
    chart = draw("universal_share", lambda name: table, ["universality"], "id", changed)
    spec = chart.to_dict()
    (rows,) = spec["datasets"].values()
    known = table.select(pl.col("excess_corr").is_not_null().mean()).collect().item()
    found = [row["share"] for row in rows if row["asked"].startswith("mean excess")]
    assert np.mean(found) == pytest.approx(100 * known)
    said = ["48 neurons a model; excess above -1", "not at default: universality.threshold=-1.0"]
    assert spec["title"]["subtitle"] == said


def test_words_their_beginnings_and_middles_are_told_apart(
    drawn: Callable[[Table, str], pl.LazyFrame],
) -> None:
    """` the`, ` re` before `ject`, `ject`, and a line's end; of the last the next is not known."""
    vocabulary = pl.LazyFrame({"token_id": [1, 2, 3, 4], "text": [" the", " re", "ject", "\n"]})
    ids = [1, 2, 3, 4]
    sample = pl.LazyFrame(
        {
            "model": "a",
            "layer": 0,
            "sequence": 0,
            "position": range(1, 5),
            "source": "s",
            "token_id": ids,
            "previous_id": [4, *ids[:-1]],
            "next_id": [*ids[1:], 1],
            "activation": [[float(each)] for each in ids],
        },
        schema_overrides={"layer": pl.Int32},
    )
    explanations = drawn(
        QUERIES["explanations"].table,
        """
        model layer neuron by    offset  feature                     explained_held_out
        a     0     0      token current start_w_no_space_and_letter 0.5
        """,
    )
    (rows,) = word_places(sample, explanations, vocabulary).to_dict()["datasets"].values()
    found = {row["group"]: round(row["end"]) for row in rows}
    assert found == {"word": 1, "beginning": 2, "middle": 3, "no word": 4}


def test_a_misspelt_chart_is_told_the_nearest(family: Run) -> None:
    with pytest.raises(ChartError, match=r"No chart 'match_layer'; .* mean 'match_layers'"):
        family.chart("match_layer")
