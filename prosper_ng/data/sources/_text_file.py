"""Text files as bytes that can be read from any place: unpacked, in an encoding whose line ends are single bytes."""

import bz2
import gzip
import io
import lzma
import os
import zlib
from pathlib import Path
from typing import IO, BinaryIO, cast

from prosper_ng.data.dataset import DataError, require_memory
from prosper_ng.data.sources._file_kinds import N_BYTES, other_format
from prosper_ng.data.sources._files import unreadable

DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError)
"""What reading packed files raises."""
_PACKED = {b"\x1f\x8b": gzip.GzipFile, b"BZh": bz2.BZ2File, b"\xfd7zXZ\x00": lzma.LZMAFile}
_WORKBOOKS = {
    b"PK\x03\x04": "a workbook of Excel or another zip archive; save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "a workbook of Excel; save the sheet as CSV",
}
"""What is no text either, but can be saved as text by the program it comes from."""
_MARKS = {
    b"\xff\xfe\x00\x00": "utf-32", b"\x00\x00\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16",
}  # fmt: skip
_UTF8_MARK = b"\xef\xbb\xbf"
_HEAD_BYTES = 1 << 16


class TextFile:
    """The bytes of a text file, unpacked, in UTF-8 or a single-byte encoding."""

    def __init__(self, path: Path) -> None:
        """Raises DataError where the file is damaged or holds no text."""
        self.path = path
        self._file = path.open("rb")
        self._version = self._present_version()
        try:
            self._stream = _unpacked(self._file)
            head = self._stream.read(_HEAD_BYTES)
        except DAMAGE as error:
            raise unreadable(path, "a text file", error) from error
        self.start = len(_UTF8_MARK) if head.startswith(_UTF8_MARK) else 0
        """Where the text begins."""
        encoding = _wide_encoding(head)
        if encoding is not None:
            self._stream = self._transcoded(encoding)
        else:
            _require_text(head, path)
        head = self.read(self.start, _HEAD_BYTES)
        self.newline = b"\r" if b"\r" in head and b"\n" not in head else b"\n"
        """The byte that ends a line."""

    def read(self, place: int, n_bytes: int) -> bytes:
        """So many bytes from `place` on, fewer at the end; DataError where the file has changed or is damaged."""
        if self._present_version() != self._version:
            raise DataError(f"{self.path} was changed while its rows were in use")
        try:
            if self._stream.tell() != place:
                self._stream.seek(place)
            return self._stream.read(n_bytes)
        except DAMAGE as error:
            raise unreadable(self.path, "a text file", error) from error

    def decoded(self, content: bytes) -> str:
        """The text; names that are not in UTF-8 are read as Latin-1, which numbers are written in all the same."""
        try:
            return content.decode()
        except UnicodeDecodeError:
            return content.decode("latin-1")

    def _transcoded(self, encoding: str) -> IO[bytes]:
        """The whole text in UTF-8, since the line ends of wide encodings cannot be looked for byte by byte."""
        size = os.fstat(self._file.fileno()).st_size
        require_memory(3 * size, str(self.path))
        try:
            self._stream.seek(0)
            return io.BytesIO(self._stream.read().decode(encoding).lstrip("\ufeff").encode())
        except UnicodeDecodeError as error:
            raise unreadable(self.path, f"text in {encoding.upper()}", error) from error

    def _present_version(self) -> tuple[int, int]:
        status = os.fstat(self._file.fileno())
        return status.st_size, status.st_mtime_ns


def _unpacked(file: BinaryIO) -> IO[bytes]:
    magic = file.read(6)
    file.seek(0)
    for start, opener in _PACKED.items():
        if magic.startswith(start):
            return cast(IO[bytes], opener(fileobj=file) if opener is gzip.GzipFile else opener(file))
    return file


def _wide_encoding(head: bytes) -> str | None:
    """UTF-16 or UTF-32, by the mark at the start or by where zeros lie; None where a character may be one byte."""
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return encoding
    for parity, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros, others = head[parity::2], head[1 - parity :: 2]
        if len(head) > 3 and zeros.count(0) > 0.9 * len(zeros) and others.count(0) == 0:
            return encoding
    return None


def _require_text(head: bytes, path: Path) -> None:
    """Raise DataError where the first bytes of a file are no text."""
    workbook = next((what for start, what in _WORKBOOKS.items() if head.startswith(start)), None)
    # Names of columns may look like the first letters of a format; what holds zero bytes is no text.
    other = workbook or (other_format(head[:N_BYTES], ()) if b"\0" in head else None)
    if other is not None:
        raise DataError(f"{path} is no table in text but {other}")
    if b"\0" in head:
        raise DataError(f"{path} is no table in text: it holds zero bytes")
