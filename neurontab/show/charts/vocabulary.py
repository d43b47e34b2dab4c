"""Charts of what neurons do to the logits, and to attention, by their weights."""

import altair as alt
import polars as pl

from neurontab.show.charts.style import (
    COLOURS,
    HEIGHT,
    LEVEL,
    SMALL,
    WIDTH,
    Chart,
    counted,
    heat,
    heat_chart,
    histogram_chart,
    per_model,
    titled,
)

MOST = 2_000  # neurons that are drawn one by one
PEAKED = 10  # vocab_kurt of prediction and suppression neurons, in the paper


def vocab_kurt_by_layer(vocab_shape: pl.LazyFrame) -> Chart:
    """Kurtosis of the cosines with the vocabulary, by layer.

    Gurnee et al. 2024, figure 6a: lines are means over the models, bands reach from the lowest to
    the highest.
    """
    return _bands(vocab_shape, "vocab_kurt")


def vocab_skew_by_layer(vocab_shape: pl.LazyFrame) -> Chart:
    """Skewness of the cosines with the vocabulary, by layer.

    Gurnee et al. 2024, figure 6b, drawn as 6a.
    """
    return _bands(vocab_shape, "vocab_skew")


def vocab_skew_of_peaked(vocab_shape: pl.LazyFrame) -> Chart:
    """Skewness of neurons that raise or lower few tokens, by layer: suppression below 0.

    Gurnee et al. 2024, figure 6c; vocab_kurt above 10.
    """
    peaked = vocab_shape.filter(pl.col("vocab_kurt") > PEAKED).drop_nulls("vocab_skew")
    drawn = peaked.select("model", "layer", "neuron", "vocab_skew", "vocab_kurt").collect()
    chart = (
        alt.Chart(drawn.sort("vocab_kurt", descending=True).head(MOST))
        .mark_tick(thickness=2)
        .encode(
            x=alt.X("vocab_skew:Q", title="vocab_skew", scale=alt.Scale(domainMid=0)),
            y=alt.Y("layer:O", title="layer"),
            color=alt.Color("model:N", title=None, scale=alt.Scale(range=COLOURS)),
        )
        .properties(width=WIDTH, height=HEIGHT)
    )
    below = (drawn["vocab_skew"] < 0).sum()
    shown = min(len(drawn), MOST)
    said = f"{len(drawn):,} neurons of all models, {below:,} of them below 0; {shown:,} are drawn"
    return titled(chart, said)


def vocab_variance_and_length(neurons: pl.LazyFrame) -> Chart:
    """Variance of the cosines with the vocabulary, against the length of the output vector.

    Stolfo et al. 2024, figure 2a: entropy neurons are long, and their variance is low.
    """
    logs = neurons.filter(pl.col("vocab_var") > 0, pl.col("w_out_norm") > 0).select(
        "model",
        w_out_norm=pl.col("w_out_norm").log10(),
        vocab_var=pl.col("vocab_var").log10(),
    )
    cells = heat(logs, "w_out_norm", "vocab_var")
    chart = heat_chart(cells, "log10 of w_out_norm", "log10 of vocab_var")
    return titled(chart, per_model(cells))


def logit_effects(
    logit_effects: pl.LazyFrame, token_features: pl.LazyFrame, vocab_shape: pl.LazyFrame
) -> Chart:
    """Logits of all tokens, by a feature that parts them most, of six universal neurons.

    Gurnee et al. 2024, figures 1e and 5.
    """
    keys = ["model", "layer", "neuron"]
    few = vocab_shape.drop_nulls("vocab_kurt").join(
        logit_effects.select(keys).unique(), on=keys, how="semi"
    )
    chosen = few.sort("vocab_kurt", *keys, descending=[True, False, False, False]).head(6)
    effects = logit_effects.join(chosen.select(keys), on=keys).select(*keys, "token_id", "logit")
    logits = effects.collect().lazy()
    sums = logits.group_by(keys).agg(n=pl.len(), total=pl.col("logit").sum())
    true = logits.join(token_features.filter(kind="rule"), on="token_id")
    parted = (
        true.group_by(*keys, "feature")
        .agg(n_true=pl.len(), sum_true=pl.col("logit").sum())
        .join(sums, on=keys)
        .filter(pl.col("n_true") < pl.col("n"))
        .with_columns(
            between=(pl.col("sum_true") - pl.col("n_true") * pl.col("total") / pl.col("n")).pow(2)
            / (pl.col("n_true") * (1 - pl.col("n_true") / pl.col("n")))
        )
        .sort("between", "feature", descending=[True, False])
        .group_by(keys)
        .agg(pl.col("feature").first())
    )
    labelled = token_features.select("feature", "token_id").with_columns(true=pl.lit(value=True))
    values = (
        logits.join(parted, on=keys)
        .join(labelled, on=["feature", "token_id"], how="left")
        .select(
            neuron=pl.format("{} L{}.N{}: {}", *keys, "feature"),
            feature=pl.when(pl.col("true")).then(pl.lit("true")).otherwise(pl.lit("not")),
            value="logit",
        )
    )
    numbers = counted(values, ["neuron", "feature"]).collect()
    chart = (
        alt.Chart(numbers.filter(pl.col("n") > 0))
        .mark_bar(opacity=0.7)
        .encode(
            x=alt.X("value:Q", title="logit a unit of activation adds"),
            y=alt.Y("n:Q", title="tokens", scale=alt.Scale(type="symlog"), stack=None),
            color=alt.Color(
                "feature:N", title=None, scale=alt.Scale(domain=["not", "true"], range=COLOURS)
            ),
        )
        .properties(width=0.8 * WIDTH, height=SMALL)
        .facet(alt.Facet("neuron:N", title=None), columns=3)
    )
    return titled(chart, "of the neurons whose logits are kept, those with the highest vocab_kurt")


def promoted_tokens(
    vocab_tokens: pl.LazyFrame, vocabulary: pl.LazyFrame, universality: pl.LazyFrame
) -> Chart:
    """Tokens that the most universal neurons promote and suppress most."""
    keys = ["model", "layer", "neuron"]
    best = (
        universality.drop_nulls("excess_corr")
        .sort("excess_corr", *keys, descending=[True, False, False, False])
        .head(12)
        .select(keys)
    )
    shown = (
        vocab_tokens.filter(pl.col("rank") <= 5)
        .join(best, on=keys)
        .join(vocabulary.select("token_id", "text"), on="token_id")
        .with_columns(
            name=pl.format("{} L{}.N{}", *keys),
            text=pl.format("'{}'", pl.col("text").str.replace_all("\n", "↵")),
            at=pl.col("rank") * pl.when(pl.col("direction") == "promoted").then(1).otherwise(-1),
        )
        .select("name", "at", "text", "direction", "cosine")
        .sort("name", "at")
        .collect()
    )
    chart = (
        alt.Chart(shown)
        .mark_text(fontSize=10, font="monospace")
        .encode(
            x=alt.X("at:O", title="rank, suppressed below 0", axis=LEVEL),
            y=alt.Y("name:N", title=None),
            text="text:N",
            color=alt.Color("direction:N", title=None, scale=alt.Scale(range=COLOURS)),
        )
        .properties(width=2.4 * WIDTH, height=HEIGHT)
    )
    names = shown["name"].n_unique()
    return titled(chart, f"{names} neurons with the highest excess_corr")


def attention_scores(head_scores: pl.LazyFrame) -> Chart:
    """Effect on the later head whose attention to BOS a neuron moves most, over chance.

    After Gurnee et al. 2024, figure 8a, which is of all pairs of neurons and heads. Chance is what
    random vectors move the head at most: beyond 1 there is more.
    """
    ratio = pl.col("bos_score") / pl.col("bos_score_chance")
    values = (
        head_scores.filter(pl.col("bos_score_chance") > 0)
        .group_by("model", "layer", "neuron")
        .agg(value=ratio.sort_by(ratio.abs()).last())
    )
    numbers = counted(values, ["model"]).collect()
    return titled(
        histogram_chart(numbers, "bos_score over chance"),
        f"{per_model(numbers)} before the last layer",
    )


def _bands(table: pl.LazyFrame, name: str) -> Chart:
    """Quantiles by layer, mean and range over the models."""
    levels = (0.05, 0.1, 0.5, 0.9, 0.95)
    by_layer = table.drop_nulls(name).group_by("model", "layer")
    spread = (
        by_layer.agg(**{f"{100 * q:.0f} %": pl.col(name).quantile(q, "linear") for q in levels})
        .unpivot(index=["model", "layer"], variable_name="quantile")
        .group_by("layer", "quantile")
        .agg(mean=pl.col("value").mean(), low=pl.col("value").min(), high=pl.col("value").max())
        .sort("quantile", "layer")
        .collect()
    )
    base = alt.Chart(spread).encode(
        x=alt.X("layer:O", title="layer", axis=LEVEL),
        color=alt.Color(
            "quantile:N",
            title="of the neurons",
            sort=[f"{100 * q:.0f} %" for q in levels],
            scale=alt.Scale(range=COLOURS),
        ),
    )
    value = alt.Y("low:Q", title=name, scale=alt.Scale(zero=False))
    chart = alt.layer(
        base.mark_area(opacity=0.25).encode(y=value, y2="high:Q"),
        base.mark_line(point=True).encode(y="mean:Q"),
    ).properties(width=WIDTH, height=HEIGHT)
    models = table.select(pl.col("model").n_unique()).collect().item()
    return titled(chart, f"{models} models")


CHARTS = (
    vocab_kurt_by_layer,
    vocab_skew_by_layer,
    vocab_skew_of_peaked,
    vocab_variance_and_length,
    logit_effects,
    promoted_tokens,
    attention_scores,
)
