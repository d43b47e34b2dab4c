"""How fast this machine is, from a fraction of a second of what a build does."""

import math
import time
from collections.abc import Callable
from functools import cache

import torch
from jaxtyping import Int
from torch import Tensor

from neurontab.measure.memory import weights_of
from neurontab.measure.models import LanguageModel
from neurontab.measure.precision import DTYPES, Precision, quick_product, quickest
from neurontab.measure.stages import COSTS, Speed

LONG_ENOUGH = 0.1  # seconds of one measurement
OFTEN_ENOUGH = 10  # times, of what takes less
WIDTHS = {"cpu": 1_024, "cuda": 2_048}  # on a GPU, so that starting a product counts for little


def calibrated(model: LanguageModel, tokens: Int[Tensor, "sequence position"]) -> Speed:
    """The speed of a matrix product, and of this model over these tokens."""
    numbers = quickest(model.device)
    product = _product_speed(model.device, "float32")
    return Speed(
        product=product,
        quickest=numbers,
        quick_product=product if numbers == "float32" else _product_speed(model.device, numbers),
        run=2 * weights_of(model.facts) * tokens.numel() * _rate(lambda: _run(model, tokens)),
        costs=COSTS[model.device.type],
    )


def _run(model: LanguageModel, tokens: Int[Tensor, "sequence position"]) -> None:
    """One run, to its end."""
    model.run(tokens, lambda layer, pre, post: None)
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)


@cache
def _product_speed(device: torch.device, numbers: Precision) -> float:
    """FLOP a second of a matrix product."""
    width = WIDTHS[device.type]
    x = torch.randn(width, width, device=device).to(DTYPES[numbers])
    return 2 * width**3 * _rate(lambda: quick_product(x, x).sum().item())


def _rate(work: Callable[[], object]) -> float:
    """How often a second at best, after once to begin with: what else runs only slows it down."""
    work()
    least, until = math.inf, time.perf_counter() + LONG_ENOUGH
    for _ in range(OFTEN_ENOUGH):
        begun = time.perf_counter()
        work()
        ended = time.perf_counter()
        least = min(least, ended - begun)
        if ended > until:
            break
    return 1 / least
