"""Products of activations as they are, in float32, or of activations rounded to bfloat16 first.

Sums are in float32 within a block either way. Products of bfloat16 run several times as fast where
the processor has them; on a CPU they are themselves rounded to bfloat16, which bounds of sketches
allow for, and sums over all tokens do not.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Precision = Literal["float32", "bfloat16"]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
NATIVE = ("avx512_bf16", "amx_bf16")  # what a CPU is said to have


def product(
    x: Float[Tensor, "token neuron"], y: Float[Tensor, "token other"]
) -> Float[Tensor, "neuron other"]:
    """Sum over tokens of x yᵀ, in float32."""
    if x.dtype == torch.bfloat16 and x.device.type == "cuda":
        return torch.mm(x.T, y, out_dtype=torch.float32)
    return x.float().T @ y.float()


def quick_product(
    x: Float[Tensor, "row neuron"], y: Float[Tensor, "row other"]
) -> Float[Tensor, "neuron other"]:
    """Sum over rows of x yᵀ; that of bfloat16 is rounded to bfloat16 on a CPU."""
    return product(x, y) if x.device.type == "cuda" else (x.T @ y).float()


def quickest(device: torch.device) -> Precision:
    """In which numbers a device multiplies matrices fastest."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        known: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
        native = any(known.get(name) for name in NATIVE)
    return "bfloat16" if native else "float32"


def rounding_error(
    x: Float[Tensor, "token neuron"], y: Float[Tensor, "token other"], precision: Precision
) -> float:
    """The largest error of a correlation that rounding in products makes; x and y are shifted."""
    dtype = DTYPES[precision]
    found = product(x.to(dtype), y.to(dtype)).double()
    one, other = x.double(), y.double()
    scale = one.square().sum(dim=0).sqrt()[:, None] * other.square().sum(dim=0).sqrt()
    return float(((found - one.T @ other).abs() / scale.clamp_min(1e-300)).max())
