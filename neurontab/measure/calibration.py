"""How fast this machine is, from a fraction of a second of what a build does."""

import time
from collections.abc import Callable

import torch
from jaxtyping import Int
from torch import Tensor

from neurontab.measure.memory import weights_of
from neurontab.measure.models import LanguageModel
from neurontab.measure.precision import DTYPES, quick_product, quickest
from neurontab.measure.stages import COSTS, Speed

LONG_ENOUGH = 0.1  # seconds
WIDTHS = {"cpu": 1_024, "cuda": 2_048}  # on a GPU, so that starting a product counts for little


def calibrated(model: LanguageModel, tokens: Int[Tensor, "sequence position"]) -> Speed:
    """The speed of a matrix product, and of this model over these tokens."""
    width = WIDTHS[model.device.type]
    x = torch.randn(width, width, device=model.device)
    numbers = quickest(model.device)
    rounded = x.to(DTYPES[numbers])
    product = 2 * width**3
    return Speed(
        product=product * _rate(lambda: (x @ x).sum().item()),
        quickest=numbers,
        quick_product=product * _rate(lambda: quick_product(rounded, rounded).sum().item()),
        run=2
        * weights_of(model.facts)
        * tokens.numel()
        * _rate(lambda: model.run(tokens, lambda layer, pre, post: None)),
        costs=COSTS[model.device.type],
    )


def _rate(work: Callable[[], object]) -> float:
    """How often a second, after once to begin with."""
    work()
    started, n = time.perf_counter(), 0
    while time.perf_counter() - started < LONG_ENOUGH:
        work()
        n += 1
    return n / (time.perf_counter() - started)
