"""Every measured table, declared once.

Keys are `model, layer, neuron`. Sums are Float64 (m_k = the sum of (x - mean)^k, not divided),
correlations Float32, counts Int64, ids, ranks and indices Int32. `rank` counts from 1; layer,
neuron and draw from 0. *pre* is the input of an MLP's activation function, *post* what enters
W_out; only counted positions enter (special tokens do not).
"""

from neurontab.tables.schemas.ablations import ABLATIONS
from neurontab.tables.schemas.activations import (
    ACTIVATION_HISTOGRAMS,
    ACTIVATION_MOMENTS,
    EXAMPLES,
    FEATURE_CHANCE,
    FEATURE_GROUPS,
    FEATURE_SUPPORT,
    POSITION_GROUPS,
    SOURCE_GROUPS,
    TOKEN_RESPONSE,
    TOKEN_SPREAD,
)
from neurontab.tables.schemas.keys import (
    FEATURE,
    FEATURE_BY,
    LAYER,
    MODEL,
    NEURON_KEY,
    OFFSET,
    PAPER,
    TOKEN,
)
from neurontab.tables.schemas.matches import (
    ANTIMATCHES,
    ASSIGNMENTS,
    BASELINES,
    DOCUMENT_GROUPS,
    JACKKNIFE,
    LAYER_SIMILARITY,
    MATCH_SOURCES,
    MATCHES,
    TWINS,
)
from neurontab.tables.schemas.models import MODELS, TOKEN_NORMS, VOCABULARY
from neurontab.tables.schemas.weights import (
    HEAD_SCORES,
    LOGIT_EFFECTS,
    NEIGHBOURS,
    VOCAB_EFFECT,
    VOCAB_MOMENTS,
    VOCAB_TOKENS,
    WEIGHTS,
)
from neurontab.tables.table import Table

__all__ = [
    "FEATURE",
    "FEATURE_BY",
    "LAYER",
    "MEASURED",
    "MODEL",
    "NEURON_KEY",
    "OFFSET",
    "PAPER",
    "TOKEN",
]

MEASURED: dict[str, Table] = {
    table.name: table
    for table in (
        MODELS,
        VOCABULARY,
        TOKEN_NORMS,
        ACTIVATION_MOMENTS,
        ACTIVATION_HISTOGRAMS,
        TOKEN_RESPONSE,
        TOKEN_SPREAD,
        FEATURE_GROUPS,
        FEATURE_CHANCE,
        FEATURE_SUPPORT,
        POSITION_GROUPS,
        SOURCE_GROUPS,
        EXAMPLES,
        WEIGHTS,
        VOCAB_MOMENTS,
        VOCAB_EFFECT,
        VOCAB_TOKENS,
        LOGIT_EFFECTS,
        NEIGHBOURS,
        HEAD_SCORES,
        ABLATIONS,
        MATCHES,
        TWINS,
        ANTIMATCHES,
        ASSIGNMENTS,
        BASELINES,
        LAYER_SIMILARITY,
        MATCH_SOURCES,
        JACKKNIFE,
        DOCUMENT_GROUPS,
    )
}
