"""HDF5 files that a full disk cannot turn into a crash."""

from __future__ import annotations

import contextlib
import errno
import io
import math
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from prosper_ng import access
from prosper_ng.data.sources._hdf5_content import is_axis_alone
from prosper_ng.late_h5py import h5py

_MOST_OBJECTS = 1_000_000
"""Links can make a few groups look like endlessly many."""
_CHUNK_BYTES, _LARGEST_CHUNK = 1 << 12, 1 << 20
_NOT_STORED = 1 << 20
"""Bytes that may be missing in a file: small datasets are stored in its headers."""


class _Disk(io.RawIOBase):
    """A file that remembers the first write that failed and keeps it from HDF5.

    HDF5 cannot close a file whose writes fail: it kills the process with a segmentation fault. So it is told that
    all went well, and the error is raised once HDF5 has let go.
    """

    def __init__(self, path: Path, mode: Literal["w", "r+"]) -> None:
        super().__init__()
        self._file = path.open("w+b" if mode == "w" else "r+b", buffering=0)
        self.error: OSError | None = None

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any, /) -> int | None:
        return self._file.readinto(buffer)

    def write(self, data: Any, /) -> int:
        rest = memoryview(data).cast("B")
        n_bytes = len(rest)
        if self.error is None:
            try:
                while rest:
                    rest = rest[self._file.write(rest) :]
            except OSError as error:
                self.error = error
        return n_bytes

    def truncate(self, size: int | None = None, /) -> int:
        if self.error is None:
            try:
                return self._file.truncate(size)
            except OSError as error:
                self.error = error
        return size or 0

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()
        super().close()


@contextlib.contextmanager
def written(path: Path, mode: Literal["w", "r+"] = "w") -> Iterator[h5py.File]:
    """An HDF5 file to fill, closed and synced at the end of the body; OSError where the disk did not take it all."""
    with contextlib.closing(_Disk(path, mode)) as disk:
        try:
            with h5py.File(disk, mode, locking="best-effort") as file:
                yield file
        except Exception:
            # What HDF5 says after a lost write is about bytes that are not there, not about the disk.
            if disk.error is None:
                raise
        if disk.error is not None:
            raise disk.error
        disk.sync()


@contextlib.contextmanager
def opened(path: Path, whole: bool = True) -> Iterator[h5py.File]:
    """An HDF5 file of this program to read; OSError where it is missing or damaged, or leads to other files.

    Who reads but a few objects of it looks at these himself, and not at the `whole`.

    CannotOpen is raised, here and while it is read, where another program holds it or the system does not let it be
    read.
    """
    mode = access.kind(path)
    if mode is not None and stat.S_ISDIR(mode):
        raise access.CannotOpen(f"{path} is a folder, not a file")
    if mode is None or not stat.S_ISREG(mode):
        raise FileNotFoundError(errno.ENOENT, "there is no such file", str(path))
    try:
        with access.telling_from_damage(path), h5py.File(path, "r", locking="best-effort") as file:
            if whole:
                _require_own(file)
            yield file
    except (RuntimeError, KeyError) as error:
        # h5py has no error class of its own for damage: it raises whatever is nearest.
        raise OSError(f"not a sound HDF5 file ({error})") from error


def storable(value: Any) -> Any:
    """The value; of a text, what HDF5 can hold: bytes in the names of files that are no text become escapes."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else value


def copy(path: Path, to: Path) -> None:
    """Copy a file that no other program writes to in the meantime; CannotOpen where one does."""
    with access.at_rest(path) as source, to.open("wb") as target:
        shutil.copyfileobj(source, target)


def _require_own(file: h5py.File) -> None:
    """Raise OSError unless all that a file holds lies in it: no link is followed, no other file is opened."""
    todo: list[h5py.Group] = [file]
    n_objects = 0
    while todo:
        group = todo.pop()
        for name in group:
            n_objects += 1
            if n_objects > _MOST_OBJECTS or not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise OSError(f"it holds a link or more objects than any file of this program ({group.name}/{name})")
            found = group[name]
            if isinstance(found, h5py.Group):
                todo.append(found)
            elif isinstance(found, h5py.Dataset):
                require_own_numbers(found.id)


def require_own_numbers(dataset: h5py.h5d.DatasetID) -> None:
    """Raise OSError where a dataset promises more than the file holds: it could be read for ever."""
    properties, space = dataset.get_create_plist(), dataset.get_space()
    if properties.get_layout() == h5py.h5d.VIRTUAL or properties.get_external_count():
        raise OSError(f"the numbers of {h5py.h5i.get_name(dataset).decode()} are kept in other files")
    if dataset.rank == 1 and dataset.dtype == np.int8 and is_length(h5py.Dataset(dataset)):
        return
    shape = None if space.get_simple_extent_type() == h5py.h5s.NULL else dataset.shape
    n_bytes = 0 if shape is None else math.prod(shape) * dataset.dtype.itemsize
    if shape is None or n_bytes > max(dataset.get_storage_size(), _NOT_STORED):
        raise OSError(f"{h5py.h5i.get_name(dataset).decode()} was declared with the shape {shape} but never written")


def is_length(item: object) -> bool:
    """Whether a dataset says how long an axis is and nothing else: it is never read."""
    return isinstance(item, h5py.Dataset) and item.ndim == 1 and item.dtype == np.int8 and is_axis_alone(item)


def is_scale(dataset: h5py.Dataset) -> bool:
    """Whether a dataset has marks of one that names an axis; HDF5 itself dies of being asked where they are damaged."""
    return not {"CLASS", "NAME", "REFERENCE_LIST"}.isdisjoint(dataset.attrs)


def extend(group: h5py.Group, path: str, start: int, values: NDArray[Any]) -> None:
    """Let the array at `path` end with these values (n, ...) from the entry `start` on, in a new one after NaN."""
    if path not in group:
        shape, dtype = values.shape[1:], values.dtype
        group.create_dataset(
            path,
            shape=(0, *shape),
            maxshape=(None, *(side or None for side in shape)),
            chunks=_chunks(shape, dtype.itemsize),
            dtype=dtype,
            fillvalue=np.nan if dtype.kind == "f" else None,
            fletcher32=True,
        )
    dataset = group[path]
    dataset.resize(start + len(values), axis=0)
    dataset[start:] = values


def _chunks(shape: tuple[int, ...], n_bytes: int) -> tuple[int, ...]:
    """Few entries where they are numbers, one where it is an array, and a part of it where that is large."""
    n_entry = n_bytes * math.prod(shape)
    chunks = [max(1, min(_CHUNK_BYTES // max(n_entry, 1), _CHUNK_BYTES // n_bytes))]
    for axis, side in enumerate(shape):
        n_each = n_bytes * math.prod(shape[axis + 1 :])
        chunks.append(max(1, min(side, _LARGEST_CHUNK // max(n_each, 1))))
    return tuple(chunks)


def read_through(file: h5py.File) -> None:
    """Read every dataset in pieces, so that every checksum is looked at; OSError where one fails."""

    def read(name: str, item: h5py.HLObject) -> None:
        if not isinstance(item, h5py.Dataset) or is_length(item):
            return
        if item.chunks is None or item.size == 0:
            item[()]
            return
        for start in range(0, len(item), item.chunks[0]):
            item[start : start + item.chunks[0]]

    file.visititems(read)
