"""One number for what a run learns from, and one for all that it came to, the same on any number of ranks."""

import hashlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from prosper_ng.training.em import Problem, TrainingState

_DIGEST_BYTES = hashlib.sha256().digest_size


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
        local = problem.local(blocks.rows(block))
        own[place] = np.frombuffer(hashlib.sha256(content(local)).digest(), np.uint8)
    whole = np.zeros((blocks.n_blocks if comm.is_root else 0, _DIGEST_BYTES), np.uint8)

    def take(start: int, piece: NDArray[np.uint8]) -> None:
        whole[start : start + len(piece)] = piece

    comm.gather_rows(own, starts, take)
    return whole.tobytes() if comm.is_root else None
