"""What NumPy's array files say about their content, checked before anything is allocated."""

import math
from typing import IO, Any, NamedTuple

import numpy as np

from prosper_ng.data.dataset import DataError
from prosper_ng.data.sources._files import unreadable


class NpyHeader(NamedTuple):
    """The header of a .npy file, or of a member of a .npz file."""

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype[Any]
    offset: int
    """Where the numbers begin."""

    @property
    def n_bytes(self) -> int:
        """Bytes of all numbers."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def row_bytes(self) -> int:
        """Bytes of one entry along the first axis."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize


def read_header(stream: IO[bytes], n_bytes: int, where: str) -> NpyHeader:
    """The header of a stream of `n_bytes`; raises DataError where it is none or promises more than is there."""
    try:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise DataError(f"{where} holds records or comes from a newer NumPy (format {version[0]}.{version[1]})")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran_order, dtype = read(stream)
    except DataError:
        raise
    except Exception as error:
        # The header is a Python literal: a damaged one ends in SyntaxError, TokenError, ValueError, ...
        raise unreadable(where, "an array in NumPy's format", error) from error
    if any(length < 0 for length in shape):
        raise DataError(f"{where} is damaged: its shape reads {shape}")
    if dtype.hasobject:
        raise DataError(f"{where} holds pickled Python objects, which could run any program when loaded; save numbers")
    if dtype.kind == "V" and dtype.names is None:
        raise DataError(
            f"{where} holds values of {dtype.itemsize} bytes of a type that NumPy does not know, such as bfloat16; "
            "save them as float32"
        )
    header = NpyHeader(shape, fortran_order, dtype, stream.tell())
    if header.offset + header.n_bytes > n_bytes:
        raise DataError(
            f"{where} is cut off: its shape {shape} needs {header.n_bytes} bytes, {n_bytes - header.offset} are there"
        )
    return header
