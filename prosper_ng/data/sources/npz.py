"""Rows of one array of a .npz file."""

import functools
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from prosper_ng.components import component
from prosper_ng.data.sources._arrays import ArraySource, ReadRows, Table, table_shape
from prosper_ng.data.sources._npz_array import NpzArray, npz_array


@component
class Npz(ArraySource):
    """A two-dimensional array of numbers saved by `numpy.savez`, one row per data point.

    The archive is unpacked as a stream: memory holds the rows asked for and no more; all of the array where it lies
    there column by column (Fortran order). A vector is refused, because it could be one data point as well as many
    of one value. So are pickled objects.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".npz",)
    name_field: ClassVar[str | None] = "array"

    array: str
    """The name of the array in the file."""

    def table(self) -> Table:
        """The array; raises DataError where it cannot be read or is no table of numbers."""
        packed = npz_array(self.file("npz"), self.array)
        shape = table_shape(packed.where, packed.header.shape, packed.header.dtype, self.flatten, self.takes_vectors)
        rows = _columnwise(packed) if packed.header.fortran_order else _rowwise(packed)
        return Table(packed.where, shape, rows, row_shape=packed.header.shape[1:])


def _rowwise(packed: NpzArray) -> ReadRows:
    row_bytes = packed.header.row_bytes

    def rows(start: int, stop: int) -> NDArray[Any]:
        content = packed.read(start * row_bytes, (stop - start) * row_bytes)
        return np.frombuffer(content, packed.header.dtype).reshape(stop - start, -1)

    return rows


def _columnwise(packed: NpzArray) -> ReadRows:
    whole = functools.cache(packed.whole)
    return lambda start, stop: whole()[start:stop]
