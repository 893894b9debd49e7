"""Rows of an array in a .npy file."""

from typing import ClassVar

import numpy as np

from prosper_ng.components import component
from prosper_ng.data.row_file import StoredRows, stored_rows
from prosper_ng.data.sources._arrays import ArraySource, Table, table_shape
from prosper_ng.data.sources._holes import never_written
from prosper_ng.data.sources._npy_header import read_header


@component
class Npy(ArraySource):
    """A two-dimensional array of numbers saved by `numpy.save`, one row per data point.

    Only the rows asked for are read; a file that holds column after column (Fortran order) is mapped into memory. A
    vector is refused, because it could be one data point as well as many of one value. So are pickled objects.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".npy",)

    def table(self) -> Table:
        """The array; raises DataError where it cannot be read or is no table of numbers."""
        path = self.file("npy")
        where = str(path)
        with path.open("rb") as stream:
            header = read_header(stream, path.stat().st_size, where)
        shape = table_shape(where, header.shape, header.dtype, self.flatten, self.takes_vectors)
        row_shape = header.shape[1:]
        if header.fortran_order:
            values = np.memmap(path, header.dtype, "r", header.offset, header.shape, "F")
            return Table(where, shape, lambda start, stop: values[start:stop], row_shape=row_shape)
        stored = StoredRows(path, header.offset, header.dtype)
        rows = stored_rows(stored, 0, shape)
        unwritten = never_written(path, header.offset, header.row_bytes, shape[0])
        doubts = () if unwritten is None else (unwritten,)
        return Table(where, shape, lambda start, stop: rows[start:stop], stored, row_shape, doubts=doubts)
