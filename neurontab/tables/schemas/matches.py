"""Tables that compare neurons of a family."""

import polars as pl

from neurontab.tables.schemas.keys import (
    COUNT,
    DOCUMENT_GROUP,
    LAYER,
    MODEL,
    NEURON_KEY,
    OTHER_LAYER,
    OTHER_MODEL,
    OTHER_NEURON,
    PAPER,
    RANK,
    SOURCE,
)
from neurontab.tables.table import Column, Table, at_least, between, one_of

CORR = Column(
    "corr",
    pl.Float32,
    "Pearson correlation of post over all counted positions.",
    f"{PAPER}, 3.1",
    check=between(-1, 1),
)

SIGN = Column(
    "sign",
    pl.Int32,
    "corr is with sign times the other neuron; -1 occurs in gated models only.",
    check=between(-1, 1),
)

MATCHES = Table(
    "matches",
    "For every neuron and other model, the neurons whose activation correlates most.",
    keys=(*NEURON_KEY, OTHER_MODEL, RANK),
    values=(
        OTHER_LAYER,
        OTHER_NEURON,
        CORR,
        SIGN,
        Column(
            "reverse_rank",
            pl.Int32,
            "This neuron's rank among the matches of the other neuron; null beyond the last kept.",
            nullable=True,
            check=at_least(1),
        ),
        COUNT,
        Column(
            "corr_se",
            pl.Float32,
            "Standard error of corr over documents, by a jackknife that leaves out one of about "
            "50 groups of documents at a time; null with one group.",
            "Busing et al. 1999, eq. 10",
            nullable=True,
            check=at_least(0),
        ),
        Column(
            "min_source_corr",
            pl.Float32,
            "Correlation in the source of text where it is lowest; null where a neuron varies in "
            "none.",
            nullable=True,
            check=between(-1, 1),
        ),
        Column(
            "certificate",
            pl.String,
            "How it is known that nothing better was missed.",
            check=one_of("exact", "bound", "probabilistic"),
        ),
        Column(
            "token_share",
            pl.Float32,
            "Share of the covariance that is between means of the current token; below 0 or above "
            "1 where what is left within tokens has the other sign. Too high by about the number "
            "of token types over that of positions, and by more for neurons of rare tokens, which "
            "have nothing within. Rare tokens beyond the memory count as one.",
            "law of total covariance",
            nullable=True,
        ),
        Column(
            "corr_within_token",
            pl.Float32,
            "Correlation left when every position is taken less the mean of its token; null where "
            "a neuron does not vary within tokens.",
            "law of total covariance",
            nullable=True,
            check=between(-1, 1),
        ),
    ),
)

MATCH_SOURCES = Table(
    "match_sources",
    "For every match its correlation within each source of text.",
    keys=(*NEURON_KEY, OTHER_MODEL, RANK, SOURCE),
    values=(
        Column(
            "corr",
            pl.Float32,
            "Pearson correlation of post over the source's counted positions, times `sign`; null "
            "where a neuron does not vary.",
            nullable=True,
            check=between(-1, 1),
        ),
        COUNT,
    ),
)

JACKKNIFE = Table(
    "jackknife",
    "For every best match its correlation without each group of documents, and held out.",
    keys=(*NEURON_KEY, OTHER_MODEL),
    values=(
        Column(
            "left_out",
            pl.List(pl.Float32),
            "Pearson correlation, times `sign`, over all counted positions but those of document "
            "group 0, 1, 2, ...; empty with one group, or where a neuron does not vary without "
            "one.",
        ),
        Column(
            "held_out_corr",
            pl.Float32,
            "Correlation, in one half of the document groups, of the match that is best of those "
            "kept in the other half; mean of both ways.",
            nullable=True,
            check=between(-1, 1),
        ),
    ),
)

DOCUMENT_GROUPS = Table(
    "document_groups",
    "Groups of whole documents, each within one source, that are left out in turn.",
    keys=(DOCUMENT_GROUP,),
    values=(
        SOURCE,
        COUNT,
        Column("n_documents", pl.Int64, "Documents in the group.", check=at_least(0)),
    ),
)

TWINS = Table(
    "twins",
    "For every neuron the neurons of the same model, itself excluded, that correlate most.",
    keys=(*NEURON_KEY, RANK),
    values=(
        Column("other_layer", pl.Int32, "Layer of the twin.", check=at_least(0)),
        Column("other_neuron", pl.Int32, "Neuron of the twin.", check=at_least(0)),
        CORR,
        SIGN,
    ),
)

ANTIMATCHES = Table(
    "antimatches",
    "For every neuron and other model the most negative correlation; none for gated models.",
    keys=(*NEURON_KEY, OTHER_MODEL),
    values=(OTHER_LAYER, OTHER_NEURON, CORR, COUNT),
)

ASSIGNMENTS = Table(
    "assignments",
    "One-to-one pairs of neurons of two models, those with the highest sum of correlations.",
    keys=(*NEURON_KEY, OTHER_MODEL),
    values=(
        OTHER_LAYER,
        OTHER_NEURON,
        Column(
            "corr",
            pl.Float32,
            "Pearson correlation of post over all counted positions. Pairs are of kept matches, in "
            "either direction, above 0.",
            f"{PAPER}, 3.1",
            check=between(0, 1),
        ),
        SIGN,
    ),
)

BASELINES = Table(
    "baselines",
    "The best correlation of every neuron with the other model's layers after a random rotation.",
    keys=(
        *NEURON_KEY,
        OTHER_MODEL,
        Column(
            "kind",
            pl.String,
            "raw rotates activations as they are, standardised after scaling to unit variance.",
            check=one_of("raw", "standardised"),
        ),
        Column("draw", pl.Int32, "Number of the random rotation, from 0.", check=at_least(0)),
    ),
    values=(
        Column(
            "corr",
            pl.Float32,
            "Highest Pearson correlation with any rotated unit of any layer.",
            f"{PAPER}, 3.1",
            check=between(-1, 1),
        ),
        OTHER_LAYER,
    ),
)

LAYER_SIMILARITY = Table(
    "layer_similarity",
    "How alike two layers of different models are as wholes.",
    keys=(MODEL, LAYER, OTHER_MODEL, OTHER_LAYER),
    values=(
        Column(
            "cka",
            pl.Float32,
            "Linear centred kernel alignment of post; null if a layer is constant.",
            "Kornblith et al. 2019, eq. 4",
            nullable=True,
            check=between(0, 1),
        ),
        Column(
            "cka_standardised",
            pl.Float32,
            "The same with every neuron scaled to unit variance.",
            "Kornblith et al. 2019, eq. 4",
            nullable=True,
            check=between(0, 1),
        ),
        Column(
            "mean_max_corr",
            pl.Float32,
            "Mean over the layer's neurons of the best correlation within the other layer.",
            nullable=True,
            check=between(-1, 1),
        ),
        Column(
            "n_constant",
            pl.Int64,
            "Neurons of the layer left out for low support.",
            unit="neurons",
            check=at_least(0),
        ),
    ),
)
