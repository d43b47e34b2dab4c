"""Neurons of the last layer held at their mean: the closed form against models run with hooks."""

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor

from neurontab.measure.ablation import QUANTITIES, Before, Frequency, Held
from neurontab.measure.models import LanguageModel
from neurontab.measure.readout import Prediction
from neurontab.measure.sources import parse_source

CPU = torch.device("cpu")
TOKENS = torch.randint(2, 60, (3, 20), generator=torch.Generator().manual_seed(0))
ROWS = torch.tensor([1, 7, 18, 22, 45])
NEURONS = torch.tensor([0, 3, 11])
COUNTS = torch.randint(0, 50, (64,), generator=torch.Generator().manual_seed(1))
IDS = torch.arange(2, 60)


def loud(kind: str) -> tiny.Model:
    """A model whose neurons change what it predicts by more than rounding does."""
    made = tiny.of_kind(kind)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "lm_head" in name or "embed_out" in name:
                parameter.mul_(20)
            elif ".mlp." in name and "bias" not in name:
                parameter.mul_(12)
    return made


class Known:
    """A model, what the closed form says of it, and what running it says."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.model = LanguageModel(parse_source(str(tiny.save(loud(kind), folder))), CPU)
        post, stream = self.model.end(TOKENS)
        self.last = self.model.facts.n_layers - 1
        self.mean = post.double().mean(dim=0)
        readout = self.model.readout()
        w_out = self.model.weights(self.last).w_out
        self.held = Held.of(NEURONS, self.mean, w_out, readout)
        often = (COUNTS[IDS] + 1).double().log()
        often = often - often.mean()
        self.frequency = Frequency.of(IDS, often / often.norm(), COUNTS, CPU)
        self.following = TOKENS.ravel()[ROWS + 1]
        before = Before(readout, self.frequency, stream[ROWS], self.following)
        found = before.changes(self.held, post[ROWS][:, NEURONS])
        self.found = dict(zip(QUANTITIES, found.double().unbind(dim=2), strict=True))

    def logits(self, neuron: int | None = None, *, scale: Tensor | None = None) -> Tensor:
        """Of the model as it is, or with a neuron at its mean, or with the norm's scale given."""
        hooks: list[tuple[str, Any]] = []
        if neuron is not None:
            hooks.append((f"blocks.{self.last}.mlp.hook_post", self._at_mean(neuron)))
        if scale is not None:
            hooks.append(("ln_final.hook_scale", lambda values, hook: scale))
        with torch.no_grad():
            logits: Tensor = self.model.bridge.run_with_hooks(TOKENS, fwd_hooks=hooks)
        return logits.flatten(0, 1)[ROWS].double()

    def _at_mean(self, neuron: int) -> Any:
        def hold(values: Tensor, hook: object) -> Tensor:
            values = values.clone()
            values[..., neuron] = self.mean[neuron].float()
            return values

        return hold

    def scale(self) -> Tensor:
        """What the final norm divides by."""
        found: list[Tensor] = []
        self.model.bridge.run_with_hooks(
            TOKENS, fwd_hooks=[("ln_final.hook_scale", lambda values, hook: found.append(values))]
        )
        return found[0].clone()

    def loss_and_entropy(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """In nats."""
        logs = logits.log_softmax(dim=1)
        return -logs[torch.arange(len(ROWS)), self.following], -(logs.exp() * logs).sum(dim=1)


@pytest.mark.parametrize("kind", tiny.SHAPES)
def test_the_closed_form_is_what_a_model_does_when_a_neuron_is_held(
    kind: str, tmp_path: Path
) -> None:
    known = Known(kind, tmp_path / "m")
    plain = known.logits()
    loss, entropy = known.loss_and_entropy(plain)
    share = known.frequency.share.double()
    for number, neuron in enumerate(NEURONS.tolist()):
        held = known.logits(neuron)
        new_loss, new_entropy = known.loss_and_entropy(held)
        moved = known.found["loss"][number]
        assert moved.abs().max() > 5e-5
        assert moved.numpy() == pytest.approx((new_loss - loss).numpy(), abs=4e-6)
        assert known.found["entropy"][number].numpy() == pytest.approx(
            (new_entropy - entropy).numpy(), abs=4e-6
        )
        divergence = (plain.log_softmax(dim=1) - held.log_softmax(dim=1)) @ share
        assert known.found["divergence"][number].numpy() == pytest.approx(
            divergence.numpy(), abs=4e-6
        )
        changed = (plain.argmax(dim=1) != held.argmax(dim=1)).double()
        assert torch.equal(known.found["n_changed"][number], changed)
        direction = known.frequency.direction.double()
        restored = held + torch.outer((plain - held) @ direction, direction)
        back_loss, back_entropy = known.loss_and_entropy(restored)
        for name, expected in (
            ("loss_abs", new_loss - loss),
            ("entropy_abs", new_entropy - entropy),
            ("frequency_fixed_loss_abs", back_loss - loss),
            ("frequency_fixed_entropy_abs", back_entropy - entropy),
        ):
            assert known.found[name][number].numpy() == pytest.approx(
                expected.abs().numpy(), abs=4e-6
            )


@pytest.mark.filterwarnings("ignore:A forward hook edited hook_scale")
@pytest.mark.parametrize("kind", tiny.SHAPES)
def test_with_its_norm_fixed_a_model_does_what_the_closed_form_says(
    kind: str, tmp_path: Path
) -> None:
    known = Known(kind, tmp_path / "m")
    loss, entropy = known.loss_and_entropy(known.logits())
    scale = known.scale()
    for number, neuron in enumerate(NEURONS.tolist()):
        new_loss, new_entropy = known.loss_and_entropy(known.logits(neuron, scale=scale))
        for name, change in (("loss", new_loss - loss), ("entropy", new_entropy - entropy)):
            fixed = known.found[f"norm_fixed_{name}_abs"][number]
            assert fixed.numpy() == pytest.approx(change.abs().numpy(), abs=4e-6)
            assert (fixed - known.found[f"{name}_abs"][number]).abs().max() > 2e-5


def test_a_prediction_is_that_of_its_logits() -> None:
    logits = 30 * torch.randn(5, 64, generator=torch.Generator().manual_seed(2))
    following = torch.tensor([0, 5, 9, 33, 63])
    found = Prediction.of(logits, following)
    logs = logits.double().log_softmax(dim=1)
    loss = -logs[torch.arange(5), following]
    assert found.loss.numpy() == pytest.approx(loss.numpy(), rel=1e-5, abs=1e-5)
    entropy = -(logs.exp() * logs).sum(dim=1)
    assert found.entropy.numpy() == pytest.approx(entropy.numpy(), abs=1e-4)
    total = logits.double().logsumexp(dim=1)
    assert found.log_total.numpy() == pytest.approx(total.numpy(), rel=1e-6)
