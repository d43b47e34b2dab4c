"""What a neuron of the last layer does to the prediction, and by which way.

Changes are those that follow when the neuron is held at its mean instead of its activation. Of the
mean absolute change of the loss, the share that is gone when the final norm divides as before goes
through the norm; the share that is gone when the logits along log frequency stay as before goes
along frequency. Standard errors are over groups of whole documents: of a ratio b / n they are the
root of G / (G - 1) sum (b_g - r n_g)^2 / n^2.
"""

import polars as pl

from neurontab.tables.schemas import NEURON_KEY
from neurontab.tables.table import Column, at_least, between

VERSION = 2
KEYS = NEURON_KEY
STOLFO = "Stolfo et al. 2024, 3.2 and 4"
MEANS = {
    "loss_change": ("loss", "Mean change of the loss."),
    "loss_change_abs": ("loss_abs", "Mean absolute change of the loss."),
    "entropy_change": ("entropy", "Mean change of the prediction's entropy."),
    "entropy_change_abs": ("entropy_abs", "Mean absolute change of the prediction's entropy."),
    "divergence_change_abs": (
        "divergence_abs",
        "Mean absolute change of the divergence from the tokens' frequencies to the prediction.",
    ),
}
SHARES = {
    "norm_share": (
        ("norm_fixed_loss_abs", "loss_abs"),
        "Share of loss_change_abs that goes through the scale of the final norm; below 0 where the "
        "norm makes it less.",
    ),
    "norm_entropy_share": (
        ("norm_fixed_entropy_abs", "entropy_abs"),
        "The same of entropy_change_abs.",
    ),
    "frequency_share": (
        ("frequency_fixed_loss_abs", "loss_abs"),
        "Share of loss_change_abs that goes along the tokens' log frequency; below 0 where that "
        "makes it less.",
    ),
    "frequency_entropy_share": (
        ("frequency_fixed_entropy_abs", "entropy_abs"),
        "The same of entropy_change_abs.",
    ),
}
PERCENTILES = {
    "entropy_percentile": "entropy_change_abs",
    "divergence_percentile": "divergence_change_abs",
}


def _estimated(name: str, description: str, unit: str) -> tuple[Column, Column]:
    error = f"Standard error of {name} over documents; null with fewer than two groups of them."
    return (
        Column(name, pl.Float32, description, STOLFO, unit, nullable=True),
        Column(f"{name}_se", pl.Float32, error, "", unit, nullable=True, check=at_least(0)),
    )


COLUMNS = (
    Column("is_control", pl.Boolean, "Whether the neuron is a random other, not a candidate."),
    Column("n", pl.Int64, "Positions.", unit="tokens", check=at_least(0)),
    Column("n_groups", pl.Int64, "Groups of documents that they are in.", check=at_least(0)),
    *(c for name, (_, about) in MEANS.items() for c in _estimated(name, about, "nats")),
    *(c for name, (_, about) in SHARES.items() for c in _estimated(name, about, "")),
    Column(
        "changed_share",
        pl.Float32,
        "Share of positions at which another token is predicted.",
        STOLFO,
        check=between(0, 1),
    ),
    *(
        Column(
            name,
            pl.Float32,
            f"Share of the random others of the model in which {of} is lower; null without any.",
            nullable=True,
            check=between(0, 1),
        )
        for name, of in PERCENTILES.items()
    ),
)


def ablation_effects(ablations: pl.LazyFrame) -> pl.LazyFrame:
    """One row per neuron that was ablated."""
    keys = [key.name for key in KEYS]
    ratios = {name: _ratio(pl.col(total), pl.col("n")) for name, (total, _) in MEANS.items()}
    left = {name: _ratio(pl.col(a), pl.col(b)) for name, ((a, b), _) in SHARES.items()}
    found = {f"{name}_se": error for name, (_, error) in (ratios | left).items()}
    found |= {name: ratio for name, (ratio, _) in ratios.items()}
    found |= {name: 1 - ratio for name, (ratio, _) in left.items()}
    return (
        ablations.filter(pl.col("n") > 0)
        .group_by(keys)
        .agg(
            pl.col("is_control").first(),
            pl.col("n").sum().alias("positions"),
            n_groups=pl.len(),
            changed_share=pl.col("n_changed").sum() / pl.col("n").sum(),
            **found,
        )
        .rename({"positions": "n"})
        .with_columns(**{f"{name}_up_to": _up_to(of) for name, of in PERCENTILES.items()})
        .with_columns(**{name: _percentile(name, of) for name, of in PERCENTILES.items()})
        .select(*keys, *(pl.col(column.name).cast(column.dtype) for column in COLUMNS))
    )


def _ratio(part: pl.Expr, whole: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """The ratio of two sums over groups of documents, and its standard error."""
    ratio = part.sum() / whole.sum()
    groups = pl.len()
    square = (part - ratio * whole).pow(2).sum() * groups / (groups - 1)
    known = whole.sum() > 0
    error = pl.when(known & (groups > 1)).then(square.sqrt() / whole.sum())
    return pl.when(known).then(ratio), error


def _up_to(value: str) -> pl.Expr:
    """How many controls of a neuron's model come before it in order, itself and equals too."""
    return pl.col("is_control").cast(pl.Int64).cum_sum().over("model", order_by=value)


def _percentile(name: str, value: str) -> pl.Expr:
    """Share of the controls of a neuron's model that are lower."""
    control = pl.col("is_control").cast(pl.Int64)
    equal = control.sum().over("model", value)
    every = control.sum().over("model")
    lower = pl.col(f"{name}_up_to").max().over("model", value) - equal
    return pl.when(every > 0).then(lower / every)
