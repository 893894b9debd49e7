"""Rows of a file that were never written: a program made room for them, as numpy's open_memmap does, and ended.

A file system that knows such holes reads zeros there; others, and those that make holes of zeros, cannot tell.
"""

import contextlib
import errno
import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosper_ng.data.dataset import DataError

_MOST_HOLES = 10_000


def never_written(path: Path, offset: int, row_bytes: int, n_rows: int) -> str | None:
    """What the user should hear of rows that lie in holes as a whole; they begin at `offset` bytes."""
    n_lost, first_lost = 0, None
    for begin, end in _holes(path, offset, offset + n_rows * row_bytes):
        first, last = -(-(begin - offset) // row_bytes), (end - offset) // row_bytes
        if first < last:
            n_lost += last - first
            first_lost = first if first_lost is None else first_lost
    if not n_lost:
        return None
    return (
        f"{path}: {n_lost} of {n_rows} rows or more were never written (from row {first_lost}, counted from 0) and are "
        "read as zeros; cut it to what was written"
    )


def require_uncut(values: NDArray[Any], where: str) -> Callable[[], None]:
    """What raises DataError where the file that an array is mapped from was cut off meanwhile.

    To read what is not there any more would end the process.
    """
    mapped: Any = values
    while isinstance(mapped, np.ndarray) and not isinstance(mapped.base, mmap.mmap):
        mapped = mapped.base
    name = getattr(mapped, "filename", None)
    if name is None or not os.path.isfile(name):
        return lambda: None
    path, end, at_first = Path(name), mapped.offset + mapped.nbytes, os.stat(name)

    def require() -> None:
        with contextlib.suppress(OSError):  # where another file or none has the name, this one is still there
            now = os.stat(path)
            if os.path.samestat(now, at_first) and now.st_size < end:
                raise DataError(f"{where}: {path} was cut off while its rows were in use")

    return require


def doubts_of_mapped(values: NDArray[Any], where: str) -> tuple[str, ...]:
    """The same of an array in hand, if it is all of what numpy.memmap has mapped, row by row."""
    # A part of such an array has another array as its base, and the offset of the whole.
    is_whole = isinstance(values, np.memmap) and isinstance(values.base, mmap.mmap)
    if not is_whole or not values.flags.c_contiguous or values.size == 0:
        return ()
    mapped: Any = values
    if mapped.filename is None or not os.path.isfile(mapped.filename):
        return ()
    said = never_written(Path(mapped.filename), mapped.offset, mapped[:1].nbytes, len(mapped))
    return () if said is None else (f"{where}: {said}",)


def _holes(path: Path, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Begin and end of each hole between two places; none where the file system knows of none."""
    with path.open("rb") as stream:
        try:
            for _ in range(_MOST_HOLES):
                begin = os.lseek(stream.fileno(), start, os.SEEK_HOLE)
                if begin >= stop:
                    return
                try:
                    start = os.lseek(stream.fileno(), begin, os.SEEK_DATA)
                except OSError as error:
                    if error.errno != errno.ENXIO:  # nothing but the hole up to the end
                        raise
                    start = stop
                yield begin, min(start, stop)
                if start >= stop:
                    return
        except OSError:
            return
