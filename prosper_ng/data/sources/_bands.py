"""Rows of arrays that are stored in chunks, each of which is unpacked as a whole to read one of its rows."""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from prosper_ng.data.sources._arrays import ReadRows

_SMALLEST, _LARGEST = 1 << 20, 1 << 26
"""Bytes of rows in a chunk that are worth keeping, and that are unpacked at a time."""
_KEPT_BYTES = 1 << 27
_MOST_KEPT = 16


def by_chunks(read: "ReadRows", chunk_rows: int, shape: tuple[int, int], row_bytes: int) -> "ReadRows":
    """Reads the same rows chunk by chunk, or as many rows of one as take 64 MiB; small chunks are left alone."""
    if chunk_rows * row_bytes < _SMALLEST:
        return read
    together = max(1, min(chunk_rows, _LARGEST // row_bytes))
    return by_bands(read, range(0, shape[0], together), shape, row_bytes)


def by_bands(read: "ReadRows", starts: Sequence[int], shape: tuple[int, int], row_bytes: int) -> "ReadRows":
    """Reads the same rows of a table of that shape in whole bands, of which the latest are kept.

    What reads piece after piece then has each chunk unpacked once, also where threads are at several places.
    """
    kept: OrderedDict[int, NDArray[Any]] = OrderedDict()
    edges = [*starts, shape[0]]
    largest = int(np.diff(edges).max(initial=1)) * max(1, row_bytes)
    n_kept = max(1, min(_MOST_KEPT, _KEPT_BYTES // largest))

    def band(number: int) -> NDArray[Any]:
        if number in kept:
            kept.move_to_end(number)
            return kept[number]
        while len(kept) >= n_kept:
            kept.popitem(last=False)
        kept[number] = read(edges[number], edges[number + 1])
        return kept[number]

    def rows(start: int, stop: int) -> NDArray[Any]:
        first, last = bisect_right(starts, start) - 1, bisect_right(starts, max(start, stop - 1)) - 1
        parts = [
            band(number)[max(start - edges[number], 0) : stop - edges[number]] for number in range(first, last + 1)
        ]
        return parts[0] if len(parts) == 1 else np.ma.concatenate(parts) if _masked(parts) else np.concatenate(parts)

    return rows


def _masked(parts: Sequence[NDArray[Any]]) -> bool:
    return any(isinstance(part, np.ma.MaskedArray) for part in parts)
