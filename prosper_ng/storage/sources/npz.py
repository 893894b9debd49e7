"""Rows of one array of a .npz file."""

import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from prosper_ng.components import component
from prosper_ng.storage.dataset import DataError, require_memory
from prosper_ng.storage.sources._arrays import ArraySource, Rows, Table, table_shape
from prosper_ng.storage.sources._files import existing_file, missing, unreadable
from prosper_ng.storage.sources._npy_header import NpyHeader, read_header

_DAMAGE = (OSError, EOFError, RuntimeError, NotImplementedError, ValueError, zipfile.BadZipFile, zlib.error)


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
        path = existing_file(self.path)
        where = f"array '{self.array}' of {path}"
        try:
            archive = zipfile.ZipFile(path)
            member = _member(archive, self.array, path)
            stream = archive.open(member)
            header = read_header(stream, member.file_size, where)
        except _DAMAGE as error:
            raise unreadable(path, "a .npz file", error) from error
        shape = table_shape(where, header.shape, header.dtype)
        return Table(where, shape, _reader(stream, header, shape, where))


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> zipfile.ZipInfo:
    members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    if name not in members:
        raise missing("array", name, path, members)
    return members[name]


def _reader(stream: IO[bytes], header: NpyHeader, shape: tuple[int, int], where: str) -> Rows:
    def read(offset: int, n_bytes: int) -> bytes:
        try:
            stream.seek(header.offset + offset)
            content = stream.read(n_bytes)
        except _DAMAGE as error:
            raise unreadable(where, "sound", error) from error
        if len(content) != n_bytes:
            raise DataError(f"{where} is cut off")
        return content

    def rows(start: int, stop: int) -> np.ndarray[Any, Any]:
        if header.fortran_order:
            n_bytes = shape[0] * header.row_bytes
            require_memory(n_bytes, f"{where}, which lies column by column and must be unpacked as a whole,")
            columns = np.frombuffer(read(0, n_bytes), header.dtype).reshape(shape[::-1])
            return columns[:, start:stop].T
        content = read(start * header.row_bytes, (stop - start) * header.row_bytes)
        return np.frombuffer(content, header.dtype).reshape(-1, shape[1])

    return rows
