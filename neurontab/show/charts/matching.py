"""Charts of how neurons of different models agree."""

import altair as alt
import polars as pl

from neurontab.show.charts.counting import CELLS, counted, heat, per_model
from neurontab.show.charts.drawing import heat_chart, steps
from neurontab.show.charts.style import (
    COLOURS,
    DASHES,
    HEIGHT,
    LEVEL,
    SMALL,
    UNIVERSAL,
    WIDTH,
    Chart,
    by_model,
    chart_of,
    heading,
    titled,
    wide,
)

FEW = 12  # layers of which single numbers are written in cells
UPRIGHT = 8  # layers above which they stand upright
STEP = 0.05  # of a correlation, within which a mean is taken


def correlations(universality: pl.LazyFrame) -> Chart:
    """Best correlation, baseline and excess of every neuron.

    Gurnee et al. 2024, figures 2a and 11.
    """
    names = ["mean_corr", "mean_baseline", "excess_corr"]
    values = universality.unpivot(names, index="model", variable_name="quantity").drop_nulls()
    numbers = counted(values, ["model", "quantity"], step=1 / 60).collect()
    chart = (
        chart_of(numbers)
        .mark_line(interpolate="step-after")
        .encode(
            x=alt.X("value:Q", title=["mean over", "the other models"], axis=alt.Axis(tickCount=4)),
            y=alt.Y("n:Q", title="neurons", scale=alt.Scale(type="symlog")),
            color=alt.Color(
                "quantity:N", title=None, scale=alt.Scale(domain=names, range=COLOURS[:3])
            ),
            strokeDash=alt.StrokeDash(
                "quantity:N", title=None, scale=alt.Scale(domain=names, range=DASHES)
            ),
        )
        .properties(width=SMALL, height=HEIGHT)
    )
    return titled(by_model(chart), per_model(numbers.filter(quantity="excess_corr")))


def excess_by_layer(universality: pl.LazyFrame) -> Chart:
    """Excess over the baseline by layer: median, quartiles, 1 and 99 % of the neurons.

    Gurnee et al. 2024, section 4.1.
    """
    excess = pl.col("excess_corr")
    levels = {"p1": 0.01, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p99": 0.99}
    spread = (
        universality.drop_nulls("excess_corr")
        .group_by("model", "layer")
        .agg(
            pl.len().alias("n"),
            universal=pl.col("is_universal").sum(),
            **{name: excess.quantile(level, "linear") for name, level in levels.items()},
        )
        .sort("model", "layer")
        .collect()
    )
    base = chart_of(spread).encode(x=alt.X("layer:O", title="layer", axis=LEVEL))
    value = alt.Y("p1:Q", title=heading("universality", "excess_corr"), scale=alt.Scale(padding=12))
    layers = spread["layer"].n_unique()
    width = wide(layers, 12)
    size = 0.5 * width / max(layers, 1)
    turned = {"angle": 270, "align": "left", "dx": 8} if layers > UPRIGHT else {"dy": -8}
    chart = alt.layer(
        base.mark_rule(color=COLOURS[0]).encode(y=value, y2="p99:Q"),
        base.mark_bar(color=COLOURS[4], size=size).encode(y="p25:Q", y2="p75:Q"),
        base.mark_tick(color="black", thickness=2, size=size).encode(y="p50:Q"),
        base.mark_text(**turned).encode(y="p99:Q", text="universal:Q"),
    ).properties(width=width, height=HEIGHT)
    n = f"{per_model(spread)}; the number above is of universal neurons"
    return titled(by_model(chart), n)


def match_layers(matches: pl.LazyFrame) -> Chart:
    """Layer of the best match in the other models, in per cent of the layer's neurons.

    Gurnee et al. 2024, figures 2c and 12.
    """
    pair = ["model", "layer", "other_layer"]
    numbers = matches.filter(pl.col("rank") == 1).group_by(pair).len("n")
    others = numbers.select("other_layer").unique()
    every = numbers.select("model", "layer").unique().join(others, how="cross")
    n = pl.col("n").fill_null(0)
    shares = every.join(numbers, on=pair, how="left").with_columns(
        n, share=100 * n / n.sum().over(pair[:-1])
    )
    cells = shares.sort(pair).collect()
    said = f"{cells['n'].sum():,} best matches, over all other models"
    return _grid(cells, "share", "layer of the best match", "%", ".0f", 100, said)


def correlation_range(universality: pl.LazyFrame) -> Chart:
    """Best correlation in the least and in the most similar other model.

    Gurnee et al. 2024, figure 2b.
    """
    known = universality.drop_nulls(["min_corr", "max_corr"])
    at = ((pl.col("min_corr") / STEP).floor() + 0.5) * STEP
    means = known.group_by("model", x=at.cast(pl.Float64)).agg(mean=pl.col("max_corr").mean())
    return _against(
        universality,
        "min_corr",
        "max_corr",
        means.sort("model", "x"),
        "the line is max_corr's mean",
    )


def baseline_kinds(universality: pl.LazyFrame) -> Chart:
    """Excess over raw and over standardised random rotations.

    A raw rotation is dominated by the loudest neurons.
    """
    return _against(universality, "excess_corr", "excess_std")


def universal_share(universality: pl.LazyFrame, *, threshold: float) -> Chart:
    """Share of universal neurons, by what is asked of them.

    The first rule is the paper's: mean excess above the threshold, of 0.5.
    """
    beyond = pl.lit(threshold)
    asked = {
        "mean excess (the paper's)": pl.col("excess_corr") > beyond,
        "excess in every model": pl.col("is_universal_strict"),
        "surely: lower end of the interval": pl.col("excess_lo") > beyond,
        "chosen on half of the documents": pl.col("held_out_excess") > beyond,
        "standardised baseline": pl.col("excess_std") > beyond,
        "also the other's best match": pl.col("is_universal") & pl.col("is_mutual"),
    }
    shares = (
        universality.group_by("model")
        .agg(
            pl.len().alias("n"),
            **{name: _per_cent(rule) for name, rule in asked.items()},
        )
        .unpivot(list(asked), index=["model", "n"], variable_name="asked", value_name="share")
        .sort("model")
        .collect()
    )
    chart = (
        chart_of(shares)
        .mark_point(filled=True, size=60, opacity=0.8)
        .encode(
            x=alt.X("share:Q", title="universal, % of the neurons"),
            y=alt.Y("asked:N", title=None, sort=list(asked), axis=alt.Axis(labelLimit=260)),
            color=alt.Color("model:N", title=None, scale=alt.Scale(range=COLOURS)),
            shape=alt.Shape("model:N", title=None),
        )
        .properties(width=WIDTH, height=HEIGHT)
    )
    n = per_model(shares.filter(asked=next(iter(asked))))
    return titled(chart, f"{n}; excess above {threshold:g}")


def token_shares(universality: pl.LazyFrame) -> Chart:
    """Share of a best match's covariance that is between means of the current token."""
    values = universality.select(group=UNIVERSAL, value="token_share")
    return steps(values, heading("universality", "token_share"), step=1 / 40)


def group_sizes(universal_features: pl.LazyFrame) -> Chart:
    """Universal features by how many neurons and models they are in."""
    sizes = (
        universal_features.filter("is_representative")
        .group_by("n_members", "n_models")
        .len("n")
        .sort("n_members")
        .collect()
    )
    chart = (
        chart_of(sizes)
        .mark_bar()
        .encode(
            x=alt.X(
                "n_members:O",
                title="neurons of all models in the feature",
                axis=LEVEL,
                scale=alt.Scale(domain=[*range(1, 1 + max(sizes["n_members"], default=0))]),
            ),
            y=alt.Y("n:Q", title="features"),
            color=alt.Color("n_models:O", title="models", scale=alt.Scale(scheme="viridis")),
        )
        .properties(width=WIDTH, height=HEIGHT)
    )
    members = sum(n * size for size, _, n in sizes.rows())
    return titled(chart, f"{sizes['n'].sum():,} features of {members:,} universal neurons")


def layer_likeness(layer_similarity: pl.LazyFrame) -> Chart:
    """How alike layers of two models are as a whole: linear CKA, mean over the other models.

    Kornblith et al. 2019.
    """
    pair = ["model", "layer", "other_layer"]
    means = (
        layer_similarity.filter(pl.col("model") != pl.col("other_model"))
        .group_by(pair)
        .agg(pl.col("cka").mean())
        .sort(pair)
        .collect()
    )
    said = f"{means['model'].n_unique()} models, each with the others"
    return _grid(means, "cka", "layer of the other model", "CKA", ".2f", 1, said)


def _per_cent(rule: pl.Expr) -> pl.Expr:
    """Of all neurons; of one that is not matched no rule holds."""
    return 100 * rule.fill_null(value=False).mean()


def _against(
    universality: pl.LazyFrame,
    x: str,
    y: str,
    line: pl.LazyFrame | None = None,
    said: str = "",
) -> Chart:
    """Neurons of each model by two columns, and a line."""
    cells = heat(universality, x, y)
    titles = (heading("universality", name) for name in (x, y))
    chart = heat_chart(cells, *titles, line=None if line is None else line.collect())
    return titled(chart, "; ".join(filter(None, (per_model(cells), said))))


def _grid(
    cells: pl.DataFrame, value: str, x: str, legend: str, written: str, highest: float, said: str
) -> Chart:
    """Layers against layers by model, the number in each cell where there is room.

    Of more cells than can be drawn the means over the models are.
    """
    layers = cells["layer"].n_unique()
    one = len(cells) > CELLS
    if one:
        means = cells.group_by("layer", "other_layer").agg(pl.col(value).mean())
        cells, said = means.sort("layer", "other_layer"), f"{said}; mean over the models"
    base = chart_of(cells).encode(
        x=alt.X("other_layer:O", title=x, axis=LEVEL),
        y=alt.Y("layer:O", title="layer", sort="descending", axis=LEVEL),
    )
    scale = alt.Scale(scheme="viridis", domain=[0, highest])
    drawn = [base.mark_rect().encode(color=alt.Color(f"{value}:Q", title=legend, scale=scale))]
    if layers <= FEW:
        bright = f"datum.{value} > {0.6 * highest}"
        ink = alt.condition(bright, alt.value("black"), alt.value("white"))
        text = alt.Text(f"{value}:Q", format=written)
        drawn.append(base.mark_text(fontSize=9).encode(text=text, color=ink))
    size = wide(layers, 8)
    chart = alt.layer(*drawn).properties(width=size, height=size)
    return titled(chart if one else by_model(chart), said)


CHARTS = (
    correlations,
    excess_by_layer,
    match_layers,
    correlation_range,
    baseline_kinds,
    universal_share,
    token_shares,
    group_sizes,
    layer_likeness,
)
