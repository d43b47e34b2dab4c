"""Every family that a neuron belongs to by its activations, and by what.

A family is declared as one rule. Explained variance counts in the half of the documents by which
its feature was not chosen, and only where that of all is above what shuffled features have.
"""

from typing import Annotated

import polars as pl

from neurontab.tables.schemas import NEURON_KEY, PAPER
from neurontab.tables.table import Column, one_of

VERSION = 3
TOPIC = "topic"  # with which the names of labels of topics begin
VOITA = "Voita et al. 2023"
FAMILIES = ("bos", "position", "alphabet", "unigram", "previous_token", "syntax", "context")
KEYS = (*NEURON_KEY, Column("family", pl.String, "Family.", check=one_of(*FAMILIES)))
COLUMNS = (
    Column("measure", pl.String, "Quantity that the family is read from."),
    Column(
        "feature", pl.String, "Feature or source that it is of; null if of none.", nullable=True
    ),
    Column("value", pl.Float32, "Its value."),
    Column("threshold", pl.Float32, "What it is above."),
)


def family_evidence(
    token_features: pl.LazyFrame,
    explanations: pl.LazyFrame,
    activation_shape: pl.LazyFrame,
    position_response: pl.LazyFrame,
    source_response: pl.LazyFrame,
    *,
    one_word: Annotated[
        float, f"Explained variance of unigram, previous_token and syntax ({PAPER}, 4.3.1)."
    ] = 0.5,
    one_letter: Annotated[float, f"Explained variance of alphabet ({PAPER}, 4.3.1)."] = 0.35,
    position_mi: Annotated[float, f"Mutual information of position, in nats ({VOITA})."] = 0.05,
    position_outlying: Annotated[
        float,
        "Median absolute deviations that position_mi is above the layer's median, at least; our "
        "choice: where positions are embedded as loudly as tokens, all neurons know some of it.",
    ] = 8.0,
    source_share: Annotated[
        float, "source_eta2, or explained variance of a topic, of context; our choice."
    ] = 0.2,
    bos_z: Annotated[float, "bos_z of bos; our choice."] = 10.0,
    elsewhere: Annotated[
        float, "sparsity of bos, the share of other positions that it is active on; our choice."
    ] = 0.01,
) -> pl.LazyFrame:
    """One row per neuron and family.

    `syntax` is by rules on the text of the current token, and by labels of the text where there are
    any; those whose column begins with `topic` are of `context`. What is true of the previous token
    must explain more there than of the current one.
    """
    keys = [key.name for key in NEURON_KEY]
    kinds = token_features.select("feature", "kind").unique()
    is_topic = pl.col("feature").str.starts_with(TOPIC)
    own = pl.when(pl.col("by") == "label").then(
        pl.when(is_topic).then(pl.lit("topic")).otherwise(pl.lit("label"))
    )
    here = explanations.filter(pl.col("offset") == "current").select(
        *keys, "by", "feature", explained_here="explained_held_out"
    )
    told = (
        explanations.filter(pl.col("explained") > pl.col("explained_chance").fill_null(0))
        .join(kinds, on="feature", how="left")
        .join(here, on=[*keys, "by", "feature"], how="left")
        .with_columns(kind=pl.coalesce(own, "kind"))
    )
    current = pl.col("offset") == "current"
    held_out = pl.col("explained_held_out")
    by_feature = {
        "alphabet": (current & (pl.col("kind") == "letter"), one_letter),
        "unigram": (current & (pl.col("kind") == "unigram"), one_word),
        "previous_token": (
            (pl.col("offset") == "previous")
            & (pl.col("kind") != "topic")
            & (held_out > pl.col("explained_here").fill_null(0)),
            one_word,
        ),
        "syntax": (current & pl.col("kind").is_in(["rule", "label"]), one_word),
        "context": (current & (pl.col("kind") == "topic"), source_share),
    }
    features = [
        told.filter(which, held_out > threshold)
        .sort(*keys, "explained", "feature", descending=[False] * 3 + [True, False])
        .group_by(keys, maintain_order=True)
        .first()
        .select(*keys, *_evidence(family, "explained_held_out", threshold, pl.col("feature")))
        for family, (which, threshold) in by_feature.items()
    ]
    told_of = pl.col("position_mi")
    layer, middle = keys[:-1], pl.col("middle")
    position = (
        position_response.with_columns(middle=told_of.median().over(layer))
        .with_columns(usual=(told_of - middle).abs().median().over(layer))
        .with_columns(
            least=pl.max_horizontal(
                pl.lit(position_mi),
                "position_mi_chance",
                middle + position_outlying * pl.col("usual"),
            )
        )
    )
    least = pl.col("least")
    others = (
        activation_shape.filter(pl.col("bos_z") > bos_z, pl.col("sparsity") < elsewhere).select(
            *keys, *_evidence("bos", "bos_z", bos_z)
        ),
        position.filter(told_of > least).select(
            *keys, *_evidence("position", "position_mi", least)
        ),
        source_response.filter(pl.col("source_eta2") > source_share).select(
            *keys, *_evidence("context", "source_eta2", source_share, pl.col("highest_source"))
        ),
    )
    every = pl.concat([*features, *others])
    highest = every.sort("value", descending=True, nulls_last=True)
    return highest.unique([key.name for key in KEYS], keep="first", maintain_order=True).select(
        *(key.name for key in KEYS), *(pl.col(c.name).cast(c.dtype) for c in COLUMNS)
    )


def _evidence(
    family: str, measure: str, threshold: float | pl.Expr, feature: pl.Expr | None = None
) -> list[pl.Expr]:
    """The columns of a row, from the columns of what it is read from."""
    of = pl.lit(None, pl.String) if feature is None else feature
    return [
        pl.lit(family).alias("family"),
        pl.lit(measure).alias("measure"),
        of.alias("feature"),
        pl.col(measure).cast(pl.Float32).alias("value"),
        (threshold if isinstance(threshold, pl.Expr) else pl.lit(threshold))
        .cast(pl.Float32)
        .alias("threshold"),
    ]
