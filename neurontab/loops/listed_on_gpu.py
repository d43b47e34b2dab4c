"""Inner products of listed pairs on an NVIDIA GPU, compiled by triton, which comes with torch."""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

PAIRS = 16  # that one program multiplies


def add_listed(
    one: Float[Tensor, "unit position"],
    other: Float[Tensor, "other position"],
    unit: Int[Tensor, " pair"],
    other_unit: Int[Tensor, " pair"],
    sums: Float[Tensor, " pair"],
) -> None:
    """Adds the inner products of listed units of one piece to sums in float64.

    Nothing that is gathered is written down, so that only reading takes time.
    """
    positions = triton.next_power_of_2(one.shape[1])
    grid = (triton.cdiv(len(unit), PAIRS),)
    with torch.cuda.device(one.device):
        _multiply[grid](
            one, other, unit, other_unit, sums, len(unit), one.shape[1], PAIRS, positions
        )


def _products(
    one: tl.tensor,
    other: tl.tensor,
    unit: tl.tensor,
    other_unit: tl.tensor,
    sums: tl.tensor,
    n_pairs: tl.tensor,
    stride: tl.tensor,
    pairs: tl.constexpr,
    positions: tl.constexpr,
) -> None:
    """One program: some pairs at all positions."""
    pair = tl.program_id(0) * pairs + tl.arange(0, pairs)
    there = pair < n_pairs
    position = tl.arange(0, positions)
    inside = there[:, None] & (position < stride)[None, :]
    row = tl.load(unit + pair, mask=there, other=0)[:, None] * stride + position[None, :]
    other_row = (
        tl.load(other_unit + pair, mask=there, other=0)[:, None] * stride + position[None, :]
    )
    x = tl.load(one + row, mask=inside, other=0.0)
    y = tl.load(other + other_row, mask=inside, other=0.0)
    sums += pair
    kept = tl.load(sums, mask=there, other=0.0)
    tl.store(sums, kept + tl.sum(x * y, axis=1).to(tl.float64), mask=there)


_multiply = triton.jit(_products)
