"""Random rotations of a layer, and the correlation with rotated units from covariances alone.

For a matrix Q over the units of a layer, cov(x, Qy) = cov(x, y) Qᵀ and
var(Qy) = diag(Q cov(y, y) Qᵀ). So products are rotated, never activations, and the baseline costs
no further run.
"""

import hashlib
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Shape = Literal["haar", "gaussian-rows"]
ROUNDING = 1e-5  # of a layer's total variance


def rotation(
    width: int, shape: Shape, *, seed: int, model: str, layer: int, draw: int, device: torch.device
) -> Float[Tensor, "rotated neuron"]:
    """One random matrix, the same for the same arguments, float32.

    `haar` is uniform over rotations and reflections (QR of a Gaussian with the signs of R's
    diagonal taken out); `gaussian-rows` has independent Gaussian rows of length 1, which are only
    nearly orthogonal (what the code of Gurnee et al. 2024 draws).
    """
    place = f"{seed}/{model}/{layer}/{draw}".encode()
    number = int.from_bytes(hashlib.sha256(place).digest()[:8], "big") >> 1
    random = torch.Generator().manual_seed(number)
    gaussian = torch.randn(width, width, generator=random).to(device)
    if shape == "gaussian-rows":
        return torch.nn.functional.normalize(gaussian, dim=1)
    q, r = torch.linalg.qr(gaussian)
    return torch.mul(q, r.diagonal().sign())


def rotated_variance(
    rotation: Float[Tensor, "rotated neuron"], covariance: Float[Tensor, "neuron neuron"]
) -> Float[Tensor, " rotated"]:
    """Variance of every rotated unit; 0 where it drowns in the rounding of float32 products."""
    turned = rotation @ covariance.float()
    variance = (turned.double() * rotation).sum(dim=1)
    return torch.where(variance > ROUNDING * covariance.trace(), variance, 0.0).float()
