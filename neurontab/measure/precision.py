"""Products of activations as they are, in float32, or of activations rounded to bfloat16 first.

Sums are in float32 within a block either way. On a GPU products of bfloat16 run several times as
fast; on a CPU they save nothing, and show what rounding does.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Precision = Literal["float32", "bfloat16"]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def product(
    x: Float[Tensor, "token neuron"], y: Float[Tensor, "token other"]
) -> Float[Tensor, "neuron other"]:
    """Sum over tokens of x yᵀ, in float32."""
    if x.dtype == torch.bfloat16 and x.device.type == "cuda":
        return torch.mm(x.T, y, out_dtype=torch.float32)
    return x.float().T @ y.float()


def rounding_error(
    x: Float[Tensor, "token neuron"], y: Float[Tensor, "token other"], precision: Precision
) -> float:
    """The largest error of a correlation that rounding in products makes; x and y are shifted."""
    dtype = DTYPES[precision]
    found = product(x.to(dtype), y.to(dtype)).double()
    one, other = x.double(), y.double()
    scale = one.square().sum(dim=0).sqrt()[:, None] * other.square().sum(dim=0).sqrt()
    return float(((found - one.T @ other).abs() / scale.clamp_min(1e-300)).max())
