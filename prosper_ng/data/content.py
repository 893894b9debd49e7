"""What a source holds, whatever file it lies in, and the way of a rank's rows from there into its memory."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from prosper_ng.data.dataset import Dataset, require_memory
from prosper_ng.data.memory_settings import Memory
from prosper_ng.data.preprocessing import times
from prosper_ng.data.row_file import FileRows, stored_rows, written_rows
from prosper_ng.errors import UserError
from prosper_ng.numerics.row_hash import combined, row_hashes
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.failure import collectively
from prosper_ng.parallel.warm_up import warm_up

Floats = NDArray[np.float64]

_HALF = np.uint64(32)
_PIECE_BYTES = 1 << 22
"""Of rows that are read at a time."""


def compile_reading() -> None:
    """Compile what a `Content` is read with, for `warm_up`."""
    combined(row_hashes(np.zeros((1, 1))), 0)
    times(np.zeros((1, 1)), np.zeros((1, 1)))


class Content:
    """What a source holds, found out while its rows are read: which values stand in which row, and nothing else.

    File format, precision, preprocessing, blocks and ranks do not count.
    """

    def __init__(self, dataset: Dataset) -> None:
        """Nothing is read yet."""
        self.dataset = dataset
        self._total = np.zeros(2, np.uint64)

    def raw(self, start: int, stop: int) -> NDArray[np.float64]:
        """Rows start..stop of the dataset as the source holds them, each of which must be read once by one rank."""
        rows = self.dataset.raw(start, stop)
        self._total += combined(row_hashes(rows), start)
        return rows

    def read(self, start: int, stop: int) -> NDArray[np.float64]:
        """Rows start..stop as they are learned from; otherwise as `raw`."""
        return self.dataset.preprocessing.apply(self.raw(start, stop))

    def digest(self, comm: Communicator) -> str:
        """32 hexadecimal digits for all rows, once all ranks have read theirs; they call it together."""
        # In halves, so that no sum over ranks goes beyond 64 bits.
        halves = np.array([self._total >> _HALF, self._total & np.uint64(0xFFFFFFFF)]).astype(np.int64)
        comm.sum_in_place(halves)
        high, low = halves.astype(np.uint64)
        first, second = ((high << _HALF) + low).tolist()
        shape = f"{self.dataset.n_rows} {self.dataset.n_observed}"
        return hashlib.sha256(f"{shape} {first} {second}".encode()).hexdigest()[:32]


def require_same_rows(dataset: Dataset, comm: Communicator) -> None:
    """Raise UserError on all ranks where one of them has other rows in hand than root, such as a part of its own.

    Shapes are compared, and the first and the last row; all ranks call it together.
    """
    if comm.size == 1:
        return
    warm_up(comm, compile_reading)
    with collectively(comm, ""):
        n_rows, told = dataset.n_rows, [dataset.n_rows, dataset.n_observed]
        for row in (0, n_rows - 1) if n_rows else ():
            told += combined(row_hashes(dataset.raw(row, row + 1)), 0).tolist()
    roots = comm.broadcast(told)
    with collectively(comm, ""):
        if told != roots:
            differs = (
                f"rows ({told[0]}, {told[1]}) where root has ({roots[0]}, {roots[1]})"
                if told[:2] != roots[:2]
                else "other rows than root"
            )
            raise UserError(
                f"rank {comm.rank} of {comm.size} was given {differs}; give all ranks the same data, of which each "
                "takes its own part"
            )


class CutRows:
    """Rows (n, D) that a dataset cuts out of what it holds as they are asked for; indexed by a slice or row numbers."""

    def __init__(self, cut: Callable[[int, int], Floats], owned: range, n_observed: int, dtype: DTypeLike) -> None:
        """The `owned` rows of those that `cut(start, stop)` gives, in a type."""
        self.shape, self.dtype = (len(owned), n_observed), np.dtype(dtype)
        self._cut, self._first = cut, owned.start

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> NDArray[Any]:
        """The rows (m, D) as an array of their own."""
        numbers = np.arange(*rows.indices(len(self))) if isinstance(rows, slice) else np.asarray(rows)
        if len(numbers) == 0:
            return np.empty((0, self.shape[1]), self.dtype)
        first, last = int(numbers.min()), int(numbers.max())
        if not 0 <= first <= last < len(self):
            raise IndexError(f"rows {first} to {last} were asked for; there are {len(self)}")
        found = self._cut(self._first + first, self._first + last + 1).astype(self.dtype, copy=False)
        return found if len(numbers) == len(found) and (np.diff(numbers) == 1).all() else found[numbers - first]


def local_rows(
    read: Callable[[int, int], Floats],
    dataset: Dataset,
    owned: range,
    memory: Memory,
    dtype: DTypeLike,
    scratch: Path,
    again: Callable[[int, int], Floats],
) -> NDArray[Any] | FileRows | CutRows:
    """The `owned` rows (n, D) of a dataset as `read(start, stop)` gives them, each of which it is asked for once;
    `again` gives the same rows without whatever `read` finds out of them.

    In memory, or where they go beyond the budget cut anew as they are needed, if the dataset holds what they are cut
    from, or in a file: the dataset's own if it holds just these numbers, else one in `scratch`. Raises DataError where
    rows cannot be read, or do not fit there.
    """
    dtype, shape = np.dtype(dtype), (len(owned), dataset.n_observed)
    n_together = max(1, _PIECE_BYTES // (8 * dataset.n_observed))
    pieces = [range(start, min(start + n_together, owned.stop)) for start in owned[::n_together]]
    n_bytes = shape[0] * shape[1] * dtype.itemsize
    if dataset.is_held and memory.cuts_data(n_bytes):
        for rows in pieces:
            read(rows.start, rows.stop)
        return CutRows(again, owned, dataset.n_observed, dtype)
    if memory.keeps_data(n_bytes):
        require_memory(n_bytes, f"{dataset.where}: rows {owned.start} to {owned.stop}")
        values = np.empty(shape, dtype)
        for rows in pieces:
            with np.errstate(over="ignore"):  # whoever asks for a narrow type looks for infinities
                values[rows.start - owned.start : rows.stop - owned.start] = read(rows.start, rows.stop)
        return values
    stored = dataset.stored
    if stored is None or stored.dtype != dtype:
        return written_rows((read(rows.start, rows.stop) for rows in pieces), shape, dtype, scratch)
    for rows in pieces:
        read(rows.start, rows.stop)  # raises where the rows are none to work with
    return stored_rows(stored, owned.start, shape)
