"""Per neuron: sums over its weights, folded and centred as the architecture allows."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from neurontab.measure.columns import Columns


@dataclass(frozen=True)
class MlpWeights:
    """What the neurons of one layer read and write, in float64.

    `w_gate` is None unless the MLP is gated; then the gate, not `w_in`, enters the activation
    function, and `b_in` is its bias.
    """

    w_in: Float[Tensor, "neuron d_model"]
    w_out: Float[Tensor, "neuron d_model"]
    b_in: Float[Tensor, " neuron"]
    w_gate: Float[Tensor, "neuron d_model"] | None


@dataclass(frozen=True)
class HeadWeights:
    """What the attention heads of one layer read and write, in float64; keys and values of grouped
    heads repeated."""

    query: Float[Tensor, "head d_model d_head"]
    key: Float[Tensor, "head d_model d_head"]
    value: Float[Tensor, "head d_model d_head"]
    out: Float[Tensor, "head d_head d_model"]
    key_at_bos: Float[Tensor, "head d_head"]  # on an input of BOS alone
    scale: float  # that products of queries and keys are multiplied with


@dataclass(frozen=True)
class Norm:
    """The normalisation that something reads through: `gain * normalised(x) + bias`."""

    gain: Float[Tensor, " d_model"]
    bias: Float[Tensor, " d_model"] | None
    centres: bool  # LayerNorm subtracts the mean over d_model, RMSNorm does not

    @property
    def description(self) -> str:
        """For `models.weight_processing`."""
        return "norm folded in, vectors centred" if self.centres else "norm folded in"

    def read_by(self, vectors: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """Vectors that read the residual stream through this norm, with its gain folded in."""
        return self.written_by(vectors * self.gain)

    def written_by(self, vectors: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """Vectors that write to the residual stream, less what the norm would subtract."""
        return vectors - vectors.mean(dim=-1, keepdim=True) if self.centres else vectors


def fold(raw: MlpWeights, norm: Norm) -> MlpWeights:
    """The same function with the norm's gain and bias moved into the weights that read it.

    LayerNorm also makes the mean over d_model of every reading and writing vector irrelevant, so it
    is subtracted (Gurnee et al. 2024, 2; the convention of TransformerLens).
    """
    first = raw.w_in if raw.w_gate is None else raw.w_gate
    shift = 0 if norm.bias is None else first @ norm.bias
    return MlpWeights(
        w_in=norm.read_by(raw.w_in),
        w_out=norm.written_by(raw.w_out),
        b_in=raw.b_in + shift,
        w_gate=None if raw.w_gate is None else norm.read_by(raw.w_gate),
    )


def weight_sums(weights: MlpWeights) -> Columns:
    """The columns of table `weights` for one layer; those of the gate only where there is one."""
    columns: dict[str, Float[Tensor, " neuron"]] = {
        "input_bias": weights.b_in,
        "w_in_norm": weights.w_in.norm(dim=1),
        "w_out_norm": weights.w_out.norm(dim=1),
        "w_in_dot_w_out": (weights.w_in * weights.w_out).sum(dim=1),
    }
    for name, vectors in (("w_in", weights.w_in), ("w_out", weights.w_out)):
        for power in (1, 2, 3, 4):
            columns[f"{name}_sum{power}"] = (vectors**power).sum(dim=1)
    if weights.w_gate is not None:
        columns["w_gate_norm"] = weights.w_gate.norm(dim=1)
        columns["gate_dot_w_out"] = (weights.w_gate * weights.w_out).sum(dim=1)
    return {name: values.cpu().numpy() for name, values in columns.items()}
