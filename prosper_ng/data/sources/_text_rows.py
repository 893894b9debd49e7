"""The rows of a text table by number: one fast pass finds where they lie, and any of them are read from there."""

import re
from bisect import bisect_right
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.data.dataset import DataError
from prosper_ng.data.sources._text_file import TextFile

Places = NDArray[np.intp]

_BLOCK_BYTES = 1 << 22
_MARK_BYTES = 1 << 18
"""Between the rows whose places are kept."""
_LONGEST_ROW = 1 << 28
_QUOTE, _LINE_FEED = ord('"'), ord("\n")
_OPENING = re.compile(rb'(?:^|[^\w"])"(?:[^"]|"")*$')


class _Rows(NamedTuple):
    """Rows in some bytes."""

    starts: Places
    ends: Places
    n_whole: int
    """Bytes up to the end of the last line that ends among them."""


class TextRows:
    """The lines of a file that hold something: neither blank lines nor those that begin with the comment sign.

    A line end between quotation marks does not end a row.
    """

    def __init__(self, file: TextFile, comment: str | None, n_skipped_lines: int = 0) -> None:
        """Raises DataError where the file is damaged or a quotation is never closed."""
        self._file, self._newline = file, file.newline[0]
        self._comment = (comment or "").encode()
        self._suspects = np.frombuffer(b" \t\r\n" + self._comment[:1], np.uint8)
        self._start = self._behind(n_skipped_lines)
        self._is_plain = True
        self.n_rows, self._rows, self._places = self._marked()

    def lines(self, start: int, stop: int) -> list[str]:
        """Rows start..stop, without their line ends."""
        if start >= stop:
            return []
        content, first, _ = self._around(start, stop)
        if self._is_plain:
            text = self._file.decoded(content)
            if self._newline == _LINE_FEED and "\r" in text:
                text = text.replace("\r\n", "\n")
            found = text.split(chr(self._newline))
        else:
            starts, ends, _ = self._rows_of(content, is_last=True)
            whole = (self._file.decoded(content[a:b]) for a, b in zip(starts, ends, strict=True))
            found = [row.removesuffix("\r") for row in whole]
        return found[start - first : stop - first]

    def line_number(self, row: int) -> int:
        """The number of the line in the file at which a row begins, counted from 1, as editors do."""
        content, first, place = self._around(row, row + 1)
        return self._n_ends(place + int(self._rows_of(content, is_last=True).starts[row - first])) + 1

    def _around(self, start: int, stop: int) -> tuple[bytes, int, int]:
        """The bytes that hold these rows, the number of the first row in them, and where they begin."""
        first = bisect_right(self._rows, start) - 1
        last = bisect_right(self._rows, stop - 1)
        place = self._places[first]
        return self._file.read(place, self._places[last] - place), self._rows[first], place

    def _behind(self, n_lines: int) -> int:
        """Where the line after so many begins; DataError where there is none."""
        place, left = self._file.start, n_lines
        while left:
            content = self._file.read(place, _BLOCK_BYTES)
            if not content:
                raise DataError(f"{self._file.path} has no more than {n_lines - left} lines, and {n_lines} are skipped")
            ends = np.flatnonzero(np.frombuffer(content, np.uint8) == self._newline)
            n_here = min(left, len(ends))
            place += int(ends[n_here - 1]) + 1 if n_here == left else len(content)
            left -= n_here
        return place

    def _marked(self) -> tuple[int, list[int], list[int]]:
        """How many rows there are; the numbers and places of some, of the first always, and the end of the file."""
        rows, places, n_rows, place, rest = [0], [self._start], 0, self._start, b""
        while block := self._file.read(place + len(rest), _BLOCK_BYTES):
            content = rest + block
            starts, _, n_whole = self._rows_of(content)
            self._mark(starts, n_rows, place, rows, places)
            n_rows, place, rest = n_rows + len(starts), place + n_whole, content[n_whole:]
            if len(rest) > _LONGEST_ROW:
                raise self._unclosed(place)
        if rest:
            starts, _, n_whole = self._rows_of(rest, is_last=True)
            if n_whole < len(rest):
                raise self._unclosed(place)
            self._mark(starts, n_rows, place, rows, places)
            n_rows += len(starts)
        return n_rows, rows, [*places, place + len(rest)]

    def _mark(self, starts: Places, n_rows: int, place: int, rows: list[int], places: list[int]) -> None:
        """Note the places of rows that lie far enough behind the last one noted."""
        while len(starts) and place + int(starts[-1]) >= places[-1] + _MARK_BYTES:
            nearest = int(np.searchsorted(starts, places[-1] + _MARK_BYTES - place))
            rows.append(n_rows + nearest)
            places.append(place + int(starts[nearest]))

    def _rows_of(self, content: bytes, is_last: bool = False) -> _Rows:
        """The rows in some bytes that begin with one; a line without an end counts where it `is_last`."""
        numbers = np.frombuffer(content, np.uint8)
        ends = np.flatnonzero(numbers == self._newline)
        if is_last and len(content) and content[-1] != self._newline:
            ends = np.append(ends, len(content))
        if _QUOTE in content:
            ends = self._unquoted(content, numbers, ends)
        n_whole = min(int(ends[-1]) + 1, len(content)) if len(ends) else 0
        starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
        firsts = numbers[np.minimum(starts, max(len(content) - 1, 0))]
        suspects = np.flatnonzero(np.isin(firsts, self._suspects))
        dropped = [at for at in suspects if not self._holds_something(content[starts[at] : ends[at]])]
        if dropped:
            self._is_plain = False
            starts, ends = np.delete(starts, dropped), np.delete(ends, dropped)
        return _Rows(starts, ends, n_whole)

    def _holds_something(self, line: bytes) -> bool:
        line = line.strip()
        return bool(line) and not self._is_comment(line)

    def _opens(self, line: bytes) -> bool:
        """Whether a quotation begins in a line that does not end in it; a mark behind a letter or digit is an inch."""
        return _OPENING.search(line) is not None and not self._is_comment(line)

    def _is_comment(self, line: bytes) -> bool:
        return bool(self._comment) and line.lstrip().startswith(self._comment)

    def _unquoted(self, content: bytes, numbers: NDArray[np.uint8], ends: Places) -> Places:
        """The line ends that are not inside quotation marks."""
        before = np.searchsorted(np.flatnonzero(numbers == _QUOTE), ends)
        is_odd = np.diff(before, prepend=0) % 2 == 1
        if not is_odd.any():
            return ends
        kept, is_open, begin = [], False, 0
        for end, odd in zip(ends.tolist(), is_odd.tolist(), strict=True):
            is_open ^= odd and (is_open or self._opens(content[begin:end]))
            if not is_open:
                kept.append(end)
            begin = end + 1
        self._is_plain = False
        return np.array(kept, np.intp)

    def _unclosed(self, place: int) -> DataError:
        line = self._n_ends(place) + 1
        return DataError(f"{self._file.path}: no row ends after line {line}; is a quotation mark never closed there?")

    def _n_ends(self, place: int) -> int:
        """How many lines end before a place."""
        pieces = range(self._file.start, place, _BLOCK_BYTES)
        newline = self._file.newline
        return sum(self._file.read(begin, min(_BLOCK_BYTES, place - begin)).count(newline) for begin in pieces)
