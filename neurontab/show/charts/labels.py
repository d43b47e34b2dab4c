"""Charts of what neurons respond to and do."""

import altair as alt
import polars as pl

from neurontab.show.charts.counting import heat, per_model
from neurontab.show.charts.drawing import heat_chart
from neurontab.show.charts.style import (
    COLOURS,
    HEIGHT,
    KEYS,
    LEVEL,
    SMALL,
    WIDTH,
    Chart,
    by_model,
    chart_of,
    heading,
    titled,
)

NONE = "none"


def families_by_layer(families: pl.LazyFrame) -> Chart:
    """Families of neurons by layer.

    Gurnee et al. 2024, section 4.3.
    """
    return _stacked(families, "family")


def roles_by_layer(roles: pl.LazyFrame) -> Chart:
    """Roles of neurons by layer.

    Gurnee et al. 2024, section 5; Stolfo et al. 2024.
    """
    return _stacked(roles, "role")


def families_of_universal(neurons: pl.LazyFrame) -> Chart:
    """Share of each family's neurons that are universal."""
    return _universal(neurons, "family")


def roles_of_universal(neurons: pl.LazyFrame) -> Chart:
    """Share of each role's neurons that are universal."""
    return _universal(neurons, "role")


def explained_and_ceiling(explanations: pl.LazyFrame) -> Chart:
    """What the best feature of the current token explains, against what all tokens explain.

    The feature's share is of documents in which it was not chosen, the ceiling of all.
    """
    best_of = ("ceiling", "explained_held_out")
    best = (
        explanations.filter(pl.col("offset") == "current", pl.col("by") == "token")
        .drop_nulls(best_of)
        .sort("explained", descending=True)
        .group_by(KEYS)
        .agg(pl.col(best_of).first())
    )
    cells = heat(best, *best_of)
    ends = [(model, end, end) for model in cells["model"].unique().sort() for end in (0.0, 1.0)]
    equal = pl.DataFrame(ends, ["model", "x", "mean"], orient="row")
    titles = (heading("explanations", name) for name in best_of)
    said = f"{per_model(cells)}; on the line both are equal"
    return titled(heat_chart(cells, *titles, line=equal), said)


def ablated_shares(ablation_effects: pl.LazyFrame) -> Chart:
    """Shares of a last-layer neuron's effect on the loss: by the norm, and along frequency.

    Stolfo et al. 2024, figures 2 and 3. Candidates, and random others.
    """
    kind = pl.when("is_control").then(pl.lit("random")).otherwise(pl.lit("candidate"))
    shares = (
        ablation_effects.select(
            "model", "norm_share", "frequency_share", kind=kind, effect="loss_change_abs"
        )
        .drop_nulls()
        .sort("model", "kind", "norm_share")
        .collect()
    )
    chart = (
        chart_of(shares)
        .mark_point(filled=True, opacity=0.7)
        .encode(
            x=alt.X("norm_share:Q", title=heading("ablation_effects", "norm_share")),
            y=alt.Y("frequency_share:Q", title=heading("ablation_effects", "frequency_share")),
            color=alt.Color("kind:N", title=None, scale=alt.Scale(range=COLOURS)),
            shape=alt.Shape("kind:N", title=None),
            size=alt.Size("effect:Q", title=heading("ablation_effects", "loss_change_abs")),
        )
        .properties(width=SMALL, height=SMALL)
    )
    n = shares.group_by("kind").len().sort("kind").rows()
    return titled(by_model(chart), ", ".join(f"{count:,} {name}" for name, count in n) + " neurons")


def _stacked(table: pl.LazyFrame, label: str) -> Chart:
    """Labelled neurons of each layer, those without left out."""
    numbers = table.group_by("model", "layer", label).len("n").sort("model", "layer", label)
    every = numbers.collect()
    drawn = every.filter(pl.col(label) != NONE)
    chart = (
        chart_of(drawn)
        .mark_bar()
        .encode(
            x=alt.X("layer:O", title="layer", axis=LEVEL),
            y=alt.Y("n:Q", title="neurons"),
            color=alt.Color(f"{label}:N", title=None, scale=alt.Scale(range=COLOURS)),
            order=alt.Order(f"{label}:N"),
        )
        .properties(width=SMALL, height=HEIGHT)
    )
    without = int(every["n"].sum()) - int(drawn["n"].sum())
    said = f"{per_model(every)}; {without:,} of all without one are left out"
    return titled(by_model(chart), said)


def _universal(neurons: pl.LazyFrame, label: str) -> Chart:
    """Per cent of the neurons of each label, all models together."""
    shares = (
        neurons.group_by(label)
        .agg(n=pl.len(), share=100 * pl.col("is_universal").mean())
        .with_columns(name=pl.format("{} ({})", label, "n"))
        .sort("share", label, descending=[True, False])
        .collect()
    )
    chart = (
        chart_of(shares)
        .mark_bar(color=COLOURS[0])
        .encode(
            x=alt.X("share:Q", title="universal, %"),
            y=alt.Y("name:N", title=None, sort=shares["name"].to_list()),
        )
        .properties(width=WIDTH, height=HEIGHT)
    )
    return titled(chart, f"{shares['n'].sum():,} neurons of all models; in brackets, how many")


CHARTS = (
    families_by_layer,
    roles_by_layer,
    families_of_universal,
    roles_of_universal,
    explained_and_ceiling,
    ablated_shares,
)
