"""How much better each neuron is matched in the other models than a random basis would be."""

from typing import Annotated

import polars as pl

from neurontab.tables.schemas import NEURON_KEY, PAPER
from neurontab.tables.table import Column, at_least, between

VERSION = 3
KEYS = NEURON_KEY
SOURCE = f"{PAPER}, 3.1"


def _corr(name: str, description: str, source: str = SOURCE) -> Column:
    return Column(name, pl.Float32, description, source, nullable=True, check=between(-1, 1))


COLUMNS = (
    _corr("max_corr", "Best match's correlation, the highest over the other models."),
    _corr("mean_corr", "Best match's correlation, mean over the other models that have one."),
    _corr("min_corr", "Best match's correlation, the lowest over the other models."),
    _corr("max_baseline", "Mean over raw draws of the baseline, highest over the other models."),
    _corr("mean_baseline", "Mean over raw draws of the baseline, mean over the other models."),
    _corr("min_baseline", "Mean over raw draws of the baseline, lowest over the other models."),
    Column(
        "excess_corr",
        pl.Float32,
        "mean_corr minus mean_baseline; null without a match.",
        SOURCE,
        nullable=True,
    ),
    Column(
        "excess_std",
        pl.Float32,
        "The same against the standardised baseline, which loud neurons do not dominate.",
        nullable=True,
    ),
    Column(
        "token_share",
        pl.Float32,
        "Share of the best match's covariance that is between means of the current token, mean "
        "over the other models; null without a match.",
        nullable=True,
    ),
    Column("is_universal", pl.Boolean, "Whether excess_corr is above the threshold.", SOURCE),
    Column(
        "n_partners_universal",
        pl.Int32,
        "Other models in which the excess alone is above the threshold.",
        unit="models",
        check=at_least(0),
    ),
    Column(
        "is_universal_strict",
        pl.Boolean,
        "Whether the excess is above the threshold in every other model.",
    ),
    Column(
        "n_twins",
        pl.Int32,
        "Kept twins in the same model that correlate above twin_corr.",
        unit="neurons",
        check=at_least(0),
    ),
    Column(
        "margin",
        pl.Float32,
        "Best match's correlation less the second best's, mean over the other models that have "
        "two; small where the other model has copies, which speaks against nothing.",
        nullable=True,
        check=at_least(0),
    ),
    Column(
        "is_mutual",
        pl.Boolean,
        "Whether in every other model the best match's best match is this neuron; it punishes "
        "redundancy, so never use it as a filter; null without a match.",
        nullable=True,
    ),
)


def universality(
    models: pl.LazyFrame,
    activation_shape: pl.LazyFrame,
    matches: pl.LazyFrame,
    baselines: pl.LazyFrame,
    twins: pl.LazyFrame,
    *,
    threshold: Annotated[float, f"Excess above which a neuron is universal ({SOURCE})."] = 0.5,
    twin_corr: Annotated[float, "Correlation above which a twin counts; our choice."] = 0.7,
) -> pl.LazyFrame:
    """One row per neuron: best matches against rotated baselines, over the other models."""
    keys = [key.name for key in KEYS]
    neurons = activation_shape.select(*keys, "low_support")
    partners = _partners(neurons, matches, baselines)
    twinned = twins.filter(pl.col("corr") > twin_corr).group_by(keys).agg(n_twins=pl.len())
    return (
        neurons.select(keys)
        .join(_summary(partners, threshold), on=keys, how="left")
        .join(twinned, on=keys, how="left")
        .join(models.select(n_others=pl.len() - 1), how="cross")
        .with_columns(
            is_universal=(pl.col("excess_corr") > threshold).fill_null(value=False),
            is_universal_strict=(pl.col("n_partners_universal") == pl.col("n_others")).fill_null(
                value=False
            ),
            is_mutual=pl.col("n_mutual") == pl.col("n_others"),
            n_partners_universal=pl.col("n_partners_universal").fill_null(0),
            n_twins=pl.col("n_twins").fill_null(0),
        )
        .select(*keys, *(pl.col(column.name).cast(column.dtype) for column in COLUMNS))
    )


def _partners(
    neurons: pl.LazyFrame, matches: pl.LazyFrame, baselines: pl.LazyFrame
) -> pl.LazyFrame:
    """One row per neuron and other model: its best match and the mean of each baseline."""
    pair = [*(key.name for key in KEYS), "other_model"]
    drawn = baselines.group_by(pair).agg(
        raw=pl.col("corr").filter(pl.col("kind") == "raw").cast(pl.Float64).mean(),
        standardised=pl.col("corr")
        .filter(pl.col("kind") == "standardised")
        .cast(pl.Float64)
        .mean(),
    )
    second = matches.filter(pl.col("rank") == 2).select(*pair, second=pl.col("corr"))
    return (
        matches.filter(pl.col("rank") == 1)
        .join(neurons.filter(~pl.col("low_support")), on=pair[:-1])
        .join(drawn, on=pair)
        .join(second, on=pair, how="left")
        .with_columns(pl.col("corr", "second").cast(pl.Float64))
        .with_columns(
            excess=pl.col("corr") - pl.col("raw"), margin=pl.col("corr") - pl.col("second")
        )
    )


def _summary(partners: pl.LazyFrame, threshold: float) -> pl.LazyFrame:
    return (
        partners.group_by(key.name for key in KEYS)
        .agg(
            max_corr=pl.col("corr").max(),
            mean_corr=pl.col("corr").mean(),
            min_corr=pl.col("corr").min(),
            max_baseline=pl.col("raw").max(),
            mean_baseline=pl.col("raw").mean(),
            min_baseline=pl.col("raw").min(),
            mean_standardised=pl.col("standardised").mean(),
            token_share=pl.col("token_share").mean(),
            margin=pl.col("margin").mean(),
            n_partners_universal=(pl.col("excess") > threshold).sum(),
            n_mutual=(pl.col("reverse_rank") == 1).sum(),
        )
        .with_columns(
            excess_corr=pl.col("mean_corr") - pl.col("mean_baseline"),
            excess_std=pl.col("mean_corr") - pl.col("mean_standardised"),
        )
    )
