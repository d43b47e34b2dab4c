"""Tables read from the weights alone."""

import polars as pl

from neurontab.tables.schemas.keys import (
    NEURON_KEY,
    OTHER_LAYER,
    OTHER_NEURON,
    PAPER,
    RANK,
    TOKEN,
)
from neurontab.tables.table import Column, Table, at_least, between, one_of

STOLFO = "Stolfo et al. 2024"
ELHAGE = "Elhage et al. 2021"


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

VOCAB_MOMENTS = Table(
    "vocab_moments",
    "Central power sums of the cosine of every neuron's vectors with the vocabulary's.",
    keys=(
        *NEURON_KEY,
        Column("side", pl.String, "in or out: the vector compared.", check=one_of("in", "out")),
        Column(
            "matrix",
            pl.String,
            "embed or unembed: the vocabulary's rows.",
            check=one_of("embed", "unembed"),
        ),
    ),
    values=(
        Column("n", pl.Int64, "Tokens compared: those of the tokenizer, not special.", f"{PAPER}"),
        Column("mean", pl.Float64, "Mean cosine.", check=between(-1, 1)),
        Column("m2", pl.Float64, "Sum of squared deviations from the mean.", check=at_least(0)),
        Column("m3", pl.Float64, "Sum of cubed deviations from the mean."),
        Column("m4", pl.Float64, "Sum of fourth powers of deviations.", check=at_least(0)),
    ),
)

VOCAB_EFFECT = Table(
    "vocab_effect",
    "What every neuron's output vector does to the logits as a whole.",
    keys=NEURON_KEY,
    values=(
        Column(
            "logit_var",
            pl.Float64,
            "Variance over the vocabulary of the output vector's logits, per unit of activation "
            "and before the final norm's scale. Stolfo's LogitVar is of the cosines: m2 over n of "
            "side out and matrix unembed in vocab_moments.",
            check=at_least(0),
        ),
        Column(
            "null_fraction",
            pl.Float64,
            "Share of the output vector's length in the directions (1 % of d_model) that the "
            "unembedding reads least; the mean direction of LayerNorm models is none of them.",
            f"{STOLFO}, 3",
            check=between(0, 1),
        ),
        Column(
            "null_fraction_chance",
            pl.Float64,
            "99.9 % quantile of the highest null_fraction of as many random vectors as the layer "
            "has neurons.",
            check=between(0, 1),
        ),
        Column(
            "spectrum_gap",
            pl.Float64,
            "Singular value of the unembedding next above those directions, over their highest; 1 "
            "where nothing sets them apart.",
            check=at_least(1),
        ),
        Column(
            "frequency_cos",
            pl.Float64,
            "Cosine of the logits, less their mean, with the tokens' log frequency in this corpus.",
            f"{STOLFO}, 4",
            check=between(-1, 1),
        ),
        Column(
            "vocab_var_chance",
            pl.Float64,
            "99.9 % quantile of the highest variance of cosines with the unembedding of as many "
            "random vectors as the layer has neurons.",
            check=at_least(0),
        ),
        Column(
            "frequency_cos_chance",
            pl.Float64,
            "99.9 % quantile of the highest absolute value of it of as many random vectors "
            "as the layer has neurons.",
            check=between(0, 1),
        ),
    ),
)

LOGIT = Column("logit", pl.Float32, "Logit that the output vector adds per unit of activation.")
COSINE = Column(
    "cosine", pl.Float32, "Cosine of output vector and unembedding.", check=between(-1, 1)
)

VOCAB_TOKENS = Table(
    "vocab_tokens",
    "The 10 tokens whose logits every neuron raises most, and lowers most.",
    keys=(
        *NEURON_KEY,
        Column(
            "direction",
            pl.String,
            "promoted or suppressed.",
            check=one_of("promoted", "suppressed"),
        ),
        RANK,
    ),
    values=(TOKEN, LOGIT, COSINE),
)

LOGIT_EFFECTS = Table(
    "logit_effects",
    "The logit of every token for the 50 neurons of each model with the highest excess_corr, and "
    "for up to 10 entropy candidates that were ablated and 10 random others of their layer.",
    keys=(*NEURON_KEY, TOKEN),
    values=(LOGIT, COSINE),
)

NEIGHBOURS = Table(
    "neighbours",
    "For every neuron the 5 neurons of its model whose vectors are most and least aligned.",
    keys=(
        *NEURON_KEY,
        Column(
            "relation",
            pl.String,
            "Own vector and the other's: in_in, in_out, out_in or out_out.",
            check=one_of("in_in", "in_out", "out_in", "out_out"),
        ),
        Column("side", pl.String, "top or bottom.", check=one_of("top", "bottom")),
        RANK,
    ),
    values=(
        OTHER_LAYER,
        OTHER_NEURON,
        Column("cosine", pl.Float32, "Cosine of the two vectors.", PAPER, check=between(-1, 1)),
    ),
)


def _composition(name: str, description: str) -> Column:
    return Column(name, pl.Float32, description, ELHAGE, nullable=True, check=between(0, 1))


HEAD_SCORES = Table(
    "head_scores",
    "The 8 attention heads with which every neuron composes most, in causal order, by weights; "
    "among them the one whose attention to BOS it moves most.",
    keys=(
        *NEURON_KEY,
        Column("head_layer", pl.Int32, "Layer of the head.", check=at_least(0)),
        Column("head", pl.Int32, "Head of the layer.", check=at_least(0)),
    ),
    values=(
        Column(
            "bos_score",
            pl.Float32,
            "What the output vector adds to the head's attention score for BOS, at any position, "
            "per unit of activation and before the scale of the norm that the head reads through; "
            "rotations left out; null for heads before the neuron.",
            f"{PAPER}, 5.3",
            nullable=True,
        ),
        Column(
            "bos_score_chance",
            pl.Float32,
            "99.9 % quantile of the highest |bos_score| of random vectors of the same length, as "
            "many as the layer has neurons, with as many heads as come after; null for heads "
            "before.",
            nullable=True,
            check=at_least(0),
        ),
        _composition("k_comp", "Output vector read by the head's keys; null for heads before."),
        _composition("q_comp", "Output vector read by the head's queries; null for heads before."),
        _composition("v_comp", "Output vector moved by the head; null for heads before."),
        _composition("o_comp", "Head's output read by the input vector; null for heads after."),
    ),
)
