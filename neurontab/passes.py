"""Passes over the tokens: interrupted at any time, and gone on with."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch

from neurontab.errors import StoppedError
from neurontab.measure.accumulator import Accumulator, State, gathered, restore
from neurontab.measure.checkpoint import Checkpoints
from neurontab.measure.corpus import Corpus
from neurontab.measure.processes import ALONE, Processes
from neurontab.progress import Progress

NEXT = "next"  # in a state: the sequence to go on with


class Steps(Protocol):
    """Adds some sequences, and yields the number of the next after each step."""

    def __call__(self, *, sequences: range, advance: Callable[[float], None]) -> Iterator[int]:
        """`advance` is told of tokens."""


class Kept(Protocol):
    """Whatever is all in tensors of fixed shapes, by name."""

    state: State


class Count:
    """How many tiles have been read."""

    def __init__(self) -> None:
        self.state: State = {"tiles": torch.tensor(0)}

    @property
    def n(self) -> int:
        """So far."""
        return int(self.state["tiles"])

    @n.setter
    def n(self, value: int) -> None:
        self.state["tiles"].fill_(value)


@dataclass(frozen=True)
class Passes:
    """How passes over the tokens are interrupted and gone on with.

    What is done is kept in `done`, by the first process for all; in `own` each process keeps how
    far it is in a pass.
    """

    done: Checkpoints
    own: Checkpoints
    stop: Callable[[], bool]
    refuse_if_gone: Callable[[], None]  # RunError when the folder has been taken away
    processes: Processes = ALONE

    def over(
        self,
        corpus: Corpus,
        name: str,
        parts: Mapping[str, Accumulator],
        steps: Steps,
        *,
        shown: str,
        progress: Progress,
        sequences: range | None = None,
    ) -> None:
        """One pass over the tokens, from where it was left; `name` is that of its state.

        Each process runs its share of all sequences, or of some; all is added up in the first.
        Raises StoppedError when told to stop or another process is gone, RunError when the folder
        is, FileError when a state cannot be kept.
        """
        every = corpus.sequences if sequences is None else sequences
        share = self.processes.share(every)
        self.processes.agree(parts)
        first = self._resume(name, parts, share)
        with progress.stage(shown, corpus.counted_in(every), "tokens") as stage:
            stage.advance(self.processes.world * corpus.counted_in(range(share.start, first)))
            for following in steps(
                sequences=range(first, share.stop),
                advance=lambda tokens: stage.advance(self.processes.world * tokens),
            ):
                self._after(name, parts, following)
            self.processes.gather(parts)

    def listed(
        self,
        corpus: Corpus,
        name: str,
        parts: Mapping[str, Accumulator],
        steps: Steps,
        *,
        shown: str,
        progress: Progress,
    ) -> None:
        """The same, when all processes need what has been added up: it is kept as it is done.

        Raises what `over` does.
        """
        state = self.done.load(name)
        if state is None or int(state[NEXT]) < len(corpus.tokens):
            self.over(corpus, name, parts, steps, shown=shown, progress=progress)
            self.refuse_if_gone()
            if self.processes.first:
                self.done.save(name, _so_far(parts, len(corpus.tokens)))
            self.processes.wait()
            if self.own is not self.done:
                self.forget(name)
            if self.processes.first:
                return
            state = self.done.load(name)
            assert state is not None
        restore(parts, state)

    def forget(self, name: str) -> None:
        """Removes what a process has kept of a pass whose sums are no longer needed."""
        self.own.forget(name)

    def keep(self, name: str, parts: Mapping[str, Kept]) -> None:
        """Keeps what the first process has read, and gives it to the others.

        Raises FileError when it cannot be kept, RunError when the folder is gone.
        """
        self.refuse_if_gone()
        if self.processes.first:
            self.done.save(name, _all_of(parts))
        self.processes.wait()
        if not self.processes.first:
            there = self.take_up(name, parts)
            assert there, name

    def between(self, name: str, parts: Mapping[str, Kept]) -> None:
        """Keeps what the first process has read so far, when it is time to or when told to stop.

        Raises StoppedError in the latter case, and what `keep` does.
        """
        self._keep_if_due(self.done, name, lambda: _all_of(parts))

    def take_up(self, name: str, parts: Mapping[str, Kept]) -> bool:
        """Gives parts what was kept of them; whether there was anything."""
        state = self.done.load(name)
        if state is None:
            return False
        for part, each in parts.items():
            for key, tensor in each.state.items():
                tensor.copy_(state[f"{part}/{key}"])
        return True

    def _resume(self, name: str, parts: Mapping[str, Accumulator], share: range) -> int:
        """Takes a pass up where it was left; the number of the sequence to go on with."""
        state = self.own.load(name)
        if state is None or (self.processes.world > 1 and not _fits(state, parts)):
            return share.start
        restore(parts, state)
        return int(state[NEXT])

    def _after(self, name: str, parts: Mapping[str, Accumulator], following: int) -> None:
        """Keeps the state of a pass when it is time to, or when told to stop.

        Raises StoppedError in the latter case.
        """
        self._keep_if_due(self.own, name, lambda: _so_far(parts, following))

    def _keep_if_due(self, where: Checkpoints, name: str, state: Callable[[], State]) -> None:
        self.refuse_if_gone()
        stop = self.stop()
        if stop or where.due():
            where.save(name, state())
        if stop:
            raise StoppedError("Stopped; what was measured is kept.\nRun it again to go on.")


def _so_far(parts: Mapping[str, Accumulator], following: int) -> State:
    return gathered(parts) | {NEXT: torch.tensor(following)}


def _all_of(parts: Mapping[str, Kept]) -> State:
    return {f"{part}/{key}": t for part, each in parts.items() for key, t in each.state.items()}


def _fits(state: State, parts: Mapping[str, Accumulator]) -> bool:
    """Whether a state may be merged with others of the same pass."""
    return all(
        torch.equal(state[f"{name}.{fixed}"], getattr(part, fixed).cpu())
        for name, part in parts.items()
        for fixed in part.FIXED
    )
