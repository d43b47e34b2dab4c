"""Charts of what universal neurons have that others have not."""

import altair as alt
import polars as pl

from neurontab.show.charts.counting import BINS, counted, heat, per_model, quantiles
from neurontab.show.charts.drawing import boxes, heat_chart, histogram_chart, steps
from neurontab.show.charts.style import (
    COLOURS,
    GROUP,
    HEIGHT,
    KEYS,
    LEVEL,
    SMALL,
    UNIVERSAL,
    WIDTH,
    Chart,
    chart_of,
    heading,
    titled,
    wide,
)

METRICS = (  # of the paper's figure 3
    *("sparsity", "mean", "skew", "kurt", "input_bias", "in_out_sim", "l2_penalty", "vocab_kurt"),
)
BY_LAYER = ("vocab_kurt", "vocab_skew", "in_out_sim", "l2_penalty", "sparsity", "skew", "kurt")


def property_percentiles(neurons: pl.LazyFrame) -> Chart:
    """Where universal neurons stand in their layer: percentiles of eight properties.

    Gurnee et al. 2024, figure 3. Without a difference, boxes would span 25 to 75.
    """
    ranks = [
        (100 * pl.col(name).rank() / pl.col(name).count()).over("model", "layer").alias(name)
        for name in METRICS
    ]
    spread = (
        neurons.select("model", "is_universal", *ranks)
        .filter("is_universal")
        .unpivot(METRICS, index="model", variable_name="property")
        .drop_nulls()
        .group_by("model", "property")
        .agg(pl.len().alias("n"), **quantiles("value"))
        .sort("model", "property")
        .collect()
    )
    x = alt.X("property:N", title=None, sort=list(METRICS), axis=alt.Axis(labelAngle=-30))
    model = alt.Color("model:N", title=None, scale=alt.Scale(range=COLOURS))
    chart = boxes(spread, x, ["percentile in the layer"], model, size=8)
    of = spread.filter(property="sparsity")
    return titled(
        chart.properties(width=2 * WIDTH, height=HEIGHT),
        f"{of['n'].sum():,} universal neurons of {len(of)} models",
    )


def properties_by_layer(neurons: pl.LazyFrame) -> Chart:
    """Seven properties by layer, of universal neurons and of the others.

    Gurnee et al. 2024, figure 14; of all models together.
    """
    spread = (
        neurons.select("layer", *BY_LAYER, group=UNIVERSAL)
        .unpivot(BY_LAYER, index=["layer", "group"], variable_name="measure")
        .drop_nulls()
        .group_by("measure", "layer", "group")
        .agg(n=pl.len(), **quantiles("value"))
        .sort("measure", "layer", "group")
        .collect()
    )
    width = wide(spread["layer"].n_unique(), 14)
    layer = alt.X("layer:O", title="layer", axis=LEVEL)
    size = 0.3 * width / max(spread["layer"].n_unique(), 1)
    parts = [
        boxes(
            spread.filter(measure=name), layer, heading("neurons", name), GROUP, min(size, 8)
        ).properties(width=width, height=SMALL)
        for name in BY_LAYER
        if name in spread["measure"]
    ]
    n = spread.filter(measure="sparsity").group_by("group").agg(pl.col("n").sum()).sort("group")
    said = ", ".join(f"{count:,} {group}" for group, count in n.rows())
    return titled(alt.concat(*parts, columns=4), f"{said} neurons of all models")


def sparsity_and_alignment(neurons: pl.LazyFrame) -> Chart:
    """Share of positions with pre above 0, against the cosine of input and output vector.

    Gurnee et al. 2024, figure 9.
    """
    both = ("sparsity", "in_out_sim")
    x, y = map(pl.col, both)
    fits = (
        neurons.drop_nulls(both)
        .group_by("model")
        .agg(
            x=pl.concat_list(x.min(), x.max()),
            at=x.mean(),
            height=y.mean(),
            slope=(pl.cov(x, y) / x.var()).fill_nan(None),
            corr=pl.corr(x, y).fill_nan(None),
        )
        .sort("model")
        .collect()
    )
    height = pl.col("height") + pl.col("slope") * (pl.col("x") - pl.col("at"))
    line = fits.explode("x").select("model", "x", mean=height).drop_nulls()
    cells = heat(neurons, *both)
    chart = heat_chart(cells, *(heading("neurons", name) for name in both), line=line)
    known = sorted(fits["corr"].drop_nulls()) or [0.0]
    corr = " to ".join(f"{value:.2f}" for value in known[:: max(len(known) - 1, 1)])
    return titled(chart, f"{per_model(cells)}; lines of least squares, correlation {corr}")


def nearest_vectors(neighbours: pl.LazyFrame, universality: pl.LazyFrame) -> Chart:
    """Highest cosine with any other neuron's input, and output vector.

    Gurnee et al. 2024, figure 10.
    """
    values = (
        neighbours.filter(
            pl.col("rank") == 1, pl.col("side") == "top", pl.col("relation").is_in(_SAME)
        )
        .join(universality.select(*KEYS, group=UNIVERSAL), on=KEYS)
        .select("relation", "group", value="cosine")
    )
    return steps(values, ["highest cosine"], step=1 / 50, facet="relation")


def l2_penalties(neurons: pl.LazyFrame) -> Chart:
    """Squared lengths of input and output vector together.

    Gurnee et al. 2024, figure 7a: entropy neurons are among the longest. Those that may be some by
    their weights are marked.
    """
    values = neurons.select("model", value="l2_penalty")
    numbers = counted(values, ["model"]).collect()
    marked = neurons.filter("is_entropy_candidate").select("model", at="l2_penalty").collect()
    chart = histogram_chart(numbers, heading("neurons", "l2_penalty"), marked=marked)
    n = f"{len(marked):,} candidates for entropy of all models are marked"
    return titled(chart, f"{per_model(numbers)}; {n}")


def position_means(position_groups: pl.LazyFrame, position_response: pl.LazyFrame) -> Chart:
    """Mean of post by position, of the neurons of each model that know most of positions.

    Gurnee et al. 2024, figure 19.
    """
    most = position_response.drop_nulls("position_mi").sort(
        "position_mi", *KEYS, descending=[True, False, False, False]
    )
    chosen = most.group_by("model", maintain_order=True).head(4).select(*KEYS, "position_mi")
    means = (
        position_groups.join(chosen, on=KEYS)
        .with_columns(
            name=pl.format("{}.{}", "layer", "neuron"),
            position=(pl.col("position") * BINS / (pl.col("position").max() + 1)).floor()
            * (pl.col("position").max() + 1)
            / BINS,
        )
        .group_by("model", "name", "position")
        .agg(mean=pl.col("sum").sum() / pl.col("n").sum())
        .sort("model", "name", "position")
        .collect()
    )
    chart = (
        chart_of(means)
        .mark_line()
        .encode(
            x=alt.X("position:Q", title="position"),
            y=alt.Y("mean:Q", title="mean of post"),
            color=alt.Color("name:N", title="neuron", scale=alt.Scale(range=COLOURS)),
        )
        .properties(width=SMALL, height=SMALL)
        .facet(alt.Facet("model:N", title=None), columns=5)
        .resolve_scale(color="independent", y="independent")
    )
    said = f"4 neurons a model with the highest position_mi, {BINS} parts of the context"
    return titled(chart, said)


_SAME = ["in_in", "out_out"]


CHARTS = (
    property_percentiles,
    properties_by_layer,
    sparsity_and_alignment,
    nearest_vectors,
    l2_penalties,
    position_means,
)
