"""What each neuron does to the model's output or attention, by its weights alone.

Thresholds are the paper's for GPT-2, and are not fitted to other models: beside a rule's value and
threshold stands its percentile among the neurons of the layer. Where a rule is about chance, the
threshold is the most that random directions would have.
"""

from typing import Annotated

import polars as pl

from neurontab.tables.schemas import NEURON_KEY, PAPER
from neurontab.tables.table import Column, between, one_of

VERSION = 1
KEYS = NEURON_KEY
STOLFO = "Stolfo et al. 2024"
NONE = "none"
EVIDENCE = {  # by role, the quantity that is compared; a neuron's role is the first that it has
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
    Column("role_threshold", pl.Float32, "What it is above, in absolute value.", nullable=True),
    Column(
        "role_percentile",
        pl.Float32,
        "Share of the layer's neurons in which it is at most as high, in absolute value.",
        nullable=True,
        check=between(0, 1),
    ),
    _is(
        "entropy_candidate",
        "Last layer; writes into what the unembedding hardly reads, more than chance gives, with a "
        "long output vector and little effect on logits. Whether it changes entropy is not told by "
        "weights.",
        f"{STOLFO}, 3; {PAPER}, 5.2",
    ),
    _is(
        "frequency_candidate",
        "Last layer; its logits follow the tokens' log frequency more than chance gives.",
        f"{STOLFO}, 4",
    ),
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
    models: pl.LazyFrame,
    vocab_shape: pl.LazyFrame,
    weight_shape: pl.LazyFrame,
    vocab_effect: pl.LazyFrame,
    head_scores: pl.LazyFrame,
    *,
    peaked: Annotated[float, f"vocab_kurt of prediction and suppression ({PAPER}, 5.1)."] = 10.0,
    parted: Annotated[float, f"vocab_var of partition ({PAPER}, its notebook)."] = 0.005,
    gap: Annotated[
        float, "spectrum_gap below which the unembedding leaves nothing unread; our choice."
    ] = 1.5,
    longest: Annotated[
        float, "Percentile in the layer that an entropy candidate's w_out_norm has; our choice."
    ] = 0.5,
    quietest: Annotated[
        float, "Percentile that its logit_var, for its length, has at most; our choice."
    ] = 0.1,
) -> pl.LazyFrame:
    """One row per neuron from its cosines, lengths and scores."""
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
        vocab_shape.join(weight_shape, on=keys)
        .join(vocab_effect, on=keys)
        .join(heads, on=keys, how="left")
        .join(models.select("model", last=pl.col("n_layers") - 1), on="model")
        .with_columns(
            length=_percentile(pl.col("w_out_norm")).over(layer),
            effect=_percentile(pl.col("logit_var") / pl.col("w_out_norm").pow(2)).over(layer),
        )
    )
    thresholds = {
        "null_fraction": pl.col("null_fraction_chance"),
        "frequency_cos": pl.col("frequency_cos_chance"),
        "vocab_kurt": pl.lit(peaked),
        "vocab_var": pl.max_horizontal(pl.lit(parted), "vocab_var_chance"),
        "bos_score": pl.col("bos_score_chance"),
    }
    at_end = pl.col("layer") == pl.col("last")
    beyond = {name: pl.col(name).abs() > least for name, least in thresholds.items()}
    kurt, skew, moved = beyond["vocab_kurt"], pl.col("vocab_skew"), beyond["bos_score"]
    found = {
        "entropy_candidate": at_end
        & (pl.col("spectrum_gap") >= gap)
        & beyond["null_fraction"]
        & (pl.col("length") >= longest)
        & (pl.col("effect") <= quietest),
        "frequency_candidate": at_end & beyond["frequency_cos"],
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
                {name: _percentile(pl.col(name).abs()).over(layer) for name in thresholds}
            ),
        )
        .select(*keys, *(pl.col(column.name).cast(column.dtype) for column in COLUMNS))
    )


def _percentile(value: pl.Expr) -> pl.Expr:
    """Share of the values that are at most as high; null has none."""
    return value.rank("max") / value.count()


def _read(values: dict[str, pl.Expr]) -> pl.Expr:
    """Of the quantity that the role is read from."""
    return pl.coalesce(
        *(pl.when(pl.col("role_by") == name).then(value) for name, value in values.items())
    )
