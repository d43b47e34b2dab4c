"""How measurements leave torch: named numpy columns of equal length, missing values masked."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Columns = dict[str, npt.NDArray[np.generic]]


def stacked(parts: Sequence[Columns]) -> Columns:
    """The rows of all parts, in order; parts have the same columns."""
    if not parts:
        return {}
    return {name: _joined([part[name] for part in parts]) for name in parts[0]}


def with_keys(columns: Columns, layer: int) -> Columns:
    """The columns of all neurons of a layer, behind layer and neuron."""
    rows = len(next(iter(columns.values())))
    return {"layer": np.full(rows, layer), "neuron": np.arange(rows), **columns}


def _joined(values: list[npt.NDArray[np.generic]]) -> npt.NDArray[np.generic]:
    masked = any(isinstance(part, np.ma.MaskedArray) for part in values)
    return np.ma.concatenate(values) if masked else np.concatenate(values)
