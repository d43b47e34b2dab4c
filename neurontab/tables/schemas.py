"""Every measured table, declared once.

Keys are `model, layer, neuron`. Sums are Float64 (m_k = the sum of (x - mean)^k, not divided),
correlations Float32, counts Int64, ids, ranks and indices Int32. `rank` counts from 1; layer,
neuron and draw from 0. *pre* is the input of an MLP's activation function, *post* what enters
W_out; only counted positions enter (special tokens do not).
"""

import polars as pl

from neurontab.tables.table import Column, Table, at_least, between, one_of

PAPER = "Gurnee et al. 2024"

MODEL = Column("model", pl.String, "Name of the model in this run.")
LAYER = Column("layer", pl.Int32, "Layer, from 0.", check=at_least(0))
NEURON = Column("neuron", pl.Int32, "Unit of the MLP's hidden layer, from 0.", check=at_least(0))
NEURON_KEY = (MODEL, LAYER, NEURON)
OTHER_MODEL = Column("other_model", pl.String, "Name of the model matched against.")
OTHER_LAYER = Column("other_layer", pl.Int32, "Layer in the other model.", check=at_least(0))
OTHER_NEURON = Column("other_neuron", pl.Int32, "Neuron in the other model.", check=at_least(0))
RANK = Column("rank", pl.Int32, "1 is the strongest.", check=at_least(1))
COUNT = Column("n", pl.Int64, "Counted positions.", unit="tokens", check=at_least(0))

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
    keys=(Column("token_id", pl.Int32, "Token id.", check=at_least(0)),),
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

ACTIVATION_MOMENTS = Table(
    "activation_moments",
    "Counts and central power sums of every neuron's activation, at both sites.",
    keys=(
        *NEURON_KEY,
        Column("site", pl.String, "pre or post.", check=one_of("pre", "post")),
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


def _power_sums(name: str, vector: str) -> tuple[Column, ...]:
    return tuple(
        Column(f"{name}_sum{power}", pl.Float64, f"Sum of the entries of {vector} to the {power}.")
        for power in (1, 2, 3, 4)
    )


WEIGHTS = Table(
    "weights",
    "Sums over every neuron's weights, folded and centred as models.weight_processing says.",
    keys=NEURON_KEY,
    values=(
        Column("input_bias", pl.Float64, "Bias before the activation function.", f"{PAPER}, 4.1"),
        Column("w_in_norm", pl.Float64, "Length of the input vector.", check=at_least(0)),
        Column("w_out_norm", pl.Float64, "Length of the output vector.", check=at_least(0)),
        Column("w_in_dot_w_out", pl.Float64, "Inner product of input and output vector."),
        *_power_sums("w_in", "the input vector"),
        *_power_sums("w_out", "the output vector"),
        Column(
            "w_gate_norm",
            pl.Float64,
            "Length of the gate's vector; gated models only.",
            nullable=True,
            check=at_least(0),
        ),
        Column(
            "gate_dot_w_out",
            pl.Float64,
            "Inner product of gate and output vector; gated models only.",
            nullable=True,
        ),
    ),
)

CORR = Column(
    "corr",
    pl.Float32,
    "Pearson correlation of post over all counted positions.",
    f"{PAPER}, 3.1",
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
        Column(
            "sign",
            pl.Int32,
            "corr is with sign times the other neuron; -1 occurs in gated models only.",
            check=between(-1, 1),
        ),
        Column(
            "reverse_rank",
            pl.Int32,
            "This neuron's rank among the matches of the other neuron; null beyond the last kept.",
            nullable=True,
            check=at_least(1),
        ),
        COUNT,
        Column(
            "certificate",
            pl.String,
            "How it is known that nothing better was missed.",
            check=one_of("exact"),
        ),
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
        Column(
            "sign",
            pl.Int32,
            "corr is with sign times the twin; -1 occurs in gated models only.",
            check=between(-1, 1),
        ),
    ),
)

ANTIMATCHES = Table(
    "antimatches",
    "For every neuron and other model the most negative correlation; none for gated models.",
    keys=(*NEURON_KEY, OTHER_MODEL),
    values=(OTHER_LAYER, OTHER_NEURON, CORR, COUNT),
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

MEASURED: dict[str, Table] = {
    table.name: table
    for table in (
        MODELS,
        VOCABULARY,
        ACTIVATION_MOMENTS,
        WEIGHTS,
        MATCHES,
        TWINS,
        ANTIMATCHES,
        BASELINES,
        LAYER_SIMILARITY,
    )
}
