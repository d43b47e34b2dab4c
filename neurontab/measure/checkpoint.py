"""State of a pass on disk: whole or not there, and not believed when it has been damaged."""

import time
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from neurontab.errors import FileError
from neurontab.files import sha256_of, write_whole
from neurontab.measure.accumulator import State


class Checkpoints:
    """States by name in a folder; a file's name ends with the digest of what it holds."""

    def __init__(self, folder: Path, seconds: float) -> None:
        """`seconds` lie at least between two states that `due` asks for."""
        self._folder, self._seconds = folder, seconds
        self._saved = time.monotonic()

    def due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() - self._saved >= self._seconds

    def save(self, name: str, state: State) -> None:
        """Replaces the state of a name. Raises FileError when it cannot be written."""
        older = self._files(name)
        beside = self._folder / f"{name}.new"
        whole = {key: tensor.cpu().contiguous() for key, tensor in state.items()}
        write_whole(beside, lambda path: save_file(whole, path))
        place = self._folder / f"{name}.{sha256_of(beside)}.state"
        try:
            beside.replace(place)
            for path in older:
                if path != place:
                    path.unlink()
        except OSError as error:
            raise FileError(f"{place} cannot be written: {error.strerror}.") from error
        self._saved = time.monotonic()

    def names(self) -> set[str]:
        """What there are states of."""
        found = self._folder.glob("*.state")
        return {path.name.removesuffix(".state").rpartition(".")[0] for path in found}

    def load(self, name: str) -> State | None:
        """The state of a name; None when there is none that is whole."""
        for path in self._files(name):
            try:
                if path.name == f"{name}.{sha256_of(path)}.state":
                    return load_file(path)
            except (OSError, SafetensorError):
                continue
        return None

    def forget(self, name: str) -> None:
        """Removes the state of a name."""
        for path in self._files(name):
            path.unlink()

    def _files(self, name: str) -> list[Path]:
        return [
            path
            for path in sorted(self._folder.glob("*.state"))
            if path.name.removesuffix(".state").rpartition(".")[0] == name
        ]
