"""Arrays inside .npz files, unpacked as streams."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng import access
from prosper_ng.data.dataset import DataError, require_memory
from prosper_ng.data.sources._files import missing, unreadable
from prosper_ng.data.sources._npy_header import NpyHeader, read_header

_DAMAGE = (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error)


class NpzArray(NamedTuple):
    """An array of a .npz file whose numbers are still packed."""

    where: str
    header: NpyHeader
    stream: IO[bytes]

    def read(self, offset: int, n_bytes: int) -> bytes:
        """Bytes of the numbers from `offset` on; raises DataError where the archive is damaged."""
        try:
            self.stream.seek(self.header.offset + offset)
            content = self.stream.read(n_bytes)
        except _DAMAGE as error:
            found = access.cannot_open(error, self.where)
            raise DataError(str(found or f"{self.where} cannot be unpacked, the file is damaged ({error})")) from error
        if len(content) != n_bytes:
            raise DataError(f"{self.where} is cut off")
        return content

    def whole(self) -> NDArray[Any]:
        """The array; raises DataError where it is damaged or does not fit into memory."""
        require_memory(self.header.n_bytes, self.where)
        content = np.frombuffer(self.read(0, self.header.n_bytes), self.header.dtype)
        return content.reshape(self.header.shape, order="F" if self.header.fortran_order else "C")


def npz_array(path: Path, name: str) -> NpzArray:
    """The array `name` of a .npz file; raises DataError where there is no such file or array, or it is pickled."""
    where = f"array '{name}' of {path}"
    try:
        archive = zipfile.ZipFile(path)
        members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
        if name not in members:
            raise _without(path, name, members)
        stream = archive.open(members[name])
        return NpzArray(where, read_header(stream, members[name].file_size, where), stream)
    except DataError:
        raise
    except _DAMAGE as error:
        raise unreadable(path, "a .npz file", error) from error


def _without(path: Path, name: str, members: Mapping[str, zipfile.ZipInfo]) -> DataError:
    """The error that an archive has no array of that name, and what it is where it is no collection of arrays."""
    if {"data", "format", "shape"} <= members.keys():
        return DataError(
            f"{path} holds a sparse matrix of scipy; save it as a full one, as in numpy.save('NEW.npy', "
            "scipy.sparse.load_npz(OLD).toarray())"
        )
    if members and not any(member.filename.endswith(".npy") for member in members.values()):
        return DataError(
            f"{path} is a ZIP archive without arrays of NumPy; it holds things like '{next(iter(members))}'"
        )
    return missing("array", name, path, members)
