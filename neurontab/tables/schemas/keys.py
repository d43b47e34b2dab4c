"""Columns that many tables share: keys, ranks, counts, and where definitions come from."""

import polars as pl

from neurontab.tables.table import Column, at_least, one_of

PAPER = "Gurnee et al. 2024"

MODEL = Column("model", pl.String, "Name of the model in this run.")
LAYER = Column("layer", pl.Int32, "Layer, from 0.", check=at_least(0))
NEURON = Column("neuron", pl.Int32, "Unit of the MLP's hidden layer, from 0.", check=at_least(0))
NEURON_KEY = (MODEL, LAYER, NEURON)
OTHER_MODEL = Column("other_model", pl.String, "Name of the model matched against.")
OTHER_LAYER = Column("other_layer", pl.Int32, "Layer in the other model.", check=at_least(0))
OTHER_NEURON = Column("other_neuron", pl.Int32, "Neuron in the other model.", check=at_least(0))
RANK = Column(
    "rank", pl.Int32, "1 is the strongest; of a sample, the first in the text.", check=at_least(1)
)
COUNT = Column("n", pl.Int64, "Counted positions.", unit="tokens", check=at_least(0))
SOURCE = Column("source", pl.String, "Source of the text.")
SITE = Column("site", pl.String, "pre or post.", check=one_of("pre", "post"))
OFFSET = Column(
    "offset",
    pl.String,
    "Which position's token or label groups positions: the current, the previous or the next.",
    check=one_of("current", "previous", "next"),
)
DOCUMENT_GROUP = Column(
    "document_group", pl.Int32, "Number of the group of documents.", check=at_least(0)
)
FEATURE = Column(
    "feature",
    pl.String,
    "Feature in token_features; of a label of the text its column and value, such as pos=NOUN.",
)
FEATURE_BY = Column(
    "by",
    pl.String,
    "token: it is true of tokens, wherever they stand; label: it comes with the text.",
    check=one_of("token", "label"),
)
TOKEN = Column("token_id", pl.Int32, "Token id.", check=at_least(0))
