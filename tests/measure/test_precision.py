"""Products of rounded activations against float64."""

import pytest
import torch

from neurontab.measure.precision import Precision, product, rounding_error


def drawn() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return torch.randn(3_000, 40, generator=random), torch.randn(3_000, 50, generator=random)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_product_is_that_of_what_it_is_given_summed_in_float32(dtype: torch.dtype) -> None:
    x, y = (each.to(dtype) for each in drawn())
    found = product(x, y)
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), x.double().T @ y.double(), atol=2e-3)


@pytest.mark.parametrize(("precision", "most"), [("float32", 1e-6), ("bfloat16", 2**-9)])
def test_the_error_is_that_of_the_worst_correlation(precision: Precision, most: float) -> None:
    x, y = drawn()
    found = rounding_error(x, y, precision)
    assert 0 < found < most
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    rounded = x.to(dtype).double().T @ y.to(dtype).double()
    exact = x.double().T @ y.double()
    scale = x.double().norm(dim=0)[:, None] * y.double().norm(dim=0)
    assert found == pytest.approx(((rounded - exact) / scale).abs().max().item(), abs=1e-6)
