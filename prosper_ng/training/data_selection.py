"""Learning from the rows that few causes explain best."""

import numpy as np
from numpy.typing import NDArray

from prosper_ng.numerics.truncated_prior import covered
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.selection import largest

Floats = NDArray[np.float64]


def best_explained(
    free_energies: Floats, pruning: float, activity: Floats, max_active: int, comm: Communicator
) -> float:
    """The free energy that the N (1 - (1 - A) Ncut) best explained rows of all ranks reach.

    A is the prior probability of at most gamma active latents, Ncut the data pruning in [0, 1]
    (Lücke and Eggert, JMLR 2010). At least one row is kept.
    """
    n_rows = np.array([float(len(free_energies))])
    comm.sum_in_place(n_rows)
    mass, _ = covered(activity, max_active)
    n_kept = int(n_rows[0] * (1.0 - (1.0 - mass) * pruning))
    return largest(free_energies, max(n_kept, 1), comm)
