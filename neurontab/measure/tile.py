"""A pair of layers is a tile: all correlations between their neurons."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor

from neurontab.measure.accumulator import State


class Place(NamedTuple):
    """One layer of one model."""

    model: str
    layer: int


Pair = tuple[Place, Place]


@dataclass(frozen=True)
class Tile:
    """Two layers; `may` are the pairs of neurons that may be matched."""

    place: Place
    other: Place
    corr: Float[Tensor, "neuron other"]
    may: Bool[Tensor, "neuron other"]

    def both_ways(self) -> Iterator["Tile"]:
        """The tile seen from either layer; once where both are the same."""
        yield self
        if self.place != self.other:
            yield Tile(self.other, self.place, self.corr.T, self.may.T)


@runtime_checkable
class Tiles(Protocol):
    """Some tiles that can be had now, each made when it is asked for."""

    @property
    def pairs(self) -> Sequence[Pair]:
        """Which there are: each pair of layers once."""

    def tile(self, place: Place, other: Place) -> Tile:
        """One of them."""


@runtime_checkable
class Reader(Protocol):
    """Takes what it needs of tiles that come in groups, every layer with itself first.

    `state` holds all that it has taken: tensors of fixed shapes, by name.
    """

    state: State

    def read(self, tiles: Tiles) -> None:
        """Takes some more tiles."""


def place_pairs(layers: dict[str, int]) -> list[Pair]:
    """Every unordered pair of layers of a family: each with itself first, then pair by pair."""
    places = [Place(model, layer) for model, n in layers.items() for layer in range(n)]
    pairs = combinations_with_replacement(places, 2)
    names = list(layers)

    def order(pair: Pair) -> tuple[bool, int, int]:
        place, other = pair
        return place != other, names.index(place.model), names.index(other.model)

    return sorted(pairs, key=order)
