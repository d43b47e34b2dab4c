"""How much better each neuron is matched in the other models than a random basis would be."""

from typing import Annotated

import polars as pl

from neurontab.tables.schemas import NEURON_KEY, PAPER
from neurontab.tables.student import quantile
from neurontab.tables.table import Column, at_least, between

VERSION = 5
KEYS = NEURON_KEY
SOURCE = f"{PAPER}, 3.1"
FEWEST = 2  # groups of documents, or draws, that have a spread


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
        "Excess over the standardised baseline, which loud neurons do not dominate.",
        nullable=True,
    ),
    Column(
        "excess_lo",
        pl.Float32,
        "Lower end of a 95 % interval of excess_corr over documents and random draws of the "
        "baseline (the spread of draws is left out where there is one), by Student's t with the "
        "degrees of freedom of both together; as if documents did not move the baseline. Null with "
        "one group of documents, or where one group is all in which a neuron varies.",
        "Busing et al. 1999, eq. 10; Satterthwaite 1946",
        nullable=True,
    ),
    Column("excess_hi", pl.Float32, "Upper end of that interval.", nullable=True),
    Column(
        "borderline",
        pl.Boolean,
        "Whether the threshold lies inside that interval; null without one.",
        nullable=True,
    ),
    Column(
        "held_out_excess",
        pl.Float32,
        "Mean of held_out_corr minus mean_baseline: of the kept matches, the one that is best on "
        "one half of the documents, measured on the other.",
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
    jackknife: pl.LazyFrame,
    document_groups: pl.LazyFrame,
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
        .join(_spread(partners, jackknife, document_groups), on=keys, how="left")
        .join(twinned, on=keys, how="left")
        .join(models.select(n_others=pl.len() - 1), how="cross")
        .with_columns(
            excess_lo=pl.col("excess_corr") - pl.col("far"),
            excess_hi=pl.col("excess_corr") + pl.col("far"),
            held_out_excess=pl.col("held_out") - pl.col("mean_baseline"),
            is_universal=(pl.col("excess_corr") > threshold).fill_null(value=False),
            is_universal_strict=(pl.col("n_partners_universal") == pl.col("n_others")).fill_null(
                value=False
            ),
            is_mutual=pl.col("n_mutual") == pl.col("n_others"),
            n_partners_universal=pl.col("n_partners_universal").fill_null(0),
            n_twins=pl.col("n_twins").fill_null(0),
        )
        .with_columns(
            borderline=(pl.col("excess_lo") < threshold) & (threshold < pl.col("excess_hi"))
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
        raw_variance=_variance_of_mean(pl.col("corr").filter(pl.col("kind") == "raw")),
        raw_draws=(pl.col("kind") == "raw").sum(),
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


def _variance_of_mean(draws: pl.Expr) -> pl.Expr:
    """0 where there is one draw, whose spread is not known."""
    return (draws.cast(pl.Float64).var() / draws.len()).fill_null(0.0)


def _spread(
    partners: pl.LazyFrame, jackknife: pl.LazyFrame, document_groups: pl.LazyFrame
) -> pl.LazyFrame:
    """One row per neuron: how far the interval of its excess reaches, its correlation held out.

    The jackknife is of the mean over the other models: the same documents are left out of all.
    Groups are of unequal size: with h = n / n_g, the pseudo-values h θ - (h - 1) θ_(g) have the
    weighted mean Σ_g p_g / h_g, and the variance is the mean of their squared distances from it
    over h - 1 (Busing et al. 1999, eq. 8 and 10). Variances v_i of documents and of each model's
    draws add up to v; with f_i degrees of freedom each, v has v² / Σ v_i² / f_i (Satterthwaite
    1946).
    """
    keys = [key.name for key in KEYS]
    pair = [*keys, "other_model"]
    groups = document_groups.filter(pl.col("n") > 0).select(
        "document_group", h=pl.col("n").sum() / pl.col("n"), groups=pl.len()
    )
    kept = partners.select(*pair, "corr", "raw_variance", "raw_draws").join(jackknife, on=pair)
    left_out = (
        kept.with_columns(document_group=pl.int_ranges(0, pl.col("left_out").list.len()))
        .explode("left_out", "document_group")
        .with_columns(pl.col("document_group").cast(pl.Int32), pl.col("left_out").cast(pl.Float64))
        .join(groups.filter(pl.col("groups") >= FEWEST), on="document_group")
        .group_by(*keys, "document_group")
        .agg(pl.col("left_out", "corr").mean(), pl.col("h", "groups").first(), known=pl.len())
        .with_columns(pseudo=pl.col("h") * pl.col("corr") - (pl.col("h") - 1) * pl.col("left_out"))
        .with_columns(centre=(pl.col("pseudo") / pl.col("h")).sum().over(keys))
        .group_by(keys)
        .agg(
            by_document=((pl.col("pseudo") - pl.col("centre")).pow(2) / (pl.col("h") - 1)).mean(),
            free=pl.col("groups").first() - 1,
            known=pl.col("known").min(),
        )
    )
    degrees = (pl.col("raw_draws").cast(pl.Float64) - 1).clip(lower_bound=1)
    drawn = kept.group_by(keys).agg(
        others=pl.len(),
        of_draws=pl.col("raw_variance").sum() / pl.len().pow(2),
        squares=(pl.col("raw_variance").pow(2) / degrees).sum() / pl.len().cast(pl.Float64).pow(4),
        held_out=pl.col("held_out_corr").cast(pl.Float64).mean(),
    )
    by_document = pl.when(pl.col("known") == pl.col("others")).then("by_document")
    variance = by_document + pl.col("of_draws")
    freedom = variance.pow(2) / (pl.col("by_document").pow(2) / pl.col("free") + pl.col("squares"))
    far = pl.when(variance > 0).then(quantile(freedom) * variance.sqrt())
    return drawn.join(left_out, on=keys, how="left").select(
        *keys, "held_out", far=far.otherwise(variance)
    )
