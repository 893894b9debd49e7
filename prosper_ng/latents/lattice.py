"""What few candidates combine to, by the number of active ones: a state comes after all the states that it holds."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import kernel
from prosper_ng.latents.candidates import Preselected, candidate_tree


class Lattice(NamedTuple):
    """The nodes of a tree of binary candidates by the number of active ones, and what each has below it."""

    parents: NDArray[np.int64]
    """(M,) the node without the candidate that was added last; -1 where nothing is left."""
    slots: NDArray[np.int64]
    """(M,) the candidate that was added last, 0 to H' - 1."""
    levels: NDArray[np.int64]
    """(gamma + 1,) where the nodes of 1, 2, ... active candidates start, and where the last of them end."""
    children: NDArray[np.int64]
    """(M + 1,) where the nodes start that add a candidate to each node; they end where those of the next one start."""
    subsets: NDArray[np.int32]
    """(M, gamma) for a node of k active candidates the k nodes with one of them less, its parent first."""


@cache
def lattice(n_candidates: int, max_active: int) -> Lattice:
    """All combinations of 1 to gamma of H' candidates."""
    tree = candidate_tree(n_candidates, max_active, 2)
    order = np.argsort(tree.depths, kind="stable")
    new_places = np.append(np.argsort(order), -1)  # the last for -1
    subsets = np.full((len(order), max_active), -1, np.int32)
    _fill_subsets(tree, n_candidates, max_active, subsets)
    levels = np.searchsorted(tree.depths[order], np.arange(1, max_active + 2))
    parents, slots = new_places[tree.parents[order]], tree.slots[order]
    children = np.searchsorted(parents, np.arange(len(order) + 1))
    return Lattice(parents, slots, levels, children, new_places[subsets[order]].astype(np.int32))


@kernel
def _fill_subsets(tree: Any, n_candidates: int, max_active: int, subsets: Any) -> None:
    # sizes[k, i]: the nodes from one on that adds candidate i as its k-th; starts[k, i]: those of the ones before i.
    sizes = np.ones((max_active + 2, n_candidates), np.int64)
    starts = np.zeros((max_active + 2, n_candidates + 1), np.int64)
    for k in range(max_active, 0, -1):
        for i in range(n_candidates):
            sizes[k, i] = 1 + (np.sum(sizes[k + 1, i + 1 :]) if k < max_active else 0)
            starts[k, i + 1] = starts[k, i] + sizes[k, i]
    for node in range(tree.parents.shape[0]):
        parent, slot, depth = tree.parents[node], tree.slots[node], tree.depths[node]
        subsets[node, 0] = parent
        for place in range(depth - 1):
            smaller = np.int64(subsets[parent, place])
            first = tree.slots[smaller] + 1 if smaller >= 0 else 0
            subsets[node, place + 1] = smaller + 1 + starts[depth - 1, slot] - starts[depth - 1, first]


def lattice_of(chosen: Preselected) -> Lattice:
    """What the candidates of each row combine to."""
    return lattice(chosen.candidates.shape[1], int(chosen.tree.depths.max()))
