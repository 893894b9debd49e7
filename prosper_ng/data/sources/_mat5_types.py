"""The variables of a MATLAB 5 file, looked at before scipy reads them: an unknown type code makes scipy crash the
process, and an object of a class that it does not know, such as a string, makes it fail for all others.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_HEADER_BYTES, _TAG_BYTES = 128, 8
_MATRIX, _COMPRESSED = 14, 15
_NUMERIC_TYPES = {1, 2, 3, 4, 5, 6, 7, 9, 12, 13}
_CLASSES = {
    1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 6: "double", 7: "single", 8: "int8", 9: "uint8",
    10: "int16", 11: "uint16", 12: "int32", 13: "uint32", 14: "int64", 15: "uint64", 16: "function", 17: "opaque",
}  # fmt: skip
_WITH_NUMBERS = frozenset(_CLASSES[code] for code in range(6, 16))
_COMPLEX_FLAG, _LOGICAL_FLAG = 0x0800, 0x0200
# Flags, dimensions and a name of 63 letters take about 120 bytes.
_ENOUGH_BYTES = 4096


class Variable(NamedTuple):
    """What a file says of a variable."""

    matlab_class: str
    """Its class, or `complex`, `sparse` or `logical sparse` where these say more than that of its numbers."""
    shape: tuple[int, ...] = ()
    """As MATLAB shows it; empty for objects."""
    has_known_type: bool = True
    """Whether its numbers are stored in a type that MATLAB has."""


class _Element(NamedTuple):
    code: int
    content: bytes


def variables(path: Path) -> dict[str, Variable]:
    """The variables of a file by name.

    Raises struct.error, zlib.error, ValueError or KeyError where the file is damaged.
    """
    named = (_variable(matrix, order) for matrix, order in _matrices(path))
    return {name: variable for name, variable in named if name}  # what has no name is MATLAB's own


def _variable(matrix: bytes, order: str) -> tuple[str, Variable]:
    """The name of a variable that begins so, and what is said of it."""
    elements = _elements(matrix, order)
    flags = struct.unpack_from(order + "I", next(elements).content)[0]
    kind = _CLASSES[flags & 0xFF]
    if kind == "opaque":
        name, _, matlab_class = (next(elements).content.decode("latin-1") for _ in range(3))
        return name, Variable(matlab_class or kind)
    sides, name = next(elements).content, next(elements).content.decode("latin-1")
    shape = struct.unpack_from(f"{order}{len(sides) // 4}i", sides)
    if kind == "object" and name:
        return name, Variable(next(elements).content.decode("latin-1"), shape)
    if kind == "sparse":
        return name, Variable("logical sparse" if flags & _LOGICAL_FLAG else "sparse", shape)
    if kind not in _WITH_NUMBERS or not name:
        return name, Variable(kind, shape)
    has_known_type = next(elements).code in _NUMERIC_TYPES
    return name, Variable("complex" if flags & _COMPLEX_FLAG else kind, shape, has_known_type)


def _matrices(path: Path) -> Iterator[tuple[bytes, str]]:
    """The first bytes of each variable, unpacked, and the byte order."""
    with path.open("rb") as stream:
        n_all, header = path.stat().st_size, stream.read(_HEADER_BYTES)
        order = "<" if header[126:128] == b"IM" else ">"
        while len(tag := stream.read(_TAG_BYTES)) == _TAG_BYTES:
            code, n_bytes = struct.unpack(order + "II", tag)
            behind = stream.tell() + n_bytes
            if behind > n_all:
                raise ValueError("it is cut off")
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
