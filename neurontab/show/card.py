"""What is known of one neuron, as its card holds it."""

from dataclasses import dataclass
from functools import cached_property

import polars as pl


@dataclass(frozen=True)
class Neuron:
    """Which neuron."""

    model: str
    layer: int
    neuron: int

    def __str__(self) -> str:
        return f"{self.model} L{self.layer}.N{self.neuron}"


@dataclass(frozen=True)
class Token:
    """A token in a context, and post at it."""

    text: str
    activation: float


@dataclass(frozen=True)
class Context:
    """A stretch of text; the token at `place` is the one that it is shown for."""

    side: str
    rank: int
    value: float
    source: str
    tokens: list[Token]
    place: int


@dataclass(frozen=True)
class Card:
    """What is known of one neuron; frames have the columns of the tables that they are from."""

    neuron: Neuron
    facts: dict[str, object]  # the row of `neurons`
    properties: pl.DataFrame  # name, value, percentile in the layer, unit
    families: pl.DataFrame
    features: pl.DataFrame
    effects: dict[str, object]  # when it is ablated
    matches: pl.DataFrame
    twins: pl.DataFrame
    tokens: dict[str, list[str]]  # promoted, suppressed
    neighbours: pl.DataFrame
    heads: pl.DataFrame
    contexts: list[Context]

    @cached_property
    def strongest(self) -> float:
        """The highest absolute activation in any context; 0 without any."""
        return max((abs(t.activation) for each in self.contexts for t in each.tokens), default=0.0)
