"""Tables about models and their shared vocabulary."""

import polars as pl

from neurontab.tables.schemas.keys import MODEL, TOKEN
from neurontab.tables.table import Column, Table, at_least

MODELS = Table(
    "models",
    "The models of the run: where each came from and how it is built.",
    keys=(MODEL,),
    values=(
        Column("source", pl.String, "Folder or hub name that loads it again."),
        Column("revision", pl.String, "Revision on the hub, if one was named.", nullable=True),
        Column("architecture", pl.String, "Class name of the Hugging Face model."),
        Column("n_layers", pl.Int32, "Layers.", check=at_least(1)),
        Column("d_model", pl.Int32, "Width of the residual stream.", check=at_least(1)),
        Column("d_mlp", pl.Int32, "Neurons of a layer.", check=at_least(1)),
        Column("n_heads", pl.Int32, "Attention heads of a layer.", check=at_least(1)),
        Column("d_vocab", pl.Int32, "Rows of the unembedding.", check=at_least(1)),
        Column("n_ctx", pl.Int32, "Longest sequence.", unit="tokens", check=at_least(1)),
        Column("activation", pl.String, "Activation function of the MLP."),
        Column("gated", pl.Boolean, "Whether a gate multiplies the hidden layer."),
        Column("tied", pl.Boolean, "Whether embedding and unembedding are one matrix."),
        Column("weight_processing", pl.String, "What is done to weights before they are measured."),
        Column("sha256", pl.String, "Digest of the weight files."),
    ),
)

VOCABULARY = Table(
    "vocabulary",
    "The tokens that all models of the run share.",
    keys=(TOKEN,),
    values=(
        Column("text", pl.String, "The token decoded; U+FFFD stands for broken bytes."),
        Column("bytes", pl.Binary, "The token's bytes; empty for special tokens."),
        Column(
            "n",
            pl.Int64,
            "How often the token stands at a counted position.",
            unit="tokens",
            check=at_least(0),
        ),
    ),
)

TOKEN_NORMS = Table(
    "token_norms",
    "Lengths of every token's rows, folded and centred as models.weight_processing says.",
    keys=(MODEL, TOKEN),
    values=(
        Column("embed_norm", pl.Float64, "Length of the embedding.", check=at_least(0)),
        Column("unembed_norm", pl.Float64, "Length of the unembedding.", check=at_least(0)),
    ),
)
