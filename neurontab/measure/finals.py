"""Exact correlations of chosen pairs of neurons, from one more pass over the tokens.

Sums of listed pairs are kept by group of documents, so that their correlations are known without
each group too.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from shutil import which
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from numba import get_num_threads
from torch import Tensor

from neurontab.loops.listed import add_listed
from neurontab.measure.accumulator import Accumulator, Join
from neurontab.measure.corpus import Corpus
from neurontab.measure.document_groups import DocumentGroups
from neurontab.measure.family import Family
from neurontab.measure.pairs import PairSums, inverse_root
from neurontab.measure.stream import Batch, Rows, stream
from neurontab.measure.sums import SUM_BYTES, blocks
from neurontab.measure.survey import Member
from neurontab.measure.tile import Place
from neurontab.measure.turned import LENGTH, Layout, Turned

Units = Int[Tensor, " pair"]
AT_ONCE = 65_536  # pairs that are multiplied together on a GPU: 200 MiB
# torch brings triton where it can use an NVIDIA GPU; triton needs a compiler of C.
COMPILED = find_spec("triton") is not None and any(map(which, ("cc", "gcc", "clang")))
BLOCK = 8_192  # units of which a piece stays in a processor's cache
TOGETHER = 4  # pieces of whole rows that are multiplied together


class GroupMoments(Accumulator):
    """By group of documents: positions, and of each unit the sums of x and x², shifted.

    Sums are [group, unit].
    """

    JOINED: ClassVar[dict[str, Join]] = {"n": torch.add, "sums": torch.add, "squares": torch.add}

    def __init__(self, units: int, groups: int, device: torch.device) -> None:
        self.n = torch.zeros(groups, dtype=torch.int64)
        self.sums = torch.zeros(groups, units, dtype=torch.float64, device=device)
        self.squares = torch.zeros_like(self.sums)

    def add(self, x: Turned) -> None:
        """Counts some more tokens."""
        self.n.index_add_(0, x.layout.groups, x.layout.lengths)
        for group, part in zip(x.layout.groups.tolist(), x.parts(), strict=True):
            self.sums[group] += part.sum(dim=1)
            self.squares[group] += torch.linalg.vector_norm(part, dim=1).double().square()


class ListedSums(Accumulator):
    """Sums of x y by group of documents [group, pair], for listed pairs of units of two models.

    `unit` and `other_unit` count through all layers of their model; pairs are in order of both.
    `first` tells where the list of a unit begins, and where in it other units begin to be beyond
    each so many.
    """

    FIXED: ClassVar[tuple[str, ...]] = ("first", "other_unit")
    JOINED: ClassVar[dict[str, Join]] = {"n": torch.add, "products": torch.add}

    def __init__(
        self,
        unit: Units,
        other_unit: Units,
        widths: tuple[int, int],
        groups: int,
        device: torch.device,
    ) -> None:
        """Nothing summed yet, of two models with so many units."""
        n_units, others = widths
        edges = torch.arange(-(-others // BLOCK) + 1) * BLOCK
        edges[-1] = others
        begins = torch.arange(n_units)[:, None] * others + edges
        self.first = torch.searchsorted(unit * others + other_unit, begins)
        self.other_unit = other_unit
        self.n = torch.zeros((), dtype=torch.int64)
        self.products = torch.zeros(groups, len(unit), dtype=torch.float64, device=device)

    @property
    def unit(self) -> Units:
        """The first unit of each pair."""
        return torch.repeat_interleave(self.first[:, -1] - self.first[:, 0])

    def add(self, x: Turned, y: Turned) -> None:
        """Counts some more tokens, the same on both sides."""
        device = x.values.device
        if device.type == "cpu":
            add_listed(
                x.values.numpy(),
                y.values.numpy(),
                x.layout.strides.numpy(),
                x.layout.groups.numpy(),
                self.first.numpy(),
                self.other_unit.numpy(),
                self._cuts.numpy(),
                self.products.numpy(),
            )
        elif device.type == "cuda" and COMPILED:
            self.add_compiled(x, y)
        else:
            self.add_tensors(x, y)
        self.n += x.layout.n

    def add_compiled(self, x: Turned, y: Turned) -> None:
        """The products of some more tokens on an NVIDIA GPU."""
        from neurontab.loops import listed_on_gpu

        unit, other_unit = self._there
        pieces = zip(x.layout.groups.tolist(), x.whole_parts(), y.whole_parts(), strict=True)
        for group, one, other in pieces:
            listed_on_gpu.add_listed(one, other, unit, other_unit, self.products[group])

    def add_tensors(self, x: Turned, y: Turned) -> None:
        """The products of some more tokens on any device."""
        units = [each.split(AT_ONCE) for each in self._there]
        places = torch.arange(len(self.other_unit), device=x.values.device).split(AT_ONCE)
        for group, one, other in zip(x.layout.groups.tolist(), x.parts(), y.parts(), strict=True):
            for at, i, j in zip(places, *units, strict=True):
                self.products[group, at] += (one[i] * other[j]).sum(dim=1)

    @cached_property
    def _cuts(self) -> Int[Tensor, "block _"]:
        """Between which units each thread's are: of every block about as many pairs each."""
        threads = get_num_threads()
        listed = self.first.diff(dim=1).cumsum(dim=0).T.contiguous()
        even = listed[:, -1:] * torch.arange(threads + 1) // threads
        cuts = torch.searchsorted(listed, even)
        cuts[:, -1] = len(self.first)
        return cuts

    @cached_property
    def _there(self) -> tuple[Units, Units]:
        """Both units of each pair, where the sums are."""
        device = self.products.device
        return self.unit.to(device), self.other_unit.to(device)


@dataclass(frozen=True)
class Finals:
    """What one pass measures: listed pairs of two models, and rows with all units of another.

    Rows of all models with the same other are summed together, in the order of `rows`.
    """

    moments: Mapping[str, GroupMoments]
    listed: Mapping[tuple[str, str], ListedSums]
    rows: Mapping[tuple[str, str], Int[Tensor, " row"]]
    dense: dict[str, PairSums]  # by the other model

    @classmethod
    def of(
        cls,
        family: Family,
        pairs: Mapping[tuple[str, str], tuple[Units, Units]],
        rows: Mapping[tuple[str, str], Int[Tensor, " row"]],
        groups: int,
    ) -> "Finals":
        """Nothing summed yet."""
        width = {model: len(family.eligible(model)) for model in family.layers}
        device = family.device
        names = {name for key in pairs for name in key}
        n_rows = Counter[str]()
        for (_, other), units in rows.items():
            n_rows[other] += len(units)
        return cls(
            {name: GroupMoments(width[name], groups, device) for name in sorted(names)},
            {
                key: ListedSums(*units, (width[key[0]], width[key[1]]), groups, device)
                for key, units in pairs.items()
            },
            rows,
            {other: PairSums(n, width[other], device) for other, n in n_rows.items()},
        )

    @property
    def parts(self) -> dict[str, Accumulator]:
        """All sums by name."""
        listed = {f"{model}/{other}/listed": each for (model, other), each in self.listed.items()}
        dense = {f"{other}/dense": each for other, each in self.dense.items()}
        moments = {f"{model}/moments": each for model, each in self.moments.items()}
        return {**moments, **listed, **dense}

    def digest(self) -> str:
        """Identifies what is measured."""
        found = hashlib.sha256()
        for key, listed in self.listed.items():
            found.update(repr(key).encode() + listed.unit.numpy().tobytes())
            found.update(listed.other_unit.numpy().tobytes())
        for key, rows in self.rows.items():
            found.update(repr(key).encode() + rows.numpy().tobytes())
        return found.hexdigest()[:12]

    def rows_with(self, other: str) -> dict[str, Int[Tensor, " row"]]:
        """By model, the rows that are measured with all units of another."""
        return {model: rows for (model, name), rows in self.rows.items() if name == other}

    def forget_rows(self) -> None:
        """Whole rows have been read; their sums are no longer needed."""
        self.dense.clear()

    def add_dense(self, turned: Mapping[str, Turned]) -> None:
        """Counts some more tokens of all models."""
        for other, dense in self.dense.items():
            device = dense.products.device
            rows = {model: units.to(device) for model, units in self.rows_with(other).items()}
            mine = (turned[model].joined(units, TOGETHER) for model, units in rows.items())
            every = turned[other].joined(slice(None), TOGETHER)
            for theirs, *x in zip(every, *mine, strict=True):
                dense.add(torch.cat(x).T, theirs.T)

    def __bool__(self) -> bool:
        return bool(self.listed or self.dense)


def sum_finals(
    models: Sequence[Member],
    corpus: Corpus,
    family: Family,
    finals: Finals,
    documents: DocumentGroups,
    *,
    batch_tokens: int,
    block_tokens: int,
    sequences: range,
    advance: Callable[[float], None],
) -> Iterator[int]:
    """Adds these sequences; yields the number of the next after each block.

    Only models that something is measured of are run; `advance` is told of tokens.
    """
    wanted = {name for key in (*finals.listed, *finals.rows) for name in key}
    room = max(batch_tokens, block_tokens, corpus.tokens.shape[1])  # a sequence at least
    turned = {
        name: Turned(len(family.eligible(name)), room, len(documents), family.device)
        for name in sorted(wanted)
    }
    for block in blocks(corpus, batch_tokens, block_tokens, sequences):
        groups = [
            documents.group_of[batch.documents.ravel()[batch.counted_rows].long()]
            for batch in block
        ]
        layout = Layout.of(groups)
        for each in turned.values():
            each.begin(layout)
        for model in models:
            if model.name in wanted:
                _turn(model, block, family, turned[model.name])
        for name, moments in finals.moments.items():
            moments.add(turned[name])
        for (one, other), listed in finals.listed.items():
            listed.add(turned[one], turned[other])
        finals.add_dense(turned)
        advance(sum(batch.n_counted for batch in block))
        yield block[-1].first + len(block[-1].tokens)


def _turn(model: Member, block: Sequence[Batch], family: Family, turned: Turned) -> None:
    """Runs a model over a block."""
    firsts = [family.first(place) for place in family.places(model.name)]
    for number, batch in enumerate(block):

        def add(layer: int, pre: Rows, post: Rows) -> None:
            rows, first = batch.counted_rows, firsts[layer]  # noqa: B023 - used at once
            shift = family.facts(Place(model.name, layer)).shift
            turned.add(post, rows, shift, first_unit=first, batch=number)  # noqa: B023

        stream(model, batch, add)


def row_bytes(others: int) -> int:
    """Of a whole row with so many others: its sums, and three copies of what is multiplied."""
    return SUM_BYTES * others + 3 * 4 * TOGETHER * LENGTH


def listed_corr(family: Family, key: tuple[str, str], sums: ListedSums) -> Float[Tensor, " pair"]:
    """Pearson correlation of listed pairs, in float64."""
    model, other = key
    (mean, scale), (other_mean, other_scale) = (_scales(family, name) for name in (model, other))
    unit, other_unit = sums.unit, sums.other_unit
    products = sums.products.sum(dim=0).cpu()
    covariance = products / sums.n - mean[unit] * other_mean[other_unit]
    return covariance * scale[unit] * other_scale[other_unit]


def dense_corr(
    family: Family, finals: Finals, model: str, other: str, rows: Int[Tensor, " row"]
) -> Float[Tensor, "row other"]:
    """Pearson correlation of some of a model's whole rows with all units of another, in float64."""
    sums = finals.dense[other]
    lengths = {name: len(each) for name, each in finals.rows_with(other).items()}
    products = sums.products.split(list(lengths.values()))[list(lengths).index(model)]
    place = torch.searchsorted(finals.rows[model, other], rows)
    mine: Tensor = products[place.to(products.device)].cpu()
    (mean, scale), (other_mean, other_scale) = (_scales(family, name) for name in (model, other))
    covariance: Tensor = mine / sums.n - torch.outer(mean[rows], other_mean)
    return covariance * scale[rows][:, None] * other_scale


def _scales(family: Family, model: str) -> tuple[Float[Tensor, " unit"], Float[Tensor, " unit"]]:
    """Shifted mean, and 1 / standard deviation, of all units of a model."""
    facts = family.layers[model]
    mean = torch.cat([layer.shifted_mean.double() for layer in facts]).cpu()
    scale = torch.cat([inverse_root(layer.variance) for layer in facts]).cpu()
    return mean, scale
