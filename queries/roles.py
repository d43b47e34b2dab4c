"""What each neuron does to the model's output or attention, by its weights and by ablating it.

Thresholds are the paper's for GPT-2, and are not fitted to other models: beside a rule's value and
threshold stands its percentile among the neurons of the layer of which the value is known. Where a
rule is about chance, the threshold is the most that random directions would have. A candidate for
entropy or frequency has the role when ablating it shows that it does.
"""

from typing import Annotated

import polars as pl

from neurontab.tables.ranks import percentile
from neurontab.tables.schemas import NEURON_KEY, PAPER
from neurontab.tables.table import Column, between, one_of

from . import role_candidates

VERSION = 3
KEYS = NEURON_KEY
STOLFO = "Stolfo et al. 2024"
NONE = "none"
EVIDENCE = {  # by role, the quantity that is compared; a neuron's role is the first that it has
    "entropy": "norm_share",
    "frequency": "frequency_share",
    "entropy_candidate": "null_fraction",
    "frequency_candidate": "frequency_cos",
    "prediction": "vocab_kurt",
    "suppression": "vocab_kurt",
    "partition": "vocab_var",
    "attention_deactivation": "bos_score",
    "attention_activation": "bos_score",
}


def _is(name: str, description: str, source: str) -> Column:
    return Column(f"is_{name}", pl.Boolean, description, source)


COLUMNS = (
    Column(
        "role",
        pl.String,
        "The first of the roles below that the neuron has, else none.",
        check=one_of(*EVIDENCE, NONE),
    ),
    Column(
        "role_by", pl.String, "Quantity that the role is read from; null if none.", nullable=True
    ),
    Column("role_value", pl.Float32, "Its value.", nullable=True),
    Column(
        "role_threshold",
        pl.Float32,
        "What it is above, in absolute value but for shares.",
        nullable=True,
    ),
    Column(
        "role_percentile",
        pl.Float32,
        "Share of the layer's neurons of which it is known in which it is at most as high, in "
        "absolute value but for shares.",
        nullable=True,
        check=between(0, 1),
    ),
    _is(
        "entropy",
        "A candidate that changes the prediction's entropy as much as most random neurons do, and "
        "whose effect on the loss goes through the final norm by more than half.",
        f"{STOLFO}, 3.2",
    ),
    _is(
        "frequency",
        "A candidate that moves the prediction to or from the tokens' frequencies more than random "
        "neurons do, and whose effect on the loss goes along log frequency by more than half.",
        f"{STOLFO}, 4",
    ),
    *role_candidates.COLUMNS,
    _is("prediction", "Raises the logits of few tokens.", f"{PAPER}, 5.1"),
    _is("suppression", "Lowers the logits of few tokens.", f"{PAPER}, 5.1"),
    _is(
        "partition",
        "Raises some tokens' logits, lowers others', more than chance gives.",
        f"{PAPER}, 5.1",
    ),
    _is(
        "attention_deactivation",
        "Of later heads' scores for BOS, raises the one it moves most, more than chance gives.",
        f"{PAPER}, 5.3",
    ),
    _is(
        "attention_activation",
        "Of later heads' scores for BOS, lowers the one it moves most, more than chance gives.",
        f"{PAPER}, 5.3",
    ),
)


def roles(
    role_candidates: pl.LazyFrame,
    ablation_effects: pl.LazyFrame,
    vocab_shape: pl.LazyFrame,
    vocab_effect: pl.LazyFrame,
    head_scores: pl.LazyFrame,
    *,
    peaked: Annotated[float, f"vocab_kurt of prediction and suppression ({PAPER}, 5.1)."] = 10.0,
    parted: Annotated[float, f"vocab_var of partition ({PAPER}, its notebook)."] = 0.005,
    mediated: Annotated[
        float, "norm_share of entropy, frequency_share of frequency; our choice."
    ] = 0.5,
    errors: Annotated[
        float, "Standard errors by which these are above that, at least; our choice."
    ] = 2.0,
    entropy_percentile: Annotated[
        float, "entropy_percentile of entropy, at least: that of half of the random others."
    ] = 0.5,
    divergence_percentile: Annotated[
        float, "divergence_percentile of frequency, at least; our choice."
    ] = 0.95,
    fewest_groups: Annotated[
        int, "Groups of documents over which errors are known, at least; our choice."
    ] = 10,
) -> pl.LazyFrame:
    """One row per neuron from its cosines, scores and effects."""
    keys = [key.name for key in KEYS]
    layer = keys[:-1]
    ratio = pl.col("bos_score").abs() / pl.col("bos_score_chance")
    scores = pl.col("bos_score", "bos_score_chance")
    heads = (
        head_scores.filter(pl.col("bos_score_chance") > 0)
        .group_by(keys)
        .agg(scores.sort_by(ratio, descending=True).first())
    )
    measured = (
        vocab_shape.join(role_candidates, on=keys)
        .join(vocab_effect, on=keys)
        .join(heads, on=keys, how="left")
        .join(ablation_effects, on=keys, how="left")
    )
    thresholds = {
        "norm_share": pl.lit(mediated),
        "frequency_share": pl.lit(mediated),
        "null_fraction": pl.col("null_fraction_chance"),
        "frequency_cos": pl.col("frequency_cos_chance"),
        "vocab_kurt": pl.lit(peaked),
        "vocab_var": pl.max_horizontal(pl.lit(parted), "vocab_var_chance"),
        "bos_score": pl.col("bos_score_chance"),
    }
    shares = {name: pl.col(name) for name in ("norm_share", "frequency_share")}
    size = {name: pl.col(name).abs() for name in thresholds} | shares
    beyond = {name: size[name] > least for name, least in thresholds.items()}
    kurt, skew, moved = beyond["vocab_kurt"], pl.col("vocab_skew"), beyond["bos_score"]
    surely = {
        name: (pl.col("n_groups") >= fewest_groups)
        & (share - errors * pl.col(f"{name}_se") > mediated)
        for name, share in shares.items()
    }
    found = {
        "entropy": pl.col("is_entropy_candidate")
        & surely["norm_share"]
        & (pl.col("entropy_percentile") >= entropy_percentile),
        "frequency": pl.col("is_frequency_candidate")
        & surely["frequency_share"]
        & (pl.col("divergence_percentile") >= divergence_percentile),
        "prediction": kurt & (skew > 0),
        "suppression": kurt & (skew < 0),
        "partition": beyond["vocab_var"],
        "attention_deactivation": moved & (pl.col("bos_score") > 0),
        "attention_activation": moved & (pl.col("bos_score") < 0),
    }
    first = pl.coalesce(*(pl.when(f"is_{name}").then(pl.lit(name)) for name in EVIDENCE))
    return (
        measured.with_columns(
            **{f"is_{name}": holds.fill_null(value=False) for name, holds in found.items()}
        )
        .with_columns(role=first.fill_null(NONE))
        .with_columns(role_by=pl.col("role").replace_strict(EVIDENCE, default=None))
        .with_columns(
            role_value=_read({name: pl.col(name) for name in thresholds}),
            role_threshold=_read(thresholds),
            role_percentile=_read(
                {name: percentile(each).over(layer) for name, each in size.items()}
            ),
        )
        .select(*keys, *(pl.col(column.name).cast(column.dtype) for column in COLUMNS))
    )


def _read(values: dict[str, pl.Expr]) -> pl.Expr:
    """Of the quantity that the role is read from."""
    return pl.coalesce(
        *(pl.when(pl.col("role_by") == name).then(value) for name, value in values.items())
    )
