"""One number for what a run learns from, and one for all that it came to, the same on any number of ranks."""

import hashlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from prosper_ng.data.dataset import Dataset
from prosper_ng.data.preprocessing import times
from prosper_ng.numerics.row_hash import combined, row_hashes
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.training.em import Problem, TrainingState

_DIGEST_BYTES = hashlib.sha256().digest_size
_HALF = np.uint64(32)


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


def input_digest(problem: Problem) -> str | None:
    """SHA-256 over the digests of all blocks of the data as they are learned from, on root."""
    whole = _over_blocks(problem, lambda rows: problem.values[rows].tobytes())
    return None if whole is None else hashlib.sha256(whole).hexdigest()


def run_digest(problem: Problem, state: TrainingState, free_energies: NDArray[np.float64]) -> str | None:
    """SHA-256 over final parameters, the free energy of every sweep, and all that is kept of rows, in hexadecimal.

    On root. Of what is kept the values count, in the order in which the E-step names it, and not the names.
    """
    whole = hashlib.sha256()
    for name, values in state.params.items():
        whole.update(name.encode() + values.tobytes())
    whole.update(np.ascontiguousarray(free_energies).tobytes())
    if state.rows:
        found = _over_blocks(problem, lambda rows: b"".join(kept[rows].tobytes() for kept in state.rows.values()))
        whole.update(found or b"")
    return whole.hexdigest() if problem.comm.is_root else None


def _over_blocks(problem: Problem, content: Callable[[slice], bytes]) -> bytes | None:
    """The digests of all blocks in order, on root: they are made where the rows are, and only they travel."""
    blocks, comm = problem.blocks, problem.comm
    starts = [blocks.owned(rank, comm.size).start for rank in range(comm.size)] + [blocks.n_blocks]
    own = np.zeros((starts[comm.rank + 1] - starts[comm.rank], _DIGEST_BYTES), np.uint8)
    for place, block in enumerate(blocks.owned(comm.rank, comm.size)):
        rows = blocks.rows(block)
        local = slice(rows.start - problem.first_row, rows.stop - problem.first_row)
        own[place] = np.frombuffer(hashlib.sha256(content(local)).digest(), np.uint8)
    whole = np.zeros((blocks.n_blocks if comm.is_root else 0, _DIGEST_BYTES), np.uint8)

    def take(start: int, piece: NDArray[np.uint8]) -> None:
        whole[start : start + len(piece)] = piece

    comm.gather_rows(own, starts, take)
    return whole.tobytes() if comm.is_root else None
