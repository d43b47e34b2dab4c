"""Measured columns as frames: named numpy arrays become a table of declared types."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from neurontab.tables.table import Table


def frame(
    table: Table, columns: Mapping[str, npt.NDArray[np.generic]], **keys: object
) -> pl.DataFrame:
    """The columns, and keys that hold one value each, in declared types.

    Masked entries are null, and so is a nullable column that was not measured. Rows of a matrix are
    lists, without their masked entries.
    """
    found = pl.DataFrame([_series(name, values) for name, values in columns.items()])
    missing = {column.name: None for column in table.columns if column.nullable}
    alike = {n: pl.lit(each) for n, each in (missing | keys).items() if n not in columns}
    return found.select(
        alike.get(column.name, pl.col(column.name)).cast(column.dtype).alias(column.name)
        for column in table.columns
    )


def _series(name: str, values: npt.NDArray[np.generic]) -> pl.Series:
    data = np.ma.getdata(values)
    if data.ndim == 2:
        return _lists(name, data, np.ma.getmaskarray(values))
    if np.ma.is_masked(values):
        return pl.Series(name, pa.array(data, mask=np.ma.getmaskarray(values)))
    return pl.Series(name, data.tolist() if data.dtype == object else data)


def _lists(name: str, data: npt.NDArray[np.generic], masked: npt.NDArray[np.bool_]) -> pl.Series:
    ends = np.concatenate([[0], (~masked).sum(axis=1).cumsum()])
    return pl.Series(name, pa.LargeListArray.from_arrays(ends, pa.array(data[~masked])))
