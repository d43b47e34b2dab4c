"""What a long computation tells whoever waits: stages with a total, and steps within them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Stage(Protocol):
    """One stage under way."""

    def advance(self, steps: float) -> None:
        """So much more is done."""


class Progress(Protocol):
    """Shows stages; the command line draws bars or prints a line for each."""

    def stage(self, name: str, total: int, unit: str) -> "_Entered":
        """A context in which one stage runs."""


class _Entered(Protocol):
    def __enter__(self) -> Stage: ...
    def __exit__(self, *error: object) -> bool | None: ...


class Silent:
    """Tells nothing: the default in Python."""

    def advance(self, steps: float) -> None:
        """Nothing to tell."""

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator["Silent"]:
        """Runs the stage."""
        del name, total, unit
        yield self
