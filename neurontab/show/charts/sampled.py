"""Charts of single activations, at the positions at which a build keeps those of all neurons.

As in the paper they are of pre. Only features that are true at enough of these positions are drawn.
"""

from collections.abc import Sequence

import altair as alt
import polars as pl

from neurontab.show.charts.counting import counted
from neurontab.show.charts.drawing import binned
from neurontab.show.charts.style import KEYS, Chart, titled

SHOWN = 6  # neurons
COMMON = 0.01  # of the positions, at which a feature is true at least
GOES_ON = "start_w_no_space_and_letter"


def token_classes(
    activations: pl.LazyFrame, families: pl.LazyFrame, token_features: pl.LazyFrame
) -> Chart:
    """Pre-activation where the token has a neuron's feature, and where it has not.

    Gurnee et al. 2024, figures 1b, 16 and 17; of the families unigram, alphabet and syntax those
    that are explained best.
    """
    return _by_feature(
        activations, families, token_features, "token_id", ("unigram", "alphabet", "syntax")
    )


def previous_classes(
    activations: pl.LazyFrame, families: pl.LazyFrame, token_features: pl.LazyFrame
) -> Chart:
    """Pre-activation where the token before has a neuron's feature, and where it has not.

    Gurnee et al. 2024, figure 18.
    """
    return _by_feature(activations, families, token_features, "previous_id", ("previous_token",))


def source_classes(activations: pl.LazyFrame, families: pl.LazyFrame) -> Chart:
    """Pre-activation in the source that a neuron responds to, and in the others.

    Gurnee et al. 2024, figures 1d and 21; of the family context those that sources explain best.
    """
    sources = activations.select(family_feature="source").unique()
    known = families.join(sources, on="family_feature", how="semi")
    values = _of(activations, _clearest(known, ("context",))).with_columns(
        group=pl.when(pl.col("source") == pl.col("family_feature"))
        .then(pl.lit("the source"))
        .otherwise(pl.lit("others"))
    )
    return _histograms(values, ("the source", "others"))


def word_places(
    activations: pl.LazyFrame, explanations: pl.LazyFrame, vocabulary: pl.LazyFrame
) -> Chart:
    """Pre-activation where the token is a word, the beginning or the middle of one, or no word.

    Gurnee et al. 2024, figures 4a and 15; of the neurons of which most is explained by whether the
    token, or the next, goes on with a word. A word or beginning has a space before its first
    letter, a middle has none; what comes after a beginning is a middle.
    """
    place = explanations.filter(
        pl.col("feature") == GOES_ON, pl.col("offset").is_in(["current", "next"])
    )
    feature = pl.format("{} {}", "offset", "family_feature")
    chosen = _best(place).with_columns(family_feature=feature)
    middle = vocabulary.select("token_id", middle=pl.col("text").str.contains(r"^\p{L}"))
    begins = vocabulary.select("token_id", begins=pl.col("text").str.contains(r"^ \p{L}"))
    values = (
        _of(activations, chosen)
        .join(middle.join(begins, on="token_id"), on="token_id")
        .join(middle.select(next_id="token_id", goes_on="middle"), on="next_id")
        .with_columns(
            group=pl.when("middle")
            .then(pl.lit("middle"))
            .when(~pl.col("begins"))
            .then(pl.lit("no word"))
            .when("goes_on")
            .then(pl.lit("beginning"))
            .otherwise(pl.lit("word"))
        )
    )
    return _histograms(values, ("word", "beginning", "middle", "no word"))


def next_classes(
    activations: pl.LazyFrame, explanations: pl.LazyFrame, token_features: pl.LazyFrame
) -> Chart:
    """Pre-activation where the token after has what explains a neuron best, and where not.

    Gurnee et al. 2024, figure 24, right: neurons that are active before what they predict.
    """
    after = explanations.filter(pl.col("offset") == "next", pl.col("by") == "token").join(
        _common(activations, token_features, "next_id"), on="feature", how="semi"
    )
    return _classes(activations, _best(after), token_features, "next_id")


def _by_feature(
    activations: pl.LazyFrame,
    families: pl.LazyFrame,
    token_features: pl.LazyFrame,
    token: str,
    wanted: Sequence[str],
) -> Chart:
    common = _common(activations, token_features, token)
    known = families.join(common, left_on="family_feature", right_on="feature", how="semi")
    return _classes(activations, _clearest(known, wanted), token_features, token)


def _common(activations: pl.LazyFrame, token_features: pl.LazyFrame, token: str) -> pl.LazyFrame:
    """The features of a token beside the sampled positions that are true at enough of them."""
    places = activations.select("sequence", "position", token).unique()
    true = places.join(token_features, left_on=token, right_on="token_id").group_by("feature").len()
    least = places.select(least=COMMON * pl.len())
    return true.join(least, how="cross").filter(pl.col("len") >= pl.col("least")).select("feature")


def _classes(
    activations: pl.LazyFrame, chosen: pl.LazyFrame, token_features: pl.LazyFrame, token: str
) -> Chart:
    """By whether a token has the feature of each neuron."""
    labelled = token_features.select(
        pl.col("token_id").alias(token), family_feature="feature", group=pl.lit("true")
    )
    values = (
        _of(activations, chosen)
        .drop_nulls(token)
        .join(labelled, on=[token, "family_feature"], how="left")
        .with_columns(pl.col("group").fill_null("not"))
    )
    return _histograms(values, ("true", "not"))


def _clearest(families: pl.LazyFrame, wanted: Sequence[str]) -> pl.LazyFrame:
    """The neurons of some families with the highest evidence, and what it is of."""
    return (
        families.filter(pl.col("family").is_in(list(wanted)))
        .sort("family_value", *KEYS, descending=[True, False, False, False])
        .head(SHOWN)
        .select(*KEYS, "family_feature")
    )


def _best(explanations: pl.LazyFrame) -> pl.LazyFrame:
    """The neurons of which most is explained in held-out documents, and by what."""
    return (
        explanations.drop_nulls("explained_held_out")
        .sort("explained_held_out", *KEYS, descending=[True, False, False, False])
        .unique(KEYS, keep="first", maintain_order=True)
        .head(SHOWN)
        .select(*KEYS, "offset", family_feature="feature")
    )


def _of(activations: pl.LazyFrame, chosen: pl.LazyFrame) -> pl.LazyFrame:
    """The activations of a few neurons, one row a position."""
    rows = activations.join(chosen, on=["model", "layer"])
    value = pl.col("activation").list.get(pl.col("neuron"))
    return rows.with_columns(value=value).drop("activation").collect().lazy()


def _histograms(values: pl.LazyFrame, groups: Sequence[str]) -> Chart:
    """Of each neuron, by group: per cent of the group's positions."""
    named = values.select(
        "group", "value", name=pl.format("{} L{}.N{} {}", *KEYS, "family_feature")
    )
    numbers = (
        counted(named, ["name", "group"])
        .with_columns(share=100 * pl.col("n") / pl.col("n").sum().over("name", "group"))
        .filter(pl.col("n") > 0)
        .collect()
    )
    x = alt.X("value:Q", title="pre, before the activation function")
    chart = binned(numbers, "name", x, alt.Y("share:Q", title="% of the positions"), groups)
    neurons = numbers["name"].n_unique()
    n = numbers["n"].sum() // max(neurons, 1)
    return titled(chart, f"{n:,} sampled positions; neurons: {neurons}, those explained best")


CHARTS = (token_classes, previous_classes, source_classes, word_places, next_classes)
