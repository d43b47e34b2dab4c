"""Charts of what universal neurons have that others have not."""

import altair as alt
import polars as pl

from neurontab.show.charts.style import (
    BINS,
    COLOURS,
    DASHES,
    HEIGHT,
    LEVEL,
    SMALL,
    WIDTH,
    Chart,
    boxes,
    counted,
    heading,
    heat,
    heat_chart,
    histogram_chart,
    per_model,
    quantiles,
    titled,
)

METRICS = (  # of the paper's figure 3
    *("sparsity", "mean", "skew", "kurt", "input_bias", "in_out_sim", "l2_penalty", "vocab_kurt"),
)
BY_LAYER = ("vocab_kurt", "vocab_skew", "in_out_sim", "l2_penalty", "sparsity", "skew", "kurt")
GROUP = alt.Color("group:N", title=None, scale=alt.Scale(range=COLOURS))


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
    chart = boxes(spread, x, ["percentile in the layer"], model)
    of = spread.filter(property="sparsity")
    return titled(
        chart.properties(width=2 * WIDTH, height=HEIGHT),
        f"{of['n'].sum():,} universal neurons of {len(of)} models",
    )


def properties_by_layer(layer_profile: pl.LazyFrame) -> Chart:
    """Seven properties by layer, of universal neurons and of all.

    Gurnee et al. 2024, figure 14; quantiles are means over the models.
    """
    levels = ["q05", "q25", "q50", "q75", "q95"]
    spread = (
        layer_profile.filter(pl.col("measure").is_in(list(BY_LAYER)))
        .group_by("measure", "layer", "group")
        .agg(pl.col("n").sum(), pl.col(levels).mean())
        .drop_nulls()
        .sort("measure", "layer", "group")
        .collect()
    )
    parts = [
        boxes(
            spread.filter(measure=name),
            alt.X("layer:O", title="layer", axis=LEVEL),
            heading("neurons", name),
            GROUP,
        ).properties(width=SMALL, height=SMALL)
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
    cells = heat(neurons, "sparsity", "in_out_sim")
    titles = (heading("neurons", name) for name in ("sparsity", "in_out_sim"))
    return titled(heat_chart(cells, *titles), per_model(cells))


def nearest_vectors(neighbours: pl.LazyFrame, universality: pl.LazyFrame) -> Chart:
    """Highest cosine with any other neuron's input, and output vector.

    Gurnee et al. 2024, figure 10.
    """
    keys = ["model", "layer", "neuron"]
    group = pl.when("is_universal").then(pl.lit("universal")).otherwise(pl.lit("other"))
    values = (
        neighbours.filter(
            pl.col("rank") == 1, pl.col("side") == "top", pl.col("relation").is_in(_SAME)
        )
        .join(universality.select(*keys, "is_universal"), on=keys)
        .select("relation", group=group, value="cosine")
        .drop_nulls()
    )
    numbers = counted(values, ["relation", "group"], step=1 / 50).with_columns(
        share=100 * pl.col("n") / pl.col("n").sum().over("relation", "group")
    )
    return _pair_of_steps(numbers.collect(), "relation", "highest cosine")


def l2_penalties(neurons: pl.LazyFrame) -> Chart:
    """Squared lengths of input and output vector together.

    Gurnee et al. 2024, figure 7a: entropy neurons are among the longest.
    """
    values = neurons.select("model", value="l2_penalty")
    numbers = counted(values, ["model"]).collect()
    return titled(histogram_chart(numbers, heading("neurons", "l2_penalty")), per_model(numbers))


def position_means(position_groups: pl.LazyFrame, position_response: pl.LazyFrame) -> Chart:
    """Mean of post by position, of the neurons of each model that know most of positions.

    Gurnee et al. 2024, figure 19.
    """
    keys = ["model", "layer", "neuron"]
    most = position_response.drop_nulls("position_mi").sort(
        "position_mi", *keys, descending=[True, False, False, False]
    )
    chosen = most.group_by("model", maintain_order=True).head(4).select(*keys, "position_mi")
    means = (
        position_groups.join(chosen, on=keys)
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
        alt.Chart(means)
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


def _pair_of_steps(drawn: pl.DataFrame, facet: str, x: str) -> Chart:
    chart = (
        alt.Chart(drawn)
        .mark_line(interpolate="step-after")
        .encode(
            x=alt.X("value:Q", title=x),
            y=alt.Y("share:Q", title="% of the neurons"),
            color=GROUP,
            strokeDash=alt.StrokeDash("group:N", title=None, scale=alt.Scale(range=DASHES[:2])),
        )
        .properties(width=WIDTH, height=HEIGHT)
        .facet(alt.Facet(f"{facet}:N", title=None), columns=2)
    )
    first = drawn.filter(pl.col(facet) == drawn[facet][0])
    sizes = first.group_by("group").agg(pl.col("n").sum()).sort("group").rows()
    return titled(chart, ", ".join(f"{n:,} {name}" for name, n in sizes) + " neurons of all models")


CHARTS = (
    property_percentiles,
    properties_by_layer,
    sparsity_and_alignment,
    nearest_vectors,
    l2_penalties,
    position_means,
)
