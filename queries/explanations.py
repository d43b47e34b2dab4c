"""How much of each neuron's variance a feature of the current, previous or next token explains."""

from typing import Annotated

import polars as pl

from neurontab.tables.schemas import FEATURE, FEATURE_BY, NEURON_KEY, OFFSET, PAPER
from neurontab.tables.table import Column, at_least
from neurontab.tables.variance import explained

VERSION = 2
SOURCE = f"{PAPER}, 4.1"
ROUNDING = 1e-9  # of all variance, below which nothing varies where there is such a token
KEYS = (*NEURON_KEY, FEATURE_BY, OFFSET, FEATURE)
COLUMNS = (
    Column(
        "explained",
        pl.Float32,
        "Variance of post between positions where the feature is true and where it is not, over "
        "all of its variance.",
        SOURCE,
        check=at_least(0),
    ),
    Column(
        "explained_held_out",
        pl.Float32,
        "What it explains in the half of the documents by which it was not chosen; null where it "
        "is true of none or all of it, or nothing varies.",
        SOURCE,
        nullable=True,
        check=at_least(0),
    ),
    Column(
        "explained_chance",
        pl.Float32,
        "The same, over all documents, of the best of as many features, with support or not, when "
        "each token has those of another that is about as frequent; one such exchange. Labels of "
        "the text are those of another sequence.",
        nullable=True,
    ),
    Column(
        "ceiling",
        pl.Float32,
        "What the means of the tokens there explain, less what chance gives; null if that is "
        "nothing, and of a label of the text, which may say more than a token. Tokens too rare for "
        "sums of their own within the memory count as one.",
        "Kelley 1935, epsilon squared",
        nullable=True,
    ),
    Column(
        "ceiling_share",
        pl.Float32,
        "explained over ceiling, above 1 where chance or rare tokens are much of it; null without "
        "a ceiling.",
        nullable=True,
    ),
    Column("mean_true", pl.Float32, "Mean of post where it is true.", unit="activation"),
    Column("mean_false", pl.Float32, "Mean of post where it is not.", unit="activation"),
    Column("n_true", pl.Int64, "Positions where it is true.", unit="tokens", check=at_least(0)),
    Column("n_documents", pl.Int64, "Documents that these are in.", check=at_least(0)),
)


def explanations(
    feature_groups: pl.LazyFrame,
    feature_support: pl.LazyFrame,
    feature_chance: pl.LazyFrame,
    token_spread: pl.LazyFrame,
    activation_moments: pl.LazyFrame,
    *,
    fewest_tokens: Annotated[int, "Positions where a feature is true, at least; our choice."] = 50,
    fewest_documents: Annotated[int, "Documents that these are in, at least; our choice."] = 10,
) -> pl.LazyFrame:
    """One row per neuron, offset and feature or label that has support, of the 20 best of each."""
    keys = [key.name for key in NEURON_KEY]
    post = activation_moments.filter(pl.col("site") == "post").select(*keys, whole="m2")
    support = feature_support.filter(
        pl.col("n_true") >= fewest_tokens, pl.col("n_documents") >= fewest_documents
    ).select("by", "offset", "feature", "n_documents")
    chance = feature_chance.select(*keys, "by", "offset", explained_chance=_explained())
    spread = token_spread.select(*keys, "offset", "n_tokens", "between")
    return (
        feature_groups.join(support, on=["by", "offset", "feature"])
        .join(post, on=keys)
        .filter(pl.col("m2") > ROUNDING * pl.col("whole"))
        .join(chance, on=[*keys, "by", "offset"], how="left")
        .join(spread, on=[*keys, "offset"])
        .with_columns(
            explained=_explained(),
            explained_held_out=_explained("_held_out"),
            above=explained("between", "m2", "n", "n_tokens"),
            mean_true=pl.col("sum_true") / pl.col("n_true"),
            mean_false=(pl.col("sum") - pl.col("sum_true")) / (pl.col("n") - pl.col("n_true")),
        )
        .with_columns(ceiling=pl.when(pl.col("above") > 0, pl.col("by") == "token").then("above"))
        .with_columns(ceiling_share=pl.col("explained") / pl.col("ceiling"))
        .select(
            *(key.name for key in KEYS),
            *(pl.col(column.name).cast(column.dtype) for column in COLUMNS),
        )
    )


def _explained(suffix: str = "") -> pl.Expr:
    """b (1 - b) (mean1 - mean0)^2 over the variance, b the share where a feature is true."""
    n, true, total, total_true, m2 = (
        pl.col(f"{name}{suffix}") for name in ("n", "n_true", "sum", "sum_true", "m2")
    )
    false = n - true
    difference = total_true / true - (total - total_true) / false
    known = (true > 0) & (false > 0) & (m2 > 0)
    return pl.when(known).then(true / n * false * difference.pow(2) / m2)
