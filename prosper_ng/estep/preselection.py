"""Expectation Truncation: few latents are preselected for each row, and their combinations searched exhaustively."""

from functools import cache
from itertools import combinations, product
from math import comb
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Gt
from numba import njit
from numpy.typing import NDArray

from prosper_ng.components import component
from prosper_ng.errors import UserError
from prosper_ng.estep.interface import Codes, Floats, Found, Task
from prosper_ng.latents.space import LatentSpace
from prosper_ng.latents.state_sets import StateSets, set_value
from prosper_ng.models.interface import Affinity, Combinations, Combines
from prosper_ng.numerics.random_streams import Stream

_MAX_PATTERNS = 1_000_000


@component
class Preselection:
    """K_n: the zero state, all singletons, and what 2..gamma of the H' best latents can combine to.

    Nothing is stored between sweeps (Lücke and Eggert, JMLR 2010).
    """

    n_candidates: Annotated[int, Gt(0)] = 8
    """H', the number of latents preselected for each row."""
    max_active: Annotated[int, Gt(0)] = 4
    """gamma, the largest number of latents active together."""
    selection: Literal["singleton", "model"] = "singleton"
    """How latents are ranked: by the joint of their best singleton, or by the model's own selection function."""
    corrects_prior: bool = True
    """Whether the learned activities account for the rows that gamma latents cannot explain."""

    def initial_sets(
        self, space: LatentSpace, rows: NDArray[np.int64], activity: Floats, stream: Stream
    ) -> StateSets | None:
        """Nothing is stored; UserError where the combinations are too many."""
        n_patterns = self._n_patterns(space)
        if n_patterns > _MAX_PATTERNS:
            raise UserError(
                f"estep preselection: n_candidates {self.n_candidates} and max_active {self.max_active} make "
                f"{n_patterns} combinations for each row, more than {_MAX_PATTERNS}; choose smaller ones"
            )
        return None

    def find(self, task: Task, sets: StateSets | None, vary: bool = True) -> Found:
        """The preselected states of each row."""
        space, n = task.model.space, len(task.batch.values)
        small = _small_states(space.n_latents, tuple(space.values))
        small_joint = task.log_joint(np.broadcast_to(small, (n, *small.shape)))
        n_candidates = min(self.n_candidates, space.n_latents)
        tree = _combinations(n_candidates, min(self.max_active, n_candidates), space.n_values)
        best = np.empty((n, n_candidates), np.int64)
        rank(self._scores(task, small_joint), best)
        codes = np.empty((n, len(small) + len(tree.sizes), space.words), np.uint64)
        codes[:, : len(small)] = small
        combine(best, tree, space.n_planes, space.plane_words, codes[:, len(small) :])
        large_joint = None
        if isinstance(task.model, Combines):
            large_joint = task.model.log_joint_of_combinations(task.prepared, task.projected, best, tree)
        if large_joint is None:
            large_joint = task.log_joint(codes[:, len(small) :])
        log_joint = np.concatenate([small_joint, large_joint], axis=1)
        log_prior = self._log_prior(task, small, best, tree) if task.tempered else None
        return Found(codes, log_joint, n_evaluated=log_joint.size, log_prior=log_prior)

    def _log_prior(self, task: Task, small: Codes, best: NDArray[np.int64], tree: Combinations) -> Floats:
        """(n, S) log priors of all states, from those of the small ones."""
        small_prior = task.model.log_prior(task.prepared, small[None])[0]
        result = np.empty((len(best), len(small) + len(tree.sizes)))
        result[:, : len(small)] = small_prior
        add_priors(best, tree, small_prior, task.model.space.n_values - 1, result[:, len(small) :])
        return result

    def _scores(self, task: Task, small_joint: Floats) -> Floats:
        """(n, H) how good each latent is."""
        if self.selection == "model" and isinstance(task.model, Affinity):
            return task.model.affinity(task.prepared, task.projected, task.batch)
        space = task.model.space
        return np.asarray(small_joint[:, 1:].reshape(-1, space.n_latents, space.n_values - 1).max(axis=2))

    def _n_patterns(self, space: LatentSpace) -> int:
        n_candidates = min(self.n_candidates, space.n_latents)
        sizes = range(2, min(self.max_active, n_candidates) + 1)
        return sum(comb(n_candidates, k) * (space.n_values - 1) ** k for k in sizes)


@cache
def _small_states(n_latents: int, values: tuple[float, ...]) -> Codes:
    """The zero state, then every singleton: latent by latent, value by value."""
    n_nonzero = len(values) - 1
    indices = np.zeros((1 + n_latents * n_nonzero, n_latents), np.int64)
    singletons = np.arange(n_latents * n_nonzero)
    indices[1 + singletons, singletons // n_nonzero] = 1 + singletons % n_nonzero
    return LatentSpace(n_latents, values).encode(indices)


@cache
def _combinations(n_candidates: int, max_active: int, n_values: int) -> Combinations:
    """Every combination of 2..gamma active candidates, smaller ones first."""
    found: dict[tuple[tuple[int, int], ...], int] = {}
    for k in range(2, max_active + 1):
        for slots in combinations(range(n_candidates), k):
            for indices in product(range(1, n_values), repeat=k):
                found[tuple(zip(slots, indices, strict=True))] = len(found)
    table = np.zeros((len(found), n_candidates), np.int64)
    slots_of = np.zeros((len(found), max_active), np.int64)
    for active, number in found.items():
        for place, (slot, index) in enumerate(active):
            table[number, slot], slots_of[number, place] = index, slot
    sizes = np.array([len(active) for active in found], dtype=np.int64)
    parents = np.array([found.get(active[:-1], -1) for active in found], dtype=np.int64)
    return Combinations(table, slots_of, sizes, parents)


@njit(cache=True)
def rank(scores: Any, best: Any) -> None:
    """Fill (n, H') with the latents of highest score (n, H), the best first, the first of equals."""
    for n in range(scores.shape[0]):
        row = scores[n].copy()
        for i in range(best.shape[1]):
            best[n, i] = np.argmax(row)
            row[best[n, i]] = -np.inf


@njit(cache=True)
def combine(best: Any, tree: Combinations, n_planes: int, plane_words: int, codes: Any) -> None:
    """Write all combinations of the candidates (n, H') into codes (n, P, words), each from its parent's."""
    for n in range(best.shape[0]):
        for p in range(tree.sizes.shape[0]):
            last = tree.slots[p, tree.sizes[p] - 1]
            if tree.parents[p] >= 0:
                codes[n, p] = codes[n, tree.parents[p]]
            else:
                first = tree.slots[p, 0]
                codes[n, p] = 0
                set_value(codes[n, p], best[n, first], tree.indices[p, first], n_planes, plane_words)
            set_value(codes[n, p], best[n, last], tree.indices[p, last], n_planes, plane_words)


@njit(cache=True)
def add_priors(best: Any, tree: Combinations, small_prior: Any, n_nonzero: int, result: Any) -> None:
    """Fill (n, P) with the log priors of all combinations of the candidates (n, H'), as independent latents have them.

    `small_prior` are those of the zero state and of all singletons.
    """
    for n in range(best.shape[0]):
        for p in range(tree.sizes.shape[0]):
            first, last = tree.slots[p, 0], tree.slots[p, tree.sizes[p] - 1]
            before = result[n, tree.parents[p]]
            if tree.parents[p] < 0:
                before = small_prior[1 + best[n, first] * n_nonzero + tree.indices[p, first] - 1]
            own = small_prior[1 + best[n, last] * n_nonzero + tree.indices[p, last] - 1]
            result[n, p] = before + own - small_prior[0]
