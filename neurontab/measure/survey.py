"""One model over all tokens in one pass: everything that is measured of its neurons alone."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int
from torch import Tensor

from neurontab.loops.extremes import AROUND, KEPT, WINDOW
from neurontab.measure.accumulator import Accumulator
from neurontab.measure.chosen import Chosen
from neurontab.measure.corpus import Corpus
from neurontab.measure.document_groups import DocumentGroups
from neurontab.measure.extremes import Extremes
from neurontab.measure.features import HALVES, Features, FeatureSums, Labelled, Labels
from neurontab.measure.groups import ActiveSums, Grouping, TokenSums
from neurontab.measure.moments import Moments
from neurontab.measure.stream import Batch, Range, Rows, Runs, batches, first_ranges, stream
from neurontab.measure.text_labels import TextLabels

OFFSETS = {"previous": -1, "current": 0, "next": 1}  # where a grouping token stands
GROUP_MEMORY = 3 * 2**30  # bytes for the sums by token of one model
BYTES_A_GROUP = 12  # and neuron


@runtime_checkable
class Member(Runs, Protocol):
    """A model of a family, to be measured."""

    @property
    def widths(self) -> list[int]:
        """Neurons of each layer."""


@dataclass(frozen=True)
class Survey:
    """What is looked for in every model alike."""

    corpus: Corpus
    grouped_tokens: Int[Tensor, " group"]  # ids of the tokens that have a group of their own
    group_of: Int[Tensor, " token"]  # group of every token id; the last is of all the others
    sample: Int[Tensor, " sampled"]  # places whose contexts are shown
    exported: Int[Tensor, " exported"]  # places at which all activations are kept
    features: Features
    text_labels: TextLabels | None
    half_of: Int[Tensor, " document"]  # every second group of documents is held out

    @classmethod
    def of(
        cls,
        corpus: Corpus,
        widths: Sequence[int],
        d_vocab: int,
        features: Features,
        text_labels: TextLabels | None = None,
        *,
        exported: int,
        seed: int,
    ) -> "Survey":
        """Fits the groups of tokens to the memory, the frequent ones first, and draws places.

        `widths` are the neurons of each layer of the largest model: all share the groups.
        """
        counts = torch.from_numpy(corpus.token_counts(d_vocab))
        room = groups_within(int((counts > 0).sum()), sum(widths))
        often = counts.argsort(descending=True, stable=True)[:room]
        grouped = often.sort().values
        group_of = torch.full((d_vocab,), len(grouped))
        group_of[grouped] = torch.arange(len(grouped))
        counted = corpus.counted(corpus.batch(0, len(corpus.tokens))).ravel().nonzero()[:, 0]
        drawn = np.random.default_rng(seed).permutation(counted.numpy())
        return cls(
            corpus,
            grouped,
            group_of,
            torch.from_numpy(np.sort(drawn[:KEPT])),
            torch.from_numpy(np.sort(drawn[:exported])),
            features,
            text_labels,
            DocumentGroups.of(corpus).group_of % HALVES,
        )

    def groupings(self, batch: Batch) -> dict[str, Grouping]:
        """Every batch's groups, found once for all layers."""
        group = torch.where(batch.counted, self.group_of[batch.tokens], -1)
        position = torch.arange(batch.tokens.shape[1]).expand_as(batch.tokens)
        rows = {name: shifted(group, by) for name, by in OFFSETS.items()}
        rows["position"] = position
        rows["source"] = batch.sources.long()[:, None].expand_as(batch.tokens)
        return {
            name: Grouping.of(torch.where(batch.counted, each, -1).ravel())
            for name, each in rows.items()
        }

    @property
    def labels(self) -> dict[str, Labels]:
        """All that may be true of a position, by what it is of: features of tokens, labels."""
        found: dict[str, Labels] = {"token": self.features}
        return found | ({"label": self.text_labels} if self.text_labels else {})

    def kinds(
        self, by: str, tokens: Int[Tensor, "sequence position"], first: int = 0
    ) -> Int[Tensor, "sequence position"]:
        """Of some sequences' positions, of which nothing else matters to what is true of them."""
        if by == "label":
            assert self.text_labels
            return self.text_labels.kind(first, first + len(tokens))
        return tokens

    def labelled(self, batch: Batch) -> dict[tuple[str, str], Labelled]:
        """Every batch's features, by what they are of and offset, found once for all layers."""
        half = self.half_of[batch.documents.long()].ravel()
        found = {}
        for by, labels in self.labels.items():
            kind = torch.where(batch.counted, self.kinds(by, batch.tokens, batch.first), -1)
            for offset, steps in OFFSETS.items():
                there = torch.where(batch.counted, shifted(kind, steps), -1).ravel()
                found[by, offset] = Labelled.of(labels, there, half)
        return found

    def sizes(self) -> dict[str, int]:
        """Groups of each grouping that is not by token."""
        return {"position": self.corpus.tokens.shape[1], "source": len(self.corpus.sources)}

    @property
    def windows(self) -> Int[Tensor, " place"]:
        """All places around the sampled ones that lie in the same sequences, each once."""
        near, inside = window(self.sample.numpy(), self.corpus.tokens.shape[1])
        return torch.from_numpy(np.unique(near[inside]))


def window(
    places: npt.NDArray[np.int64], context: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Places around each, and which of them lie in its sequence [place, window]."""
    near = places[:, None] + np.arange(-AROUND, WINDOW - AROUND)
    return near, near // context == (places // context)[:, None]


def groups_within(types: int, neurons: int) -> int:
    """How many types of token can have sums of their own in the memory for them."""
    return min(types, GROUP_MEMORY // (BYTES_A_GROUP * len(OFFSETS) * neurons))


class LayerStatistics:
    """All that is added up for one layer."""

    def __init__(self, survey: Survey, pre: Range, post: Range) -> None:
        neurons, device = len(pre.mean), pre.mean.device
        self.pre, self.post = Moments(pre), Moments(post)
        tokens = len(survey.grouped_tokens) + 1
        self.tokens = {offset: TokenSums(tokens, neurons, device) for offset in OFFSETS}
        self.features = {  # labels as they are, and by chance
            (by, offset): FeatureSums(2 * len(labels.true), post.mean)
            for by, labels in survey.labels.items()
            for offset in OFFSETS
        }
        self.places = {n: ActiveSums(g, neurons, device) for n, g in survey.sizes().items()}
        self.top, self.bottom = Extremes(neurons, 1), Extremes(neurons, -1)
        self.sample = Chosen(survey.windows, neurons)
        self.exported = {site: Chosen(survey.exported, neurons) for site in ("pre", "post")}

    def add(
        self,
        batch: Batch,
        groupings: dict[str, Grouping],
        labelled: dict[tuple[str, str], Labelled],
        pre: Rows,
        post: Rows,
    ) -> None:
        """Counts some more sequences."""
        self.pre.add(pre, batch.counted_rows)
        self.post.add(post, batch.counted_rows)
        for name, sums in (*self.tokens.items(), *self.places.items()):
            sums.add(post, groupings[name])
        for which, features in self.features.items():
            features.add(post, labelled[which])
        self.top.add(post, batch)
        self.bottom.add(post, batch)
        self.sample.add(post, batch.first_place)
        self.exported["pre"].add(pre, batch.first_place)
        self.exported["post"].add(post, batch.first_place)

    def parts(self) -> dict[str, Accumulator]:
        """Every accumulator by name."""
        return {
            "pre": self.pre,
            "post": self.post,
            **{f"tokens.{offset}": sums for offset, sums in self.tokens.items()},
            **{f"{by}_features.{offset}": sums for (by, offset), sums in self.features.items()},
            **{f"places.{name}": sums for name, sums in self.places.items()},
            "top": self.top,
            "bottom": self.bottom,
            "sample": self.sample,
            **{f"exported.{site}": chosen for site, chosen in self.exported.items()},
        }


def begin(model: Member, survey: Survey, batch_tokens: int) -> list[LayerStatistics]:
    """Nothing counted yet, with shifts and bins that fit the first tokens.

    Raises ModelError where an activation is not a finite number.
    """
    found = first_ranges(model, survey.corpus, batch_tokens)
    layers = range(len(model.widths))
    return [LayerStatistics(survey, found[layer, "pre"], found[layer, "post"]) for layer in layers]


def measure(
    model: Member,
    survey: Survey,
    layers: list[LayerStatistics],
    *,
    batch_tokens: int,
    sequences: range,
    advance: Callable[[float], None],
) -> Iterator[int]:
    """Adds these sequences to the statistics; yields the number of the next after each batch.

    `advance` is told of tokens. Raises ModelError where an activation is not a finite number.
    """
    for batch in batches(survey.corpus, batch_tokens, sequences):
        groupings, labelled = survey.groupings(batch), survey.labelled(batch)

        def add(layer: int, pre: Rows, post: Rows) -> None:
            layers[layer].add(batch, groupings, labelled, pre, post)  # noqa: B023 - used at once

        stream(model, batch, add)
        advance(batch.n_counted)
        yield batch.first + len(batch.tokens)


def shifted(group: Int[Tensor, "sequence position"], by: int) -> Int[Tensor, "sequence position"]:
    """The group of the token that stands so many positions on; -1 beyond the ends."""
    beyond = torch.full_like(group[:, :1], -1)
    if by < 0:
        return torch.cat([beyond, group[:, :by]], dim=1)
    return torch.cat([group[:, by:], beyond], dim=1) if by else group
