"""Few candidates among the latents, and the tree of states that they combine to."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import inner_kernel, kernel
from prosper_ng.latents.space import Codes, LatentSpace, Layout
from prosper_ng.latents.state_sets import set_value

Ints = NDArray[np.int64]


class CandidateTree(NamedTuple):
    """All states of 1 to gamma active latents among H' candidates: each node adds a candidate behind its parent's.

    Parents come before their children, and all that descends from a node stands right behind it.
    """

    parents: Ints
    """(M,) the node without the candidate that was added last; -1 where nothing is left."""
    slots: Ints
    """(M,) the candidate that was added last, 0 to H' - 1."""
    indices: Ints
    """(M,) its alphabet index, 1 or more."""
    depths: Ints
    """(M,) how many candidates are active."""


class Preselected(NamedTuple):
    """The state sets of some rows: the zero state, all singletons, and what each row's candidates combine to.

    The states come in this order: zero; singletons, latent by latent and value by value; nodes of the tree of two or
    more active candidates.
    """

    candidates: Ints
    """(n, H') latents, distinct in each row."""
    tree: CandidateTree

    def n_states(self, space: LatentSpace) -> int:
        """S, for each row."""
        return 1 + space.n_latents * (space.n_values - 1) + int(np.count_nonzero(self.tree.depths > 1))

    def codes(self, space: LatentSpace) -> Codes:
        """(n, S, words) the packed states."""
        small, n_states = small_states(space.n_latents, tuple(space.values)), self.n_states(space)
        codes = np.empty((len(self.candidates), n_states, space.words), np.uint64)
        codes[:, : len(small)] = small
        _combine(self.candidates, self.tree, 2, space.layout, codes[:, len(small) :])
        return codes

    def combinations(self, space: LatentSpace) -> Codes:
        """(n, M, words) the packed states of the nodes of the tree, those of a single candidate included."""
        codes = np.empty((len(self.candidates), len(self.tree.parents), space.words), np.uint64)
        _combine(self.candidates, self.tree, 1, space.layout, codes)
        return codes


@cache
def small_states(n_latents: int, values: tuple[float, ...]) -> Codes:
    """The zero state, then every singleton: latent by latent, value by value."""
    n_nonzero = len(values) - 1
    indices = np.zeros((1 + n_latents * n_nonzero, n_latents), np.int64)
    singletons = np.arange(n_latents * n_nonzero)
    indices[1 + singletons, singletons // n_nonzero] = 1 + singletons % n_nonzero
    return LatentSpace(n_latents, values).encode(indices)


@cache
def candidate_tree(n_candidates: int, max_active: int, n_values: int) -> CandidateTree:
    """The tree over H' candidates with at most gamma active ones, each of which takes n_values - 1 values."""
    nodes: list[tuple[int, int, int, int]] = []

    def grow(parent: int, first: int, depth: int) -> None:
        for slot in range(first, n_candidates):
            for index in range(1, n_values):
                nodes.append((parent, slot, index, depth))
                if depth < max_active:
                    grow(len(nodes) - 1, slot + 1, depth + 1)

    grow(-1, 0, 1)
    return CandidateTree(*(np.ascontiguousarray(column) for column in np.array(nodes, dtype=np.int64).T))


@kernel
def rank(scores: Any, best: Any) -> None:
    """Fill (n, H') with the latents of highest score (n, H), the best first, the first of equals."""
    n_candidates = best.shape[1]
    found = np.empty(n_candidates)
    for n in range(scores.shape[0]):
        for h in range(scores.shape[1]):
            score = scores[n, h]
            place = min(h, n_candidates)
            if place == n_candidates and not score > found[place - 1]:
                continue
            place = min(place, n_candidates - 1)
            while place > 0 and score > found[place - 1]:
                found[place] = found[place - 1]
                best[n, place] = best[n, place - 1]
                place -= 1
            found[place] = score
            best[n, place] = h


@kernel
def _combine(candidates: Any, tree: CandidateTree, least: int, layout: Layout, codes: Any) -> None:
    """Write the states of `least` or more active candidates into codes (n, P, words), each from its parent's."""
    parents, slots, indices, depths = tree
    made = np.empty((parents.shape[0], codes.shape[2]), np.uint64)
    for n in range(candidates.shape[0]):
        _grow(candidates[n], parents, slots, indices, depths, least, layout, made, codes[n])


@inner_kernel
def _grow(
    candidates: Any, parents: Any, slots: Any, indices: Any, depths: Any, least: int, layout: Layout, made: Any,
    codes: Any,
) -> None:  # fmt: skip
    """The states of one row; `made` (M, words) is scratch."""
    place = 0
    for node in range(parents.shape[0]):
        for w in range(made.shape[1]):
            made[node, w] = made[parents[node], w] if parents[node] >= 0 else np.uint64(0)
        set_value(made[node], candidates[slots[node]], indices[node], layout)
        if depths[node] >= least:
            for w in range(made.shape[1]):
                codes[place, w] = made[node, w]
            place += 1
