"""Rows of one array of a .npz file."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosper_ng.components import component
from prosper_ng.storage.sources._arrays import ArraySource, Table, table_shape
from prosper_ng.storage.sources._files import existing_file
from prosper_ng.storage.sources._npz_array import NpzArray, npz_array


@component
class Npz(ArraySource):
    """A two-dimensional array of numbers saved by `numpy.savez`, one row per data point.

    The archive is unpacked as a stream: memory holds the rows asked for and no more, unless the array lies in it
    column by column (Fortran order). A vector is refused, because it could be one data point as well as many of one
    value. So are pickled objects.
    """

    array: str
    """The name of the array in the file."""

    def table(self) -> Table:
        """The array; raises DataError where it cannot be read or is no table of numbers."""
        packed = npz_array(existing_file(self.path), self.array)
        shape = table_shape(packed.where, packed.header.shape, packed.header.dtype)
        return Table(packed.where, shape, lambda start, stop: _rows(packed, start, stop))


def _rows(packed: NpzArray, start: int, stop: int) -> NDArray[Any]:
    header = packed.header
    if header.fortran_order:
        return packed.whole()[start:stop]
    content = packed.read(start * header.row_bytes, (stop - start) * header.row_bytes)
    return np.frombuffer(content, header.dtype).reshape(-1, header.shape[1])
