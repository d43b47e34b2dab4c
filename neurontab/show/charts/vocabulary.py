"""Charts of what neurons do to the logits, and to attention, by their weights."""

from typing import Literal

import altair as alt
import polars as pl

from neurontab.show.charts.counting import counted, densities, heat, per_model
from neurontab.show.charts.drawing import binned, heat_chart, histogram_chart
from neurontab.show.charts.style import (
    COLOURS,
    HEIGHT,
    KEYS,
    LEVEL,
    SMALL,
    STRONG,
    WIDTH,
    Chart,
    by_model,
    chart_of,
    heading,
    titled,
)

LAST = 4  # layers
MOST = 500  # neurons that are drawn one by one
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
    """Skewness of neurons that raise or lower few tokens, in the last layers: suppression below 0.

    Gurnee et al. 2024, figure 6c: densities by Gaussian kernels of half a standard deviation,
    lines are means over the models, bands reach from the lowest to the highest.
    """
    last = pl.col("layer") > pl.col("layer").max().over("model") - LAST
    peaked = vocab_shape.filter(last, pl.col("vocab_kurt") > PEAKED).drop_nulls("vocab_skew")
    curves = densities(peaked.select("model", "layer", value="vocab_skew")).collect()
    few = peaked.sort("vocab_kurt", "model", "neuron", descending=[True, False, False]).head(MOST)
    each = few.select("model", "layer", "neuron", at="vocab_skew").collect()
    colour = alt.Color("layer:N", title="layer", scale=alt.Scale(range=COLOURS), legend=STRONG)
    farthest = max(map(abs, each["at"]), default=0) + 1
    sides = alt.Scale(domain=[-farthest, farthest])
    across = alt.X("at:Q", title=heading("vocab_shape", "vocab_skew"), scale=sides)
    base = chart_of(curves).encode(x=across, color=colour)
    value = alt.Y("low:Q", title="density")
    chart = alt.layer(
        base.mark_area(opacity=0.25, clip=True).encode(y=value, y2="high:Q"),
        base.mark_line(clip=True).encode(y="mean:Q"),
        chart_of(each).mark_tick(thickness=2).encode(x=across, color=colour, y=alt.value(HEIGHT)),
    ).properties(width=WIDTH, height=HEIGHT)
    n, below = peaked.select(pl.len(), (pl.col("vocab_skew") < 0).sum()).collect().row(0)
    said = f"{n:,} neurons of all models with vocab_kurt > {PEAKED}, {below:,} below 0"
    return titled(chart, f"{said}; a tick is a neuron, curves are of two and more")


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
    titles = (["log10 of", *heading("neurons", name)] for name in ("w_out_norm", "vocab_var"))
    chart = heat_chart(cells, *titles)
    return titled(chart, per_model(cells))


def logit_effects(
    logit_effects: pl.LazyFrame,
    token_features: pl.LazyFrame,
    vocab_shape: pl.LazyFrame,
    universality: pl.LazyFrame,
) -> Chart:
    """Logits of all tokens, by a feature that parts them most, of six universal neurons.

    Gurnee et al. 2024, figures 1e and 5.
    """
    few = (
        vocab_shape.drop_nulls("vocab_kurt")
        .join(universality.filter("is_universal"), on=KEYS, how="semi")
        .join(logit_effects, on=KEYS, how="semi")
    )
    chosen = few.sort("vocab_kurt", *KEYS, descending=[True, False, False, False]).head(6)
    effects = logit_effects.join(chosen.select(KEYS), on=KEYS).select(*KEYS, "token_id", "logit")
    logits = effects.collect().lazy()
    sums = logits.group_by(KEYS).agg(n=pl.len(), total=pl.col("logit").sum())
    true = logits.join(token_features.filter(kind="rule"), on="token_id")
    parted = (
        true.group_by(*KEYS, "feature")
        .agg(n_true=pl.len(), sum_true=pl.col("logit").sum())
        .join(sums, on=KEYS)
        .filter(pl.col("n_true") < pl.col("n"))
        .with_columns(
            between=(pl.col("sum_true") - pl.col("n_true") * pl.col("total") / pl.col("n")).pow(2)
            / (pl.col("n_true") * (1 - pl.col("n_true") / pl.col("n")))
        )
        .sort("between", "feature", descending=[True, False])
        .group_by(KEYS)
        .agg(pl.col("feature").first())
    )
    labelled = token_features.select("feature", "token_id").with_columns(true=pl.lit(value=True))
    values = (
        logits.join(parted, on=KEYS)
        .join(labelled, on=["feature", "token_id"], how="left")
        .select(
            neuron=pl.format("{} L{}.N{}: {}", *KEYS, "feature"),
            group=pl.when(pl.col("true")).then(pl.lit("true")).otherwise(pl.lit("not")),
            value="logit",
        )
    )
    numbers = counted(values, ["neuron", "group"]).filter(pl.col("n") > 0).collect()
    x = alt.X("value:Q", title=heading("logit_effects", "logit"))
    y = alt.Y("n:Q", title="tokens", scale=alt.Scale(type="symlog"))
    chart = binned(numbers, "neuron", x, y, ("true", "not"))
    return titled(
        chart, "of the universal neurons whose logits are kept, those with the highest vocab_kurt"
    )


def vocab_cosines(
    logit_effects: pl.LazyFrame, ablation_effects: pl.LazyFrame, role_candidates: pl.LazyFrame
) -> Chart:
    """Cosines of all tokens with neurons that may change entropy, and with random others.

    Gurnee et al. 2024, figure 7b: an entropy neuron is at right angles to nearly all tokens.
    """
    candidate, control = pl.col("is_entropy_candidate"), pl.col("is_control")
    last = (
        ablation_effects.select(*KEYS, control)
        .join(role_candidates.select(*KEYS, candidate), on=KEYS)
        .filter(candidate.any().over("model"), candidate | control)
    )
    kind = pl.when(candidate).then(pl.lit("candidate")).otherwise(pl.lit("random other"))
    values = logit_effects.join(last, on=KEYS).select(
        "model", kind=kind, value="cosine", name=pl.format("{}.{}", "layer", "neuron")
    )
    each = counted(values, ["model", "kind", "name"])
    number = pl.col("n")
    numbers = (
        each.group_by("model", "kind", "value")
        .agg(
            neurons=pl.len(),
            mean=number.mean(),
            low=number.min(),
            high=number.max(),
        )
        .sort("model", "kind", "value")
        .collect()
    )
    base = chart_of(numbers).encode(
        x=alt.X("value:Q", title=heading("logit_effects", "cosine")),
        color=alt.Color("kind:N", title=None, scale=alt.Scale(range=COLOURS), legend=STRONG),
    )
    tokens = alt.Y("low:Q", title="tokens", scale=alt.Scale(type="symlog"))
    stepped: Literal["step-after"] = "step-after"
    chart = alt.layer(
        base.mark_area(opacity=0.25, interpolate=stepped).encode(y=tokens, y2="high:Q"),
        base.mark_line(interpolate=stepped).encode(y="mean:Q"),
    ).properties(width=SMALL, height=SMALL)
    sizes = numbers.unique(["model", "kind"]).group_by("kind").agg(pl.col("neurons").sum())
    said = ", ".join(f"{n:,} {kind}" for kind, n in sizes.sort("kind").rows())
    return titled(by_model(chart), f"neurons of the last layer: {said}; means, lowest and highest")


def promoted_tokens(
    vocab_tokens: pl.LazyFrame, vocabulary: pl.LazyFrame, universality: pl.LazyFrame
) -> Chart:
    """Tokens that the most universal neurons promote and suppress most."""
    best = (
        universality.drop_nulls("excess_corr")
        .sort("excess_corr", *KEYS, descending=[True, False, False, False])
        .head(12)
        .select(KEYS)
    )
    shown = (
        vocab_tokens.filter(pl.col("rank") <= 5)
        .join(best, on=KEYS)
        .join(vocabulary.select("token_id", "text"), on="token_id")
        .with_columns(
            name=pl.format("{} L{}.N{}", *KEYS),
            text=pl.format("'{}'", pl.col("text").str.replace_all("\n", "↵")),
            at=pl.col("rank") * pl.when(pl.col("direction") == "promoted").then(1).otherwise(-1),
        )
        .select("name", "at", "text", "direction", "cosine")
        .sort("name", "at")
        .collect()
    )
    chart = (
        chart_of(shown)
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
        .group_by(KEYS)
        .agg(value=ratio.sort_by(ratio.abs()).last())
    )
    numbers = counted(values, ["model"]).collect()
    return titled(
        histogram_chart(numbers, ["bos_score over", "bos_score_chance"]),
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
    base = chart_of(spread).encode(
        x=alt.X("layer:O", title="layer", axis=LEVEL),
        color=alt.Color(
            "quantile:N",
            title="of the neurons",
            sort=[f"{100 * q:.0f} %" for q in levels],
            scale=alt.Scale(range=COLOURS),
            legend=STRONG,
        ),
    )
    value = alt.Y("low:Q", title=heading("vocab_shape", name), scale=alt.Scale(zero=False))
    chart = alt.layer(
        base.mark_area(opacity=0.25).encode(y=value, y2="high:Q"),
        base.mark_line(point=True).encode(y="mean:Q"),
    ).properties(width=WIDTH, height=HEIGHT)
    sizes = table.drop_nulls(name).group_by("model").len("n").collect()
    return titled(chart, f"{len(sizes)} models, {per_model(sizes)}")


CHARTS = (
    vocab_kurt_by_layer,
    vocab_skew_by_layer,
    vocab_skew_of_peaked,
    vocab_variance_and_length,
    logit_effects,
    vocab_cosines,
    promoted_tokens,
    attention_scores,
)
