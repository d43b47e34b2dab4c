"""Tables measured by running the models over the text."""

import polars as pl

from neurontab.tables.schemas.keys import (
    COUNT,
    FEATURE,
    FEATURE_BY,
    NEURON_KEY,
    OFFSET,
    RANK,
    SITE,
    SOURCE,
    TOKEN,
)
from neurontab.tables.table import Column, Table, at_least, one_of

ACTIVATION_MOMENTS = Table(
    "activation_moments",
    "Counts and central power sums of every neuron's activation, at both sites.",
    keys=(
        *NEURON_KEY,
        SITE,
    ),
    values=(
        COUNT,
        Column("mean", pl.Float64, "Mean.", unit="activation"),
        Column("m2", pl.Float64, "Sum of squared deviations from the mean.", check=at_least(0)),
        Column("m3", pl.Float64, "Sum of cubed deviations from the mean."),
        Column("m4", pl.Float64, "Sum of fourth powers of deviations.", check=at_least(0)),
        Column("n_positive", pl.Int64, "Positions above 0.", unit="tokens", check=at_least(0)),
        Column("min", pl.Float64, "Lowest value.", unit="activation"),
        Column("max", pl.Float64, "Highest value.", unit="activation"),
        Column(
            "bos_activation",
            pl.Float64,
            "Value at position 0, the same in every sequence; pre only.",
            unit="activation",
            nullable=True,
        ),
        Column(
            "bos_z",
            pl.Float64,
            "bos_activation in standard deviations from the mean; pre only, null if constant.",
            unit="standard deviations",
            nullable=True,
        ),
    ),
)

ACTIVATION_HISTOGRAMS = Table(
    "activation_histograms",
    "How often every neuron's activation lies in each of 48 equal bins; empty bins have no row.",
    keys=(*NEURON_KEY, SITE, Column("bin", pl.Int32, "Bin, from 0.", check=at_least(0))),
    values=(
        Column("lower", pl.Float64, "Lower end; of the first bin the lowest value, if below."),
        Column("upper", pl.Float64, "Upper end; of the last bin the highest value, if above."),
        COUNT,
    ),
)

TOKEN_RESPONSE = Table(
    "token_response",
    "The 20 tokens that raise every neuron's post most, by z of the mean, among those frequent "
    "enough for sums of their own within the memory.",
    keys=(*NEURON_KEY, OFFSET, RANK),
    values=(
        TOKEN,
        Column("n", pl.Int64, "Positions with this token there.", unit="tokens"),
        Column("mean", pl.Float32, "Mean of post at those positions.", unit="activation"),
        Column("max", pl.Float32, "Highest post at those positions.", unit="activation"),
        Column(
            "z",
            pl.Float32,
            "Mean less the neuron's mean, times the root of n, over its standard deviation.",
            unit="standard errors",
        ),
    ),
)

TOKEN_SPREAD = Table(
    "token_spread",
    "How much every neuron's post varies between tokens; those too rare for sums of their own "
    "within the memory are one.",
    keys=(*NEURON_KEY, OFFSET),
    values=(
        Column("n", pl.Int64, "Counted positions with a counted token there.", unit="tokens"),
        Column("n_tokens", pl.Int64, "Different tokens there.", check=at_least(0)),
        Column(
            "between",
            pl.Float64,
            "Sum over these positions of the squared deviation of their token's mean post from the "
            "mean of all.",
            check=at_least(0),
        ),
    ),
)


def _sums(where: str, suffix: str = "") -> tuple[Column, ...]:
    """Counts and sums of post at some positions, and at those where a feature is true."""
    return (
        Column(f"n{suffix}", pl.Int64, f"Positions with a counted token there{where}."),
        Column(f"n_true{suffix}", pl.Int64, "Those of them where the feature is true."),
        Column(f"sum{suffix}", pl.Float64, f"Sum of post at them{where}.", unit="activation"),
        Column(f"sum_true{suffix}", pl.Float64, "Sum of post where it is true.", unit="activation"),
        Column(f"m2{suffix}", pl.Float64, "Squared deviations of post from the mean of all."),
    )


FEATURE_GROUPS = Table(
    "feature_groups",
    "Counts and sums of post for the 20 features of the current, previous and next token that part "
    "every neuron's activations most in the half of the documents that is not held out; and for "
    "the 20 labels of the text, where it has any.",
    keys=(*NEURON_KEY, FEATURE_BY, OFFSET, FEATURE),
    values=(RANK, *_sums(""), *_sums(", in the half of the documents held out", "_held_out")),
)

FEATURE_CHANCE = Table(
    "feature_chance",
    "The same of the feature that parts every neuron's activations most, over all documents, when "
    "each token has the features of another that is about as frequent; one such exchange. Labels "
    "of the text are those of the same position in another sequence.",
    keys=(*NEURON_KEY, FEATURE_BY, OFFSET),
    values=(FEATURE, *_sums("")),
)

FEATURE_SUPPORT = Table(
    "feature_support",
    "How often each feature is true of the current, the previous and the next token.",
    keys=(FEATURE_BY, OFFSET, FEATURE),
    values=(
        Column("n_true", pl.Int64, "Counted positions.", unit="tokens", check=at_least(0)),
        Column("n_documents", pl.Int64, "Documents that they are in.", check=at_least(0)),
    ),
)

ACTIVE = Column("n_active", pl.Int64, "Positions with post above 0.", check=at_least(0))

POSITION_GROUPS = Table(
    "position_groups",
    "Sum of every neuron's post at each position of the context, the first 2,048.",
    keys=(*NEURON_KEY, Column("position", pl.Int32, "Position, BOS is 0.", check=at_least(0))),
    values=(COUNT, Column("sum", pl.Float64, "Sum of post.", unit="activation"), ACTIVE),
)

SOURCE_GROUPS = Table(
    "source_groups",
    "Sum of every neuron's post in each source of text.",
    keys=(*NEURON_KEY, SOURCE),
    values=(COUNT, Column("sum", pl.Float64, "Sum of post.", unit="activation"), ACTIVE),
)

EXAMPLES = Table(
    "examples",
    "Contexts of every neuron: highest and lowest post, one a document, and a random sample.",
    keys=(
        *NEURON_KEY,
        Column(
            "side",
            pl.String,
            "top, bottom, or sample: the same random positions for all neurons.",
            check=one_of("top", "bottom", "sample"),
        ),
        RANK,
    ),
    values=(
        Column("value", pl.Float32, "Post at the position.", unit="activation"),
        Column("sequence", pl.Int32, "Sequence in corpus/tokens.arrow.", check=at_least(0)),
        Column("position", pl.Int32, "Position in the sequence.", check=at_least(0)),
        Column("document", pl.Int32, "Document in corpus/documents.parquet.", check=at_least(0)),
        Column("source", pl.String, "Source of the text."),
        Column("before", pl.Int32, "Tokens shown before the position.", check=at_least(0)),
        Column("tokens", pl.List(pl.Int32), "Token ids from 16 before to 16 after."),
        Column("activations", pl.List(pl.Float32), "Post at each of them.", unit="activation"),
    ),
)
