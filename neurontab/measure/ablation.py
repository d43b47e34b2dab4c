"""What neurons of the last layer do to the prediction: each held at its mean, in closed form.

Between the last layer and the logits stand only a norm and a linear map. With c(.) what the norm
subtracts of, s its scale, and d the change of a neuron's activation to its mean, the logits become
(c(r) + d c(w)) W / s', where s'^2 = s^2 + 2 d <c(r), c(w)> / d_model + d^2 |c(w)|^2 / d_model; with
s in the place of s' the norm stays as it was. Nothing is run again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from neurontab.measure.accumulator import Accumulator, Join
from neurontab.measure.corpus import Corpus
from neurontab.measure.document_groups import DocumentGroups
from neurontab.measure.models import LanguageModel
from neurontab.measure.readout import Prediction, Readout
from neurontab.measure.stream import batches

AT_ONCE = 2**20  # logits that are in memory together
SPREAD = 4  # positions that are run for one at which neurons are ablated
QUANTITIES = (
    "loss",
    "loss_abs",
    "entropy",
    "entropy_abs",
    "divergence",
    "divergence_abs",
    "norm_fixed_loss_abs",
    "norm_fixed_entropy_abs",
    "frequency_fixed_loss_abs",
    "frequency_fixed_entropy_abs",
    "n_changed",
)


@dataclass(frozen=True)
class Held:
    """The neurons that are ablated, one after the other."""

    neurons: Int[Tensor, " held"]
    mean: Float[Tensor, " held"]  # of post, which they are held at
    w_out: Float[Tensor, "held d_model"]  # less what the norm subtracts
    written: Float[Tensor, "held vocabulary"]  # what it adds to logits, but for the norm's scale

    @classmethod
    def of(
        cls,
        neurons: Int[Tensor, " held"],
        mean: Float[Tensor, " neuron"],
        w_out: Float[Tensor, "neuron d_model"],
        readout: Readout,
    ) -> "Held":
        """Of some neurons of a layer, in float32."""
        here = neurons.to(w_out.device)
        read = w_out[here].float()
        return cls(here, mean.to(w_out.device)[here].float(), read, read @ readout.unembed.T)


@dataclass(frozen=True)
class Frequency:
    """The tokens' frequency: a distribution, and the direction of its log in the logits.

    As in Stolfo et al. 2024, 4.
    """

    share: Float[Tensor, " vocabulary"]
    direction: Float[Tensor, " vocabulary"]  # centred, of length 1; 0 where tokens do not count

    @classmethod
    def of(
        cls,
        ids: Int[Tensor, " token"],
        direction: Float[Tensor, " token"],
        counts: Int[Tensor, " vocabulary"],
        device: torch.device,
    ) -> "Frequency":
        """From the tokens that count; every token is counted once more than it is found."""
        wide = torch.zeros(len(counts), device=device)
        wide[ids.to(device)] = direction.float().to(device)
        share = torch.zeros_like(wide)
        share[ids.to(device)] = ((counts[ids] + 1) / (counts[ids] + 1).sum()).float().to(device)
        return cls(share, wide)


class AblationSums(Accumulator):
    """By group of documents: positions, and sums of what changes as each neuron is ablated.

    `sums` are [neuron, group, quantity], in nats, the last quantity in positions.
    """

    JOINED: ClassVar[dict[str, Join]] = {"n": torch.add, "sums": torch.add}

    def __init__(self, neurons: int, groups: int) -> None:
        self.n = torch.zeros(groups, dtype=torch.int64)
        self.sums = torch.zeros(neurons, groups, len(QUANTITIES), dtype=torch.float64)

    def add(
        self,
        changes: Float[Tensor, "neuron token quantity"],
        group: Int[Tensor, " token"],
    ) -> None:
        """Counts some more positions."""
        self.n += torch.bincount(group, minlength=len(self.n))
        self.sums.index_add_(1, group, changes.double())


@dataclass(frozen=True)
class Ablation:
    """At which positions which neurons of a model are ablated."""

    model: LanguageModel
    readout: Readout
    corpus: Corpus
    held: Held
    frequency: Frequency
    sequences: range  # as few as have four times as many positions as are drawn
    chosen: Bool[Tensor, " place"]
    groups: DocumentGroups

    @classmethod
    def of(
        cls,
        model: LanguageModel,
        readout: Readout,
        corpus: Corpus,
        held: Held,
        frequency: Frequency,
        *,
        positions: int,
        seed: int,
    ) -> "Ablation":
        """At so many random positions that count and are followed by one that does."""
        context = corpus.tokens.shape[1]
        sequences = range(min(len(corpus.tokens), -(-SPREAD * positions // context)))
        chosen = _chosen(corpus, sequences, positions, seed)
        groups = DocumentGroups.of(corpus)
        return cls(model, readout, corpus, held, frequency, sequences, chosen, groups)

    def sums(self) -> AblationSums:
        """Nothing counted yet."""
        return AblationSums(len(self.held.neurons), len(self.groups))

    def add(
        self,
        sums: AblationSums,
        *,
        batch_tokens: int,
        sequences: range,
        advance: Callable[[float], None],
    ) -> Iterator[int]:
        """Adds these sequences; yields the number of the next after each batch.

        `advance` is told of tokens.
        """
        at_once = max(1, AT_ONCE // len(self.readout.unembed))
        for batch in batches(self.corpus, batch_tokens, sequences):
            rows = self.chosen[batch.first_place :][: batch.tokens.numel()].nonzero()[:, 0]
            post, stream = self.model.end(batch.tokens)
            following = batch.tokens.ravel()[rows + 1]
            group = self.groups.group_of[batch.documents.ravel().long()[rows]]
            for some in torch.arange(len(rows)).split(at_once):
                here, next_token = rows[some].to(post.device), following[some].to(post.device)
                before = Before(self.readout, self.frequency, stream[here], next_token)
                changes = before.changes(self.held, post[here][:, self.held.neurons])
                sums.add(changes.cpu(), group[some])
            advance(batch.n_counted)
            yield batch.first + len(batch.tokens)


class Before:
    """What a model predicts at some positions, and what becomes of that."""

    def __init__(
        self,
        readout: Readout,
        frequency: Frequency,
        stream: Float[Tensor, "token d_model"],
        following: Int[Tensor, " token"],
    ) -> None:
        self.readout, self.frequency, self.following = readout, frequency, following
        self.centred = readout.norm.written_by(stream)
        self.scale = readout.scale(self.centred)
        self.read = self.centred @ readout.unembed.T  # logits, but for scale and offset
        logits = self.read / self.scale[:, None] + readout.offset
        self.prediction = Prediction.of(logits, following)
        self.first = logits.argmax(dim=1)
        self.along = logits @ frequency.direction
        self.divergence = self.prediction.log_total - logits @ frequency.share

    def changes(
        self, held: Held, post: Float[Tensor, "token held"]
    ) -> Float[Tensor, "held token quantity"]:
        """What changes as each neuron is held at its mean (Stolfo et al. 2024, 3.2 and 4).

        Quantities are in the order of `QUANTITIES`, in nats but for the last: 1 where it changed.
        """
        found = [
            self._change(held.written[n], held.w_out[n], held.mean[n] - post[:, n])
            for n in range(len(held.neurons))
        ]
        return torch.stack(found)

    def _change(
        self,
        written: Float[Tensor, " vocabulary"],
        w_out: Float[Tensor, " d_model"],
        by: Float[Tensor, " token"],
    ) -> Float[Tensor, "token quantity"]:
        """By so much activation."""
        was, offset = self.prediction, self.readout.offset
        moved = torch.addcmul(self.read, by[:, None], written)
        scale = self.readout.scale(torch.addcmul(self.centred, by[:, None], w_out))
        logits = torch.addcdiv(offset, moved, scale[:, None])
        now = Prediction.of(logits, self.following)
        divergence = now.log_total - logits @ self.frequency.share
        back = self.along - logits @ self.frequency.direction
        restored = torch.addcmul(logits, back[:, None], self.frequency.direction)
        fixed = Prediction.of(moved / self.scale[:, None] + offset, self.following)
        frequent = Prediction.of(restored, self.following)
        loss, entropy = now.loss - was.loss, now.entropy - was.entropy
        diverged = divergence - self.divergence
        return torch.stack(
            [
                *(loss, loss.abs()),
                *(entropy, entropy.abs()),
                *(diverged, diverged.abs()),
                *((fixed.loss - was.loss).abs(), (fixed.entropy - was.entropy).abs()),
                *((frequent.loss - was.loss).abs(), (frequent.entropy - was.entropy).abs()),
                (logits.argmax(dim=1) != self.first).float(),
            ],
            dim=1,
        )


def _chosen(corpus: Corpus, sequences: range, positions: int, seed: int) -> Bool[Tensor, " place"]:
    """Random places that count and are followed by one that counts, in the same sequence."""
    counted = corpus.counted(corpus.batch(sequences.start, sequences.stop))
    there = counted & torch.nn.functional.pad(counted[:, 1:], (0, 1))
    places = there.ravel().nonzero()[:, 0]
    random = torch.Generator().manual_seed(seed)
    drawn = places[torch.randperm(len(places), generator=random)[:positions]]
    chosen = torch.zeros(counted.numel(), dtype=torch.bool)
    chosen[drawn] = True
    return chosen
