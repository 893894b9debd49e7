"""States one change away from others: a latent switched on or off or to another value, or two latents swapped.

All neighbors of a parent come from its bases: the parent itself, and the parent less each one of its active latents. A
neighbor is a base, or a base in which one latent that is off takes a value.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import inner_kernel, kernel
from prosper_ng.latents.space import LatentSpace, Layout, room_for_active, unpack
from prosper_ng.latents.state_sets import StateSets, get_value, set_value
from prosper_ng.numerics.bits import count_ones
from prosper_ng.numerics.copying import copy

Codes = NDArray[np.uint64]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Neighborhood(NamedTuple):
    """Parents, one for each of some consecutive rows of a batch."""

    first_row: int
    """The row of the first parent."""
    parents: Codes
    """(m, words)."""
    log_joint: Floats
    """(m,) of the parents."""
    starts: Ints
    """(m + 1,) where the bases of each parent start: itself, then without its first active latent, its second, ..."""

    @property
    def rows(self) -> slice:
        """The rows of the parents."""
        return slice(self.first_row, self.first_row + len(self.parents))

    @property
    def n_bases(self) -> int:
        """B, over all parents."""
        return int(self.starts[-1])


class Neighbors(NamedTuple):
    """Log joints of all neighbors."""

    bases: Floats
    """(B,) of the bases."""
    switched: Floats
    """(B, H, K - 1) of the bases with one more latent, at each value; -inf where it is on already."""

    @classmethod
    def unknown(cls, space: LatentSpace, neighborhood: Neighborhood) -> "Neighbors":
        """Arrays to be filled."""
        return cls(
            np.empty(neighborhood.n_bases), np.empty((neighborhood.n_bases, space.n_latents, space.n_values - 1))
        )


class Candidates(NamedTuple):
    """The best neighbors of some rows so far, the best first."""

    codes: Codes
    """(n, C, words)."""
    log_joint: Floats
    """(n, C) as they were ranked."""
    filled: Ints
    """(n,) how many of the C places are in use."""

    @classmethod
    def none(cls, n_rows: int, n_candidates: int, words: int) -> "Candidates":
        """No candidates yet."""
        shape = (n_rows, n_candidates)
        return cls(np.zeros((*shape, words), np.uint64), np.full(shape, -np.inf), np.zeros(n_rows, np.int64))


def neighborhoods(space: LatentSpace, parents: Codes, log_joint: Floats, n_numbers: int | None) -> list[Neighborhood]:
    """Parents (n, words), one a row, in pieces of about `n_numbers` log joints of neighbors; in one where None."""
    sizes = np.empty(len(parents), np.int64)
    _count_bases(parents, space.layout, sizes)
    ends = np.cumsum(sizes) * space.n_latents * (space.n_values - 1)
    cuts = [0, len(parents)]
    if n_numbers is not None and len(parents):
        cuts[1:1] = np.searchsorted(ends, np.arange(n_numbers, ends[-1], n_numbers)).tolist()
    found = []
    for first, last in pairwise(cuts):
        if last > first:
            starts = np.concatenate([[0], np.cumsum(sizes[first:last])])
            found.append(Neighborhood(first, parents[first:last], log_joint[first:last], starts))
    return found


def choose(
    space: LatentSpace, neighborhood: Neighborhood, neighbors: Neighbors, pool: StateSets, best: Candidates
) -> None:
    """Let neighbors into `best`, those that are better than the worst state of the row's pool and not yet in it."""
    _choose(
        neighborhood, neighbors, pool.codes, pool.log_joint, space.layout, best
    )  # fmt: skip


def evaluated(space: LatentSpace, neighborhood: Neighborhood, log_joint: Callable[[Codes], Floats]) -> Neighbors:
    """The neighbors by evaluating one after the other: for models that know nothing better.

    `log_joint` gives (m, S) of codes (m, S, words), for the rows of the neighborhood.
    """
    n_switched = space.n_latents * (space.n_values - 1)
    found = Neighbors.unknown(space, neighborhood)
    codes = np.empty((len(neighborhood.parents), 1 + n_switched, space.words), np.uint64)
    sizes = np.diff(neighborhood.starts)
    for place in range(int(sizes.max(initial=0))):
        _switch(neighborhood.parents, place, space.layout, codes)
        joints, rows = log_joint(codes), np.flatnonzero(sizes > place)
        bases = neighborhood.starts[rows] + place
        joints[:, 1:][(codes[:, 1:] == codes[:, :1]).all(axis=-1)] = -np.inf
        found.bases[bases] = joints[rows, 0]
        found.switched[bases] = joints[rows, 1:].reshape(len(rows), *found.switched.shape[1:])
    return found


@kernel
def _switch(parents: Any, place: int, layout: Layout, codes: Any) -> None:
    """Fill (m, 1 + H (K - 1), words) with a base of each parent and all that can be switched on in it."""
    n_nonzero = layout.n_values - 1
    latents, indices = room_for_active(layout.n_latents)
    for m in range(parents.shape[0]):
        k = unpack(parents[m], layout, latents, indices)
        for s in range(codes.shape[1]):
            codes[m, s] = parents[m]
            if 0 < place <= k:
                set_value(codes[m, s], latents[place - 1], 0, layout)
            h = (s - 1) // n_nonzero
            if s > 0 and get_value(codes[m, 0], h, layout) == 0:
                set_value(codes[m, s], h, 1 + (s - 1) % n_nonzero, layout)


@kernel
def _count_bases(parents: Any, layout: Layout, sizes: Any) -> None:
    for n in range(parents.shape[0]):
        sizes[n] = 1
        for w in range(layout.plane_words):
            active = np.uint64(0)
            for p in range(layout.n_planes):
                active |= parents[n, p * layout.plane_words + w]
            sizes[n] += np.int64(count_ones(active))


@kernel
def _signature(code: Any) -> np.uint64:
    """A number that differs between different states, but for one pair in 10^19."""
    result = np.uint64(0)
    for word in code:
        result = (result ^ word) * np.uint64(0x9E3779B97F4A7C15)
        result ^= result >> np.uint64(29)
    return result


@kernel
def _insert(joint: float, code: Any, signature: np.uint64, n: int, signatures: Any, best: Any) -> None:
    """Put a state in its place among the best of row n, unless it is there already."""
    size, count = best.codes.shape[1], best.filled[n]
    for c in range(count):
        if signatures[c] == signature:
            return
    place = min(count, size - 1)
    while place > 0 and joint > best.log_joint[n, place - 1]:
        best.log_joint[n, place] = best.log_joint[n, place - 1]
        best.codes[n, place] = best.codes[n, place - 1]
        signatures[place] = signatures[place - 1]
        place -= 1
    best.log_joint[n, place] = joint
    best.codes[n, place] = code
    signatures[place] = signature
    best.filled[n] = min(count + 1, size)


@kernel
def _offer(joint: float, code: Any, n: int, known: Any, signatures: Any, best: Any) -> None:
    """Insert a state that is not in the pool."""
    signature = _signature(code)
    found = 0
    for s in range(known.shape[0]):
        found += known[s] == signature
    if found == 0:
        _insert(joint, code, signature, n, signatures, best)


@kernel
def _choose(
    neighborhood: Any, neighbors: Any, pool_codes: Any, pool_joint: Any, layout: Layout, best: Any
) -> None:  # fmt: skip
    n_candidates, n_nonzero = best.codes.shape[1], layout.n_values - 1
    known, signatures = np.empty(pool_codes.shape[1], np.uint64), np.empty(n_candidates, np.uint64)
    base, code = np.empty(pool_codes.shape[2], np.uint64), np.empty(pool_codes.shape[2], np.uint64)
    latents, indices = room_for_active(layout.n_latents)
    for m in range(neighborhood.parents.shape[0]):
        n = neighborhood.first_row + m
        worst = np.min(pool_joint[n])
        for s in range(known.shape[0]):
            known[s] = _signature(pool_codes[n, s])
        for c in range(best.filled[n]):
            signatures[c] = _signature(best.codes[n, c])
        unpack(neighborhood.parents[m], layout, latents, indices)
        for b in range(neighborhood.starts[m], neighborhood.starts[m + 1]):
            copy(neighborhood.parents[m], base)
            least = max(worst, best.log_joint[n, n_candidates - 1])
            if b > neighborhood.starts[m]:
                set_value(base, latents[b - neighborhood.starts[m] - 1], 0, layout)
                if neighbors.bases[b] > least:
                    _offer(neighbors.bases[b], base, n, known, signatures, best)
                    least = max(worst, best.log_joint[n, n_candidates - 1])
            switched = neighbors.switched[b].reshape(-1)
            for i in range(switched.shape[0]):
                if switched[i] > least:
                    copy(base, code)
                    set_value(code, i // n_nonzero, 1 + i % n_nonzero, layout)
                    _offer(switched[i], code, n, known, signatures, best)
                    least = max(worst, best.log_joint[n, n_candidates - 1])


@inner_kernel
def all_but(latents: Any, k: int, left_out: int, base: Any) -> int:
    """Put the first k latents without number `left_out`, which is -1 for none, into `base`; how many they are."""
    size = 0
    for i in range(k):
        if i != left_out:
            base[size] = latents[i]
            size += 1
    return size
