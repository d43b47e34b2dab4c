"""Several processes at one build: each runs its share of the text, the first adds up and writes.

`torchrun` starts them. They meet over gloo, which sends the sums, and read in the run's folder what
the first has written; so all of them must see that folder.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import numba
import torch
from torch import Tensor, distributed

from neurontab.errors import StoppedError
from neurontab.measure.accumulator import Accumulator

PATIENCE = timedelta(days=7)  # the others wait while the first writes tables
PIECE = 2**23  # numbers that are sent at once: sums may fill the memory that there is
GONE = (
    "Connection closed",
    "Connection reset",
    "Connection refused",
    "Broken pipe",
)  # gloo's words


@dataclass(frozen=True)
class Processes:
    """This process among all that build the same run."""

    rank: int = 0
    world: int = 1
    here: int = 1  # of them on this machine

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def share(self, sequences: range) -> range:
        """The part of some sequences that this process runs."""
        ends = [sequences.start + len(sequences) * n // self.world for n in range(self.world + 1)]
        return range(ends[self.rank], ends[self.rank + 1])

    @torch.inference_mode()  # some sums were made within it, and may be changed only there
    def gather(self, parts: Mapping[str, Accumulator]) -> None:
        """Adds up in the first what all of them have, in order; the others keep their own.

        What is fixed was agreed upon. Raises StoppedError when one of them is gone.
        """
        for part in parts.values():
            for rank in range(1, self.world):
                if self.first:
                    _merge_from(rank, part)
                elif self.rank == rank:
                    _send_all(part)

    def agree(self, parts: Mapping[str, Accumulator]) -> None:
        """Gives all of them what is fixed in the first's, such as shifts: machines may round apart.

        Raises StoppedError when one of them is gone.
        """
        if self.world > 1:
            for part in parts.values():
                for name in part.FIXED:
                    setattr(part, name, _from_first(getattr(part, name)))

    def told(self, number: int) -> int:
        """What the first says. Raises StoppedError when it is gone."""
        if self.world == 1:
            return number
        return int(_from_first(torch.tensor(number)))

    def wait(self) -> None:
        """Waits until all of them are here. Raises StoppedError when one of them is gone."""
        if self.world > 1:
            with _nobody_gone():
                distributed.barrier()

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """The first does what is inside while the others wait for it.

        Raises StoppedError when one of them is gone.
        """
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()


ALONE = Processes()


@contextmanager
def started() -> Iterator[Processes]:
    """All that torchrun started, or this one alone; each takes its part of the cores."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield ALONE
        return
    distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        share_cores(here)
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        yield Processes(distributed.get_rank(), world, here)
    finally:
        distributed.destroy_process_group()


def share_cores(here: int) -> None:
    """Takes the part of this machine's cores that one of so many processes has."""
    cores = max(1, len(os.sched_getaffinity(0)) // here)
    numba.set_num_threads(min(cores, numba.get_num_threads()))
    torch.set_num_threads(cores)  # after numba, which begins with all of OpenMP's threads


def _merge_from(rank: int, part: Accumulator) -> None:
    """Merges what another process has, where ours is, a piece at a time."""
    for name, join in part.JOINED.items():
        for mine in getattr(part, name).view(-1).split(PIECE):
            join(mine, _received(mine, rank), out=mine)
    if part.RANKED:
        state = part.state()
        ranked = {name: _received(state[name], rank) for name in part.RANKED}
        part.merge_ranked(type(part).load(state | ranked))


def _send_all(part: Accumulator) -> None:
    for name in part.JOINED:
        for piece in getattr(part, name).view(-1).split(PIECE):
            _send(piece)
    for name in part.RANKED:
        _send(getattr(part, name))


def _send(tensor: Tensor) -> None:
    if tensor.numel():
        with _nobody_gone():
            distributed.send(_as_sent(tensor), 0)


def _received(like: Tensor, rank: int) -> Tensor:
    """A tensor of the same shape from another process, where ours is."""
    there = torch.empty(like.nbytes, dtype=torch.uint8)
    if like.numel():
        with _nobody_gone():
            distributed.recv(there, rank)
    return there.view(like.dtype).reshape(like.shape).to(like.device)


def _from_first(tensor: Tensor) -> Tensor:
    there = _as_sent(tensor).clone()
    if tensor.numel():
        with _nobody_gone():
            distributed.broadcast(there, 0)
    return there.view(tensor.dtype).reshape(tensor.shape).to(tensor.device)


def _as_sent(tensor: Tensor) -> Tensor:
    """Its bytes: gloo knows some types only."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)


@contextmanager
def _nobody_gone() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not any(word in str(error) for word in GONE):
            raise
        raise StoppedError(
            "Another process of this build has ended; what was measured is kept.\n"
            "Run it again to go on."
        ) from error
