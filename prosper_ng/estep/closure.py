"""The neighborhoods of the best states of a row, one after the other, until none of them holds a better one.

The best state whose neighbors (a latent on, off or at another value, or two swapped) were not looked at comes next,
as long as there is one among the B best. In the end no neighbor of the B best states is better than the worst of
these, unless it is one of them: a better state than the best can only lie beyond states that are worse than B others.
Nothing is drawn at random, and nothing is left to be found by looking again.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.estep.interface import Codes, Target
from prosper_ng.estep.row_by_row import Ints, some
from prosper_ng.estep.variations.neighborhood import best_neighbors
from prosper_ng.kernels import kernel
from prosper_ng.latents.candidates import rank
from prosper_ng.latents.state_sets import StateSets, contains

_FEWEST_PROPOSED = 16


class Closed(NamedTuple):
    """How the looking around went."""

    is_closed: NDArray[np.bool_]
    """(n,) whether the neighbors of all B best states are known."""
    n_looked: Ints
    """(n,) how many neighborhoods were looked at."""
    improved_at: Ints
    """(n,) after how many of these the best state was found; 0 where it was there before."""


def close(target: Target, sets: StateSets, n_best: int, most: int) -> Closed:
    """Improve evaluated sets, in place, until those of the `n_best` best states are closed, or after `most` steps.

    What becomes of a row does not depend on the others of a target of rows apart.
    """
    n, _, words = sets.codes.shape
    found = Closed(np.zeros(n, bool), np.zeros(n, np.int64), np.zeros(n, np.int64))
    left, own, seen = np.arange(n), sets, np.empty((n, most, words), np.uint64)
    best = sets.log_joint.max(axis=1)
    for step in range(most + 1):
        parents = np.full((len(left), 1), -1)
        _next(own.codes, own.log_joint, min(n_best, own.codes.shape[1]), seen, step, parents)
        going = parents[:, 0] >= 0
        if not going.all():
            found.is_closed[left[~going]] = True
            _put_back(sets, own, left)
            left, parents, seen, best = left[going], parents[going], seen[going], best[going]
            own, target = StateSets(sets.codes[left], sets.log_joint[left]), some(target, going)
        if step == most or len(left) == 0:
            break
        # As many as the best states at least: those of them that are among the neighbors are then all proposed.
        codes = best_neighbors(target, own, parents, max(n_best, _FEWEST_PROPOSED))
        own.merge(codes, target.log_joint(codes))
        now = own.log_joint.max(axis=1)
        found.n_looked[left] = step + 1
        found.improved_at[left[now > best]] = step + 1
        best = now
    _put_back(sets, own, left)
    return found


def _put_back(sets: StateSets, own: StateSets, rows: Ints) -> None:
    if own is not sets:
        sets.codes[rows], sets.log_joint[rows] = own


@kernel
def _next(codes: Codes, log_joint: Any, n_best: int, seen: Codes, n_seen: int, parents: Any) -> None:
    """Fill (n, 1) with the best of the `n_best` best states that is not among the seen; it then is."""
    best = np.empty((1, n_best), np.int64)
    for n in range(codes.shape[0]):
        rank(log_joint[n : n + 1], best)
        for s in best[0]:
            if log_joint[n, s] > -np.inf and not contains(seen[n], n_seen, codes[n, s]):
                parents[n, 0] = s
                if n_seen < seen.shape[1]:
                    seen[n, n_seen] = codes[n, s]
                break
