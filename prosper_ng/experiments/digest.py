"""One number for all that a run came to, the same on any number of ranks."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from prosper_ng.training.em import Problem, TrainingState


def run_digest(problem: Problem, state: TrainingState, free_energies: NDArray[np.float64]) -> str | None:
    """SHA-256 over final parameters, the free energy of every sweep, and all state sets, in hexadecimal, on root.

    State sets are digested block by block where they are, so that only digests travel.
    """
    blocks, comm = problem.blocks, problem.comm
    own = []
    if state.sets is not None:
        for block in blocks.owned(comm.rank, comm.size):
            rows = blocks.rows(block)
            sets = state.sets.slice(rows.start - problem.first_row, rows.stop - problem.first_row)
            own.append(hashlib.sha256(sets.codes.tobytes() + sets.log_joint.tobytes()).digest())
    gathered = comm.gather(b"".join(own))
    if gathered is None:
        return None
    whole = hashlib.sha256()
    for name, values in state.params.items():
        whole.update(name.encode() + values.tobytes())
    whole.update(np.ascontiguousarray(free_energies).tobytes())
    whole.update(b"".join(gathered))
    return whole.hexdigest()
