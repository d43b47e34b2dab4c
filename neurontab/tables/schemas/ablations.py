"""Tables of what changes when a neuron is held at its mean."""

import polars as pl

from neurontab.tables.schemas.keys import COUNT, DOCUMENT_GROUP, NEURON_KEY
from neurontab.tables.table import Column, Table, at_least

STOLFO = "Stolfo et al. 2024, 3.2"


def _sum(name: str, description: str) -> Column:
    check = at_least(0) if name.endswith("_abs") else None
    return Column(name, pl.Float64, f"Sum of {description}.", STOLFO, "nats", check=check)


ABLATIONS = Table(
    "ablations",
    "What changes at random positions when a neuron of the last layer is held at its mean, by "
    "group of documents: candidates for a role, and random others.",
    keys=(*NEURON_KEY, DOCUMENT_GROUP),
    values=(
        Column("is_control", pl.Boolean, "Whether the neuron is one of the random others."),
        COUNT,
        _sum("loss", "the change of the loss"),
        _sum("loss_abs", "its absolute values"),
        _sum("entropy", "the change of the prediction's entropy"),
        _sum("entropy_abs", "its absolute values"),
        _sum(
            "divergence",
            "the change of the divergence from the tokens' frequencies to the prediction",
        ),
        _sum("divergence_abs", "its absolute values"),
        _sum(
            "norm_fixed_loss_abs",
            "absolute changes of the loss while the final norm divides as before",
        ),
        _sum("norm_fixed_entropy_abs", "absolute changes of the entropy while it does"),
        _sum(
            "frequency_fixed_loss_abs",
            "absolute changes of the loss while the logits along log frequency stay as before",
        ),
        _sum("frequency_fixed_entropy_abs", "absolute changes of the entropy while they do"),
        Column(
            "n_changed",
            pl.Int64,
            "Positions at which another token is predicted.",
            unit="tokens",
            check=at_least(0),
        ),
    ),
)
