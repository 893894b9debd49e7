"""One number for all that a run came to, the same on any number of ranks."""

import hashlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from prosper_ng.training.em import Problem, TrainingState


def input_digest(problem: Problem) -> str | None:
    """SHA-256 over the digests of all blocks of the data as they are learned from, on root."""
    whole = _over_blocks(problem, lambda rows: problem.values[rows].tobytes())
    return None if whole is None else hashlib.sha256(whole).hexdigest()


def run_digest(problem: Problem, state: TrainingState, free_energies: NDArray[np.float64]) -> str | None:
    """SHA-256 over final parameters, the free energy of every sweep, and all state sets, in hexadecimal, on root."""
    sets = state.sets
    whole = hashlib.sha256()
    for name, values in state.params.items():
        whole.update(name.encode() + values.tobytes())
    whole.update(np.ascontiguousarray(free_energies).tobytes())
    if sets is not None:
        found = _over_blocks(problem, lambda rows: sets.codes[rows].tobytes() + sets.log_joint[rows].tobytes())
        whole.update(found or b"")
    return whole.hexdigest() if problem.comm.is_root else None


def _over_blocks(problem: Problem, content: Callable[[slice], bytes]) -> bytes | None:
    """The digests of all blocks in order, on root: they are made where the rows are, and only they travel."""
    own = []
    for block in problem.blocks.owned(problem.comm.rank, problem.comm.size):
        rows = problem.blocks.rows(block)
        own.append(
            hashlib.sha256(content(slice(rows.start - problem.first_row, rows.stop - problem.first_row))).digest()
        )
    gathered = problem.comm.gather(b"".join(own))
    return None if gathered is None else b"".join(gathered)
