"""Passes over the tokens: interrupted at any time, and gone on with."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch

from neurontab.errors import StoppedError
from neurontab.measure.accumulator import Accumulator, State, gathered, restore
from neurontab.measure.checkpoint import Checkpoints
from neurontab.measure.corpus import Corpus
from neurontab.progress import Progress

NEXT = "next"  # in a state: the sequence to go on with


class Steps(Protocol):
    """Adds a corpus from a sequence on, and yields the next after each step."""

    def __call__(self, *, first: int, advance: Callable[[float], None]) -> Iterator[int]:
        """`advance` is told of tokens."""


class Kept(Protocol):
    """Whatever is all in tensors of fixed shapes, by name."""

    state: State


@dataclass(frozen=True)
class Passes:
    """How passes over the tokens are interrupted and gone on with."""

    checkpoints: Checkpoints
    stop: Callable[[], bool]
    refuse_if_gone: Callable[[], None]  # RunError when the folder has been taken away

    def over(
        self,
        corpus: Corpus,
        name: str,
        parts: Mapping[str, Accumulator],
        steps: Steps,
        *,
        shown: str,
        progress: Progress,
    ) -> None:
        """One pass over the tokens, from where it was left; `name` is that of its state."""
        first = self._resume(name, parts)
        with progress.stage(shown, corpus.n_counted, "tokens") as stage:
            stage.advance(corpus.counted_before(first))
            for following in steps(first=first, advance=stage.advance):
                self._after(name, parts, following)

    def finish(self, name: str, parts: Mapping[str, Accumulator], following: int) -> None:
        """Keeps the state of a pass that is done."""
        self.refuse_if_gone()
        self._save(name, parts, following)

    def keep(self, name: str, parts: Mapping[str, Kept]) -> None:
        """Keeps what has been read."""
        self.refuse_if_gone()
        state = {
            f"{part}/{key}": t for part, each in parts.items() for key, t in each.state.items()
        }
        self.checkpoints.save(name, state)

    def take_up(self, name: str, parts: Mapping[str, Kept]) -> bool:
        """Gives parts what was kept of them; whether there was anything."""
        state = self.checkpoints.load(name)
        if state is None:
            return False
        for part, each in parts.items():
            for key, tensor in each.state.items():
                tensor.copy_(state[f"{part}/{key}"])
        return True

    def _resume(self, name: str, parts: Mapping[str, Accumulator]) -> int:
        """Takes a pass up where it was left; the number of the sequence to go on with."""
        state = self.checkpoints.load(name)
        if state is None:
            return 0
        restore(parts, state)
        return int(state[NEXT])

    def _after(self, name: str, parts: Mapping[str, Accumulator], following: int) -> None:
        """Keeps the state of a pass when it is time to, or when told to stop.

        Raises StoppedError in the latter case.
        """
        self.refuse_if_gone()
        stop = self.stop()
        if stop or self.checkpoints.due():
            self._save(name, parts, following)
        if stop:
            raise StoppedError("Stopped; what was measured is kept.\nRun it again to go on.")

    def _save(self, name: str, parts: Mapping[str, Accumulator], following: int) -> None:
        self.checkpoints.save(name, gathered(parts) | {NEXT: torch.tensor(following)})
