"""Rows that stay in a file and are read block by block, so that the disk bounds their number and not the memory.

Scratch files have no name: they are gone with the process, however that ends.
"""

import math
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from prosper_ng.data.dataset import DataError, Floats


class StoredRows(NamedTuple):
    """Where a file holds the rows of a table one behind the other, just as they are learned from."""

    path: Path
    offset: int
    """Where the first row begins, in bytes."""
    dtype: np.dtype[Any]


class FileRows:
    """Rows (n, D) in a file; indexing them by a slice or an array of row numbers reads these rows.

    They are read rather than mapped: a file that is cut off or a disk that fails is an error then, not the end of the
    process, and what was read does not stay in its memory.
    """

    def __init__(
        self,
        file: BinaryIO,
        where: str,
        shape: tuple[int, int],
        dtype: DTypeLike,
        offset: int = 0,
        is_shared: bool = False,
    ) -> None:
        """The rows begin at `offset` bytes; `where` names the file in errors, `is_shared` says that others may write
        to it.
        """
        self.shape, self.dtype = shape, np.dtype(dtype)
        self._file, self._where, self._offset = file, where, offset
        self._row_bytes = shape[1] * self.dtype.itemsize
        self._version = self._present_version() if is_shared else None

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> NDArray[Any]:
        """The rows (m, D) as an array of their own; raises DataError where the file has changed or cannot be read."""
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            return self._read(start, max(start, stop))[::step]
        if len(rows) == 0:
            return np.empty((0, self.shape[1]), self.dtype)
        first, last = int(rows.min()), int(rows.max())
        if not 0 <= first <= last < len(self):
            raise IndexError(f"rows {first} to {last} were asked for; there are {len(self)}")
        found = self._read(first, last + 1)
        # Rows without a gap are the usual case and need no second copy.
        return found if len(rows) == len(found) and (np.diff(rows) == 1).all() else found[rows - first]

    def _read(self, start: int, stop: int) -> NDArray[Any]:
        if self._version is not None and self._present_version() != self._version:
            raise DataError(f"{self._where} was changed while its rows were in use")
        rows = np.empty((stop - start, self.shape[1]), self.dtype)
        left, place = rows.reshape(-1).view(np.uint8).data, self._offset + start * self._row_bytes
        try:
            while left:
                n_read = os.preadv(self._file.fileno(), [left], place)
                if n_read == 0:
                    raise DataError(f"{self._where} is cut off: rows {start} to {stop} are not all there")
                left, place = left[n_read:], place + n_read
        except OSError as error:
            raise DataError(f"{self._where}: rows {start} to {stop} cannot be read: {error.strerror}") from error
        return rows

    def _present_version(self) -> tuple[int, int]:
        status = os.fstat(self._file.fileno())
        return status.st_size, status.st_mtime_ns


def stored_rows(stored: StoredRows, start: int, shape: tuple[int, int]) -> FileRows:
    """Rows start.. of a file of the user's, which is read and never written; DataError where it cannot be opened."""
    offset = stored.offset + start * shape[1] * stored.dtype.itemsize
    try:
        return FileRows(stored.path.open("rb", buffering=0), str(stored.path), shape, stored.dtype, offset, True)
    except OSError as error:
        raise DataError(f"{stored.path} cannot be read: {error.strerror}") from error


def written_rows(pieces: Iterable[Floats], shape: tuple[int, int], dtype: DTypeLike, folder: Path) -> FileRows:
    """Rows (n, D) that come in pieces, in a scratch file in `folder`; DataError where they do not fit there."""
    dtype = np.dtype(dtype)
    file = _scratch(folder, shape[0] * shape[1] * dtype.itemsize)
    try:
        for piece in pieces:
            with np.errstate(over="ignore"):  # whoever asks for a narrow type looks for infinities
                left = piece.astype(dtype, copy=False).reshape(-1).view(np.uint8).data
            while left:
                left = left[file.write(left) :]
    except OSError as error:
        raise _no_room(folder, error) from error
    return FileRows(file, f"the scratch file in {folder}", shape, dtype)


def mapped_array(shape: tuple[int, ...], dtype: DTypeLike, folder: Path) -> NDArray[Any]:
    """An array that lies in a scratch file in `folder`; DataError where it does not fit there.

    Its pages are in memory only as long as there is room for them.
    """
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    if n_bytes == 0:
        return np.empty(shape, dtype)
    file = _scratch(folder, n_bytes)
    return np.memmap(file, dtype, "r+", shape=shape).view(np.ndarray)


def _scratch(folder: Path, n_bytes: int) -> Any:
    """A file without a name, with room for so many bytes."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".scratch-", dir=folder)
        file = os.fdopen(descriptor, "r+b", buffering=0)
        os.unlink(name)
        # The room is taken now: a write to a mapped page without room would end the process.
        if hasattr(os, "posix_fallocate") and n_bytes:
            os.posix_fallocate(file.fileno(), 0, n_bytes)
        else:
            os.truncate(file.fileno(), n_bytes)
    except OSError as error:
        raise _no_room(folder, error, n_bytes) from error
    return file


def _no_room(folder: Path, error: OSError, n_bytes: int = 0) -> DataError:
    size = f" of {n_bytes / 2**30:.3g} GiB" if n_bytes else ""
    return DataError(
        f"a scratch file{size} cannot be written in {folder}: {error.strerror}; name another folder in memory.scratch, "
        "or start more ranks on more hosts"
    )
