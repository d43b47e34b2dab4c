"""What a long computation tells whoever waits: stages with a total, and steps within them."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, runtime_checkable


@runtime_checkable
class Stage(Protocol):
    """One stage under way."""

    def advance(self, steps: float) -> None:
        """So much more is done, in the stage's unit."""


@runtime_checkable
class Progress(Protocol):
    """Shows stages; the command line draws bars or prints a line for each."""

    def stage(self, name: str, total: int, unit: str) -> AbstractContextManager[Stage]:
        """A context in which one stage runs, of `total` steps in a unit; 0 where not known."""


class Silent:
    """Tells nothing: the default in Python."""

    def advance(self, steps: float) -> None:
        """Nothing to tell."""

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Stage]:
        """Runs the stage."""
        del name, total, unit
        yield self
