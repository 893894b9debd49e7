"""Neighborhood search: all single switches and swaps of the best states, ranked by their log joints."""

from typing import Annotated, Any

import numpy as np
from annotated_types import Gt

from prosper_ng.components import component
from prosper_ng.estep.defaults import VariationDefaults
from prosper_ng.estep.interface import Codes, Target
from prosper_ng.latents.candidates import Ints, rank
from prosper_ng.latents.index_space import StateSpace
from prosper_ng.latents.neighbors import Candidates, choose, evaluated, neighborhoods
from prosper_ng.latents.state_sets import StateSets
from prosper_ng.models.capabilities import KnowsNeighbors, offers
from prosper_ng.numerics.schedule import SweepSwitch

# Log joints of neighbors that are held at a time: 1 MiB, so that they are ranked before they leave the cache.
_NUMBERS = 1 << 17


@component
class NeighborSearch(VariationDefaults):
    """The best states one change away from the best of K_n: a latent on, off or at another value, or two swapped."""

    n_parents: Annotated[int, Gt(0)] = 1
    """How many of the best states of K_n have their neighbors looked at; at most S."""
    n_candidates: Annotated[int, Gt(0)] = 16
    """How many neighbors, the best, are proposed."""
    n_steps: Annotated[int, Gt(0)] = 1
    """How often in each sweep; each step starts from the best states so far."""

    active: SweepSwitch = True
    """Whether it is used; points [[sweep, true or false], ...] switch it on and off."""

    @property
    def n_rounds(self) -> int:
        """One round a step."""
        return self.n_steps

    def n_proposed(self, space: StateSpace, n_states: int) -> int:
        """As configured."""
        return self.n_candidates

    def propose(self, target: Target, pool: StateSets) -> Codes:
        """Up to n_candidates states for each row; where there are fewer, some repeat a state of the pool."""
        parents = np.empty((len(pool.codes), min(self.n_parents, pool.codes.shape[1])), np.int64)
        rank(pool.log_joint, parents)
        return best_neighbors(target, pool, parents, self.n_candidates)


def best_neighbors(target: Target, pool: StateSets, parents: Ints, n_candidates: int) -> Codes:
    """(n, n_candidates, words) the best neighbors of parents (n, P), places in the pool, that the pool does not hold.

    Only those count that are better than the worst of the pool; where there are fewer, some repeat a state of the pool.
    """
    n, _, words = pool.codes.shape
    best = Candidates.none(n, n_candidates, words)
    for chosen in parents.T:
        _look_around(target, pool, chosen, best)
    unused = np.arange(n_candidates) >= best.filled[:, None]
    best.codes[unused] = np.repeat(pool.codes[:, 0], unused.sum(axis=1), axis=0)
    return best.codes


def _look_around(target: Target, pool: StateSets, chosen: Ints, best: Candidates) -> None:
    """Let the neighbors of one parent of each row compete."""
    model: Any = target.model
    rows, knows = np.arange(len(chosen)), offers(model, KnowsNeighbors)
    parents, log_joint = pool.codes[rows, chosen], pool.log_joint[rows, chosen]
    for neighborhood in neighborhoods(model.space, parents, log_joint, _NUMBERS if knows else None):
        if knows:
            found = model.log_joint_of_neighbors(target.prepared, target.projected, neighborhood)
        else:
            found = evaluated(model.space, neighborhood, target.log_joint)
        choose(model.space, neighborhood, found, pool, best)
