"""A look at a variable of a MATLAB 5 file before scipy reads it: an unknown type code makes scipy crash the process."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_HEADER_BYTES, _TAG_BYTES = 128, 8
_MATRIX, _COMPRESSED = 14, 15
_NUMERIC_TYPES = {1, 2, 3, 4, 5, 6, 7, 9, 12, 13}
_COMPLEX_FLAG = 0x0800
# Flags, dimensions and a name of 63 letters take about 120 bytes.
_ENOUGH_BYTES = 4096


class _Element(NamedTuple):
    code: int
    content: bytes


def is_complex(path: Path, name: str) -> bool:
    """Whether the numeric variable `name` has an imaginary part; raises ValueError where its type is unknown."""
    for matrix, order in _matrices(path):
        elements = _elements(matrix, order)
        flags, _, title, numbers = next(elements), next(elements), next(elements), next(elements)
        if title.content.decode("latin-1") != name:
            continue
        if numbers.code not in _NUMERIC_TYPES:
            raise ValueError(f"the numbers of variable '{name}' have the unknown type {numbers.code}")
        return bool(struct.unpack_from(order + "I", flags.content)[0] & _COMPLEX_FLAG)
    return False


def _matrices(path: Path) -> Iterator[tuple[bytes, str]]:
    """The first bytes of each variable, unpacked, and the byte order."""
    with path.open("rb") as stream:
        header = stream.read(_HEADER_BYTES)
        if 0 in header[:4]:
            return  # MATLAB 4 has no type codes.
        order = "<" if header[126:128] == b"IM" else ">"
        while len(tag := stream.read(_TAG_BYTES)) == _TAG_BYTES:
            code, n_bytes = struct.unpack(order + "II", tag)
            behind = stream.tell() + n_bytes
            content = stream.read(min(n_bytes, _ENOUGH_BYTES))
            if code == _COMPRESSED:
                content = zlib.decompressobj().decompress(content, _ENOUGH_BYTES)
                code, content = struct.unpack_from(order + "I", content)[0], content[_TAG_BYTES:]
            if code == _MATRIX and content:
                yield content, order
            stream.seek(behind)


def _elements(matrix: bytes, order: str) -> Iterator[_Element]:
    """Flags, dimensions, name and numbers of a variable, one after the other."""
    place = 0
    while True:
        code, n_bytes = struct.unpack_from(order + "II", matrix, place)
        if code >> 16:  # Up to four bytes of content share the tag.
            yield _Element(code & 0xFFFF, matrix[place + 4 : place + 4 + min(code >> 16, 4)])
            place += _TAG_BYTES
        else:
            begin = place + _TAG_BYTES
            yield _Element(code, matrix[begin : begin + n_bytes])
            place = begin + n_bytes + -n_bytes % 8
