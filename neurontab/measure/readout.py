"""The end of a model: the final norm, what reads through it, and what it predicts."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from neurontab.measure.weights import Norm

Logits = Float[Tensor, "token vocabulary"]


@dataclass(frozen=True)
class Readout:
    """Final norm and unembedding in float32, the norm's gain and bias moved into the latter."""

    norm: Norm
    epsilon: float
    unembed: Float[Tensor, "vocabulary d_model"]  # reads the normalised stream
    offset: Float[Tensor, " vocabulary"]  # logits of a stream of zeros

    @classmethod
    def of(
        cls,
        norm: Norm,
        epsilon: float,
        unembed: Float[Tensor, "vocabulary d_model"],
        bias: Float[Tensor, " vocabulary"] | None,
    ) -> "Readout":
        """From the weights as they are."""
        offset = torch.zeros_like(unembed[:, 0]) if bias is None else bias
        if norm.bias is not None:
            offset = offset + unembed @ norm.bias
        return cls(norm, epsilon, norm.read_by(unembed).float(), offset.float())

    def scale(self, centred: Float[Tensor, "token d_model"]) -> Float[Tensor, " token"]:
        """What the norm divides a stream by, of one that is centred where the norm centres."""
        scale: Tensor = (centred.square().mean(dim=1) + self.epsilon).sqrt()
        return scale


@dataclass(frozen=True)
class Prediction:
    """What follows from logits, in nats."""

    loss: Float[Tensor, " token"]
    entropy: Float[Tensor, " token"]
    log_total: Float[Tensor, " token"]  # log of the sum of exp(logit)

    @classmethod
    def of(cls, logits: Logits, following: Int[Tensor, " token"]) -> "Prediction":
        """Of the token that follows each."""
        logs = logits.log_softmax(dim=1)
        here = following[:, None]
        found = logs.gather(1, here)[:, 0]
        entropy = -torch.linalg.vecdot(logs.exp(), logs)
        return cls(-found, entropy, logits.gather(1, here)[:, 0] - found)
