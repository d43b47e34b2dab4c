"""Where tensors are: the CPU, or a GPU by its name."""

import torch

from neurontab.errors import ConfigError


def device_of(name: str) -> torch.device:
    """The device by name; `auto` takes CUDA where there is one.

    Raises ConfigError for one that is not there.
    """
    wanted = ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise ConfigError(f"No device {name!r}.\nUse cpu, cuda, cuda:0 or auto.") from None
    if device.type not in ("cpu", "cuda") or (device.type == "cuda" and not _has_cuda(device)):
        raise ConfigError(f"Device {name!r} is not here.\nUse cpu or auto.")
    return device


def _has_cuda(device: torch.device) -> bool:
    return torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()
