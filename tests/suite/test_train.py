"""Training of a small recipe: what is interrupted ends with the same bits."""

import io
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from neurontab.suite.recipe import RECIPE
from neurontab.suite.train import Training, loss_of, new_model, share_of_rate

SMALL = replace(
    RECIPE, n_layers=1, d_model=16, d_mlp=32, n_heads=2, n_ctx=8, d_vocab=32, steps=40, warm_up=4
)


def trained(rows: Tensor, stop_after: int | None = None) -> Training:
    """A training from the start, perhaps through a state on disk."""
    torch.manual_seed(0)
    training = Training(new_model(0, SMALL), 0, SMALL)
    for step in training.steps(rows):
        if step == stop_after:
            kept = io.BytesIO()
            torch.save(training.state(), kept)
            kept.seek(0)
            training = Training(new_model(0, SMALL), 0, SMALL)
            training.load(torch.load(kept, weights_only=True))
            for _ in training.steps(rows):
                pass
            break
    return training


def rows_that_repeat() -> Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, 32, (4, 8), generator=random)


def test_training_that_is_interrupted_ends_with_the_same_bits() -> None:
    rows = rows_that_repeat()
    whole, resumed = trained(rows), trained(rows, stop_after=13)
    assert resumed.step == SMALL.steps
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


def test_training_lowers_the_loss_and_begins_with_neurons_at_rest() -> None:
    torch.manual_seed(0)
    untrained = new_model(0, SMALL)
    rows = rows_that_repeat()
    assert (untrained.transformer.h[0].mlp.c_fc.bias == SMALL.input_bias).all()
    assert loss_of(trained(rows).model, rows) < loss_of(untrained, rows) - 0.5


def test_rates_rise_then_fall_as_a_cosine() -> None:
    shares = [share_of_rate(step, SMALL) for step in range(1, SMALL.steps + 1)]
    assert shares[:4] == [0.25, 0.5, 0.75, 1.0]
    assert abs(shares[-1] - SMALL.final_share) < 1e-9
    assert all(later < earlier for earlier, later in pairwise(shares[3:]))
